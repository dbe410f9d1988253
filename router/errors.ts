/** What a router's error is about. */
export type RouterErrorCode = "CLUSTER_DOWN" | "TENANT_MOVED" | "TENANT_MOVING" | "OTHER_TENANT" | "ROLLED_BACK" | "CONFIGURATION" | "ENDED";

/** An error of the router. The databases' own errors come as the driver has them. */
export class RouterError extends Error {
  constructor(
    /** What it is about, for programs. */
    readonly code: RouterErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A cluster does not answer, or the connection to it broke. Its tenants have to wait; everybody else's are not concerned. */
export class ClusterDownError extends RouterError {
  constructor(
    readonly cluster: string,
    /** Whether the statement may have been applied: `no`, it was never sent; `unknown`, the connection broke before the answer, so read before you repeat it. */
    readonly applied: "no" | "unknown",
    cause?: unknown,
  ) {
    const what = applied === "no" ? "the statement was not sent" : "whether the statement was applied is not known";
    super("CLUSTER_DOWN", `Cluster ${cluster} does not answer: ${what}${cause instanceof Error && cause.message !== "" ? ` (${cause.message})` : ""}`, { cause });
  }
}

/** A tenant lives in another cluster than the one that was asked, and the router cannot follow. The statement was not applied. */
export class TenantMovedError extends RouterError {
  constructor(
    readonly tenant: string,
    /** Where it lives. */
    readonly home: string,
    cause?: unknown,
  ) {
    super("TENANT_MOVED", `Tenant ${tenant} lives in cluster ${home}: begin again there`, { cause });
  }
}

/** A tenant was closed for longer than `moveTimeoutMs`: its move takes long, or stopped half-way. The statement was not applied. */
export class TenantMovingError extends RouterError {
  constructor(
    readonly tenant: string,
    cause?: unknown,
  ) {
    super("TENANT_MOVING", `Tenant ${tenant} is being moved, and was closed for longer than moveTimeoutMs. If its move stopped half-way: npm run tenant -- recover`, { cause });
  }
}

/** A statement for one tenant in a transaction of another. It was not applied. */
export class OtherTenantError extends RouterError {
  constructor(
    /** The transaction's tenant. */
    readonly tenant: string,
    message: string,
    cause?: unknown,
  ) {
    super("OTHER_TENANT", message, { cause });
  }
}

/** Something that the router was given cannot be right. */
export class ConfigurationError extends RouterError {
  constructor(message: string, cause?: unknown) {
    super("CONFIGURATION", message, { cause });
  }
}
