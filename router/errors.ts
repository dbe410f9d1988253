/** What a router's error is about. */
export type RouterErrorCode =
  | "CLUSTER_DOWN"
  | "UNKNOWN_CLUSTER"
  | "POOL_TIMEOUT"
  | "STATEMENT_TIMEOUT"
  | "CONNECT_HOOK"
  | "TENANT_MOVED"
  | "TENANT_MOVING"
  | "OTHER_TENANT"
  | "NO_TENANT"
  | "ROLLED_BACK"
  | "UNKNOWN_OUTCOME"
  | "OPEN_TRANSACTION"
  | "TRANSACTION_OVER"
  | "CONFIGURATION"
  | "PLACEMENT"
  | "ENDED";

/** Whether a statement, or a transaction, may have been applied: `no`, certainly not; `unknown`, as a whole or in part, so read before you repeat it. */
export type Applied = "no" | "unknown";

/** An error of the router. The databases' own errors come as the driver has them. */
export class RouterError extends Error {
  constructor(
    /** What it is about, for programs. */
    readonly code: RouterErrorCode,
    message: string,
    options?: ErrorOptions,
    /** Whether what failed may have been applied. */
    readonly applied: Applied = "no",
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A cluster does not answer, does not let the router in, or the connection to it broke; the `cause` tells which. Its tenants have to wait; everybody else's are not concerned. */
export class ClusterDownError extends RouterError {
  constructor(
    readonly cluster: string,
    /** `no`: the statement was never sent; `unknown`: the connection broke before the answer. */
    applied: Applied,
    cause?: unknown,
  ) {
    const what = applied === "no" ? "the statement was not sent" : "whether the statement was applied is not known";
    super("CLUSTER_DOWN", `Cluster ${cluster} is down: ${what}${cause instanceof Error && cause.message !== "" ? ` (${cause.message})` : ""}`, { cause }, applied);
  }
}

/** A tenant lives in a cluster that the router does not have. Its statements were not sent; everybody else's are not concerned. */
export class UnknownClusterError extends RouterError {
  constructor(
    /** Undefined: all tenants of a cluster that the ring has and the router does not. */
    readonly tenant: string | undefined,
    readonly cluster: string,
    known: readonly string[],
  ) {
    super("UNKNOWN_CLUSTER", `${tenant === undefined ? "Tenants live" : `Tenant ${tenant} lives`} in cluster ${cluster}, which this router does not have: it has ${known.join(", ")}. Give it with router.addCluster, or in the option clusters`);
  }
}

/** No connection was free for `poolTimeoutMs`: statements take long, or there are too few connections, for all or for the tenant. The statement was not sent. */
export class PoolTimeoutError extends RouterError {
  constructor(
    readonly cluster: string,
    timeoutMs: number,
    connections: number,
    /** The tenant that has as many connections as it may have; undefined: all of the cluster's are in use. */
    readonly tenant?: string,
  ) {
    super(
      "POOL_TIMEOUT",
      tenant === undefined
        ? `No connection to cluster ${cluster} was free for ${timeoutMs} ms (poolTimeoutMs): statements on its ${connections} take long, or clusters.${cluster}.max is too small`
        : `Tenant ${tenant} has had all that it may have of the connections to cluster ${cluster}, ${connections}, in use for ${timeoutMs} ms (poolTimeoutMs): its statements take long, one of its transactions waits for a statement outside of it, or its limit is too small (maxPerTenant, or max of limits)`,
    );
  }
}

/** A tenant's statement ran for longer than `statementTimeoutMs`, and was cancelled. In a transaction that is rolled back. */
export class StatementTimeoutError extends RouterError {
  constructor(
    readonly tenant: string,
    readonly cluster: string,
    readonly timeoutMs: number,
    /** `no`: it was rolled back, or has only read; `unknown`: it may have come to its end in the same moment, or goes on where it could not be cancelled. */
    applied: Applied,
    cause?: unknown,
  ) {
    const what = applied === "no" ? "it was not applied" : "whether it was applied is not known";
    super("STATEMENT_TIMEOUT", `A statement of tenant ${tenant} took longer than ${timeoutMs} ms in cluster ${cluster} (statementTimeoutMs), and was cancelled: ${what}`, { cause }, applied);
  }
}

/** A commit was taken by the database and may be lost all the same: its wait for a standby was cancelled, or it was given up before the answer. Read before you repeat it, and what you read may go with the server. */
export class UnknownOutcomeError extends RouterError {
  constructor(
    readonly cluster: string,
    cause: unknown,
  ) {
    const { message } = (cause ?? {}) as { message?: unknown };
    super("UNKNOWN_OUTCOME", `Whether cluster ${cluster} keeps what was committed is not known${typeof message === "string" ? `: ${message}` : ""}`, { cause }, "unknown");
  }
}

/** A tenant lives in another cluster than the one that was asked, and the router cannot follow. */
export class TenantMovedError extends RouterError {
  constructor(
    readonly tenant: string,
    /** Where it lives. */
    readonly home: string,
    cause?: unknown,
    applied: Applied = "no",
  ) {
    super("TENANT_MOVED", `Tenant ${tenant} lives in cluster ${home}: begin again there${inPart(applied)}`, { cause }, applied);
  }
}

/** A tenant's writes were refused because it is being moved: for longer than `moveTimeoutMs` since the first refusal, or once, where the router does not repeat the statement. */
export class TenantMovingError extends RouterError {
  constructor(
    readonly tenant: string,
    cause?: unknown,
    applied: Applied = "no",
  ) {
    super("TENANT_MOVING", `Tenant ${tenant} is being moved, and takes no writes at the moment${inPart(applied)}. If that lasts, its move stopped half-way: npm run tenant -- recover`, { cause }, applied);
  }
}

/** A statement for one tenant through a handle or in a transaction of another. It was not applied. */
export class OtherTenantError extends RouterError {
  constructor(
    /** The tenant of the handle, or of the transaction. */
    readonly tenant: string,
    message: string,
    cause?: unknown,
    applied: Applied = "no",
  ) {
    super("OTHER_TENANT", message, { cause }, applied);
  }
}

/** Something that the router was given cannot be right. */
export class ConfigurationError extends RouterError {
  constructor(message: string, cause?: unknown) {
    super("CONFIGURATION", message, { cause });
  }
}

function inPart(applied: Applied): string {
  return applied === "no" ? "" : ". What it had committed before it was refused stays, so it was not repeated";
}
