import { AsyncLocalStorage } from "node:async_hooks";
import { escapeLiteral, type PoolClient, type QueryResult, type QueryResultRow } from "pg";
import type { Cluster } from "./cluster";
import { confirmHome, metNothing, runConfirmed } from "./confirm";
import type { Directory, Location } from "./directory";
import { ClusterDownError, ConfigurationError, OtherTenantError, RouterError, TenantMovedError, TenantMovingError } from "./errors";
import { refusalOf, type Refusal } from "./refusal";

/** A tenant's id: the value of the distribution column. */
export type TenantId = string | number | bigint;

export interface QueryOptions {
  /** Gives a statement up: one that waits is not sent, one that runs is cancelled. */
  readonly signal?: AbortSignal;
}

export interface TransactionOptions extends QueryOptions {
  /** @default "read committed" */
  readonly isolation?: "read committed" | "repeatable read" | "serializable";
  /** How often the whole transaction is run again after a serialization failure or a deadlock (SQLSTATE 40001, 40P01), which PostgreSQL rolled back. @default 0 */
  readonly retries?: number;
}

/** Something that runs statements. */
export interface Queryable {
  /** Runs a statement, as `pg` does. */
  query<Row extends QueryResultRow = QueryResultRow>(text: string, values?: readonly unknown[], options?: QueryOptions): Promise<QueryResult<Row>>;
}

/** What the handles of one router share. */
export interface Shared {
  readonly directory: Directory;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly moveTimeoutMs: number;
}

/** A tenant that is closed is asked for again after so long, if nothing is heard before. A move closes it for milliseconds. */
const CLOSED_PAUSE_MS = 10;

/** SQLSTATEs of a transaction that PostgreSQL rolled back so that another could go on. */
const CONFLICTS = new Set(["40001", "40P01"]);

/** SQLSTATE of statements in a transaction that has failed. */
const FAILED = "25P02";

/** The tenant whose transaction the code that runs belongs to. */
const transactionOf = new AsyncLocalStorage<{ readonly tenant: string; readonly shared: Shared }>();

/** A tenant as the application uses it: its statements go to its home, wherever that is at the moment. */
export class Tenant implements Queryable {
  constructor(
    /** The id as text, as the databases have it. */
    readonly id: string,
    private readonly shared: Shared,
  ) {}

  /** Where the tenant lives, as far as the router knows. */
  locate(): Location {
    return this.shared.directory.locate(this.id);
  }

  /**
   * Runs a statement at the tenant's home. If the fence refuses it, because the tenant moves or has moved, it was not applied, and is run again where the tenant lives then. So is a write that met no row because its
   * tenant had just left.
   *
   * @throws {@link ClusterDownError}, {@link TenantMovingError}, the signal's reason, or the database's error.
   */
  async query<Row extends QueryResultRow = QueryResultRow>(text: string, values?: readonly unknown[], { signal }: QueryOptions = {}): Promise<QueryResult<Row>> {
    this.refuseOther();
    const { directory } = this.shared;
    // The usual way, with nothing on it that can be left out.
    if (!directory.isClosed(this.id)) {
      try {
        return await this.run<Row>(this.cluster(directory.homeOf(this.id)), text, values, signal);
      } catch (error) {
        await this.follow(error, performance.now() + this.shared.moveTimeoutMs, signal);
      }
    }
    return this.following(signal, (cluster) => this.run<Row>(cluster, text, values, signal));
  }

  /**
   * Runs a transaction at the tenant's home: commits when the work is done, rolls back when it throws. The databases refuse writes of other tenants in it. If the fence refuses a statement, the whole is rolled back
   * and run again where the tenant lives then, so the work may be called more than once: leave what is outside of the database until it is done.
   */
  async transaction<Result>(work: (transaction: Queryable) => Promise<Result>, options: TransactionOptions = {}): Promise<Result> {
    this.refuseOther();
    for (let left = options.retries ?? 0; ; left -= 1) {
      try {
        return await this.following(options.signal, (cluster) => this.runTransaction(cluster, work, options));
      } catch (error) {
        if (left <= 0 || !CONFLICTS.has((error as { code?: string }).code ?? "")) throw error;
      }
    }
  }

  /** A connection to the tenant's home, for what needs one: cursors, COPY, prepared statements. It does not follow the tenant when that moves; release it soon. */
  async connect({ signal }: QueryOptions = {}): Promise<TenantClient> {
    this.refuseOther();
    const cluster = this.cluster(this.shared.directory.homeOf(this.id));
    return new TenantClient(this.id, cluster, await cluster.acquire(signal), this.shared.directory);
  }

  private run<Row extends QueryResultRow>(cluster: Cluster, text: string, values: readonly unknown[] | undefined, signal: AbortSignal | undefined): Promise<QueryResult<Row>> {
    return runConfirmed(this.shared.directory, cluster.name, this.id, text, values, (statement, its) => cluster.query(statement, its, signal));
  }

  /** Works at the tenant's home, and again where it has gone if the fence refuses. */
  private async following<Result>(signal: AbortSignal | undefined, work: (cluster: Cluster) => Promise<Result>): Promise<Result> {
    const { directory, moveTimeoutMs } = this.shared;
    const until = performance.now() + moveTimeoutMs;
    for (;;) {
      if (directory.isClosed(this.id)) await directory.changed(this.id, CLOSED_PAUSE_MS);
      signal?.throwIfAborted();
      try {
        return await work(this.cluster(directory.homeOf(this.id)));
      } catch (error) {
        await this.follow(error, until, signal);
      }
    }
  }

  /** Learns from a refusal, and waits if there is nothing to do yet. @throws what is no refusal, and what has taken too long. */
  private async follow(error: unknown, until: number, signal: AbortSignal | undefined): Promise<void> {
    const refusal = error instanceof RouterError ? undefined : refusalOf(error);
    if (refusal === undefined || refusal.kind === "other" || (refusal.kind !== "unready" && refusal.tenant !== this.id)) throw explained(error, refusal, this.id);
    const news = learned(this.shared.directory, refusal);
    if (performance.now() > until) throw refusal.kind === "elsewhere" ? new TenantMovedError(this.id, refusal.home, error) : new TenantMovingError(this.id, error);
    signal?.throwIfAborted();
    if (!news || refusal.kind !== "elsewhere") await this.shared.directory.changed(this.id, CLOSED_PAUSE_MS);
  }

  private async runTransaction<Result>(cluster: Cluster, work: (transaction: Queryable) => Promise<Result>, { signal, isolation = "read committed" }: TransactionOptions): Promise<Result> {
    const epoch = this.shared.directory.epochOf(this.id);
    const client = await cluster.acquire(signal);
    let broken: Error | undefined;
    let failure: unknown;
    let missed = false;
    const query = async <Row extends QueryResultRow>(text: string, values?: readonly unknown[], options: QueryOptions = {}): Promise<QueryResult<Row>> => {
      try {
        const result = await cluster.run<Row>(client, text, values, options.signal ?? signal);
        missed ||= metNothing(text, result);
        return result;
      } catch (error) {
        failure ??= error;
        if (error instanceof ClusterDownError || (options.signal ?? signal)?.aborted === true) broken = error as Error;
        throw error;
      }
    };
    try {
      await query(`BEGIN ISOLATION LEVEL ${isolation}; SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL tenancy.tenant = ${escapeLiteral(this.id)}`);
      const [outcome] = await Promise.allSettled([transactionOf.run({ tenant: this.id, shared: this.shared }, () => work({ query }))]);
      // Also where the work threw: it may have missed something that is there. A transaction that has failed cannot be asked, and is rolled back anyway.
      if (missed && broken === undefined) await confirmHome(cluster.name, this.id, epoch, query).catch((error: unknown) => (error as { code?: string }).code === FAILED || Promise.reject(error as Error));
      if (outcome.status === "rejected") throw outcome.reason;
      const { command } = await query("COMMIT");
      // PostgreSQL answers so where a statement failed before, and the work went on regardless.
      if (command === "ROLLBACK") throw new RouterError("ROLLED_BACK", "The transaction was rolled back, because a statement in it had failed", { cause: failure });
      return outcome.value;
    } catch (error) {
      if (broken === undefined) await client.query("ROLLBACK").catch((trouble: unknown) => void (broken = trouble as Error));
      // Whatever the work made of it: a refusal is what has to be followed.
      const refused = [failure, error].find((one) => !["other", undefined].includes(refusalOf(one)?.kind));
      throw (refused as Error | undefined) ?? explained(error, refusalOf(error), this.id);
    } finally {
      client.release(broken);
    }
  }

  private cluster(name: string): Cluster {
    const cluster = this.shared.clusters.get(name);
    if (cluster === undefined) throw new ConfigurationError(`Tenant ${this.id} lives in cluster ${name}, which is not among the router's clusters: ${[...this.shared.clusters.keys()].join(", ")}`);
    return cluster;
  }

  private refuseOther(): void {
    const running = transactionOf.getStore();
    if (running === undefined || running.shared !== this.shared || running.tenant === this.id) return;
    throw new OtherTenantError(running.tenant, `A transaction of tenant ${running.tenant} cannot have statements of tenant ${this.id}: they may live in different clusters`);
  }
}

/** A connection that stays with one cluster. */
export class TenantClient implements Queryable {
  private released = false;

  constructor(
    private readonly tenant: string,
    private readonly cluster: Cluster,
    /** The driver's client, for streams and cursors. */
    readonly client: PoolClient,
    private readonly directory: Directory,
  ) {}

  /** The cluster that it is connected to. */
  get home(): string {
    return this.cluster.name;
  }

  /** @throws {@link TenantMovedError} or {@link TenantMovingError} if the fence refuses, or a write met no row and the tenant had just left: release it and take another. */
  async query<Row extends QueryResultRow = QueryResultRow>(text: string, values?: readonly unknown[], { signal }: QueryOptions = {}): Promise<QueryResult<Row>> {
    try {
      return await runConfirmed<Row>(this.directory, this.cluster.name, this.tenant, text, values, (statement, its) => this.cluster.run(this.client, statement, its, signal));
    } catch (error) {
      const refusal = error instanceof RouterError ? undefined : refusalOf(error);
      if (refusal !== undefined) learned(this.directory, refusal);
      throw explained(error, refusal, this.tenant);
    }
  }

  /** Gives the connection back to the pool; `true` closes it instead. */
  release(close = false): void {
    if (this.released) return;
    this.released = true;
    this.client.release(close);
  }

  [Symbol.dispose](): void {
    this.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.release();
    return Promise.resolve();
  }
}

/** Takes in what the fence said. @returns whether that was news. */
function learned(directory: Directory, refusal: Refusal): boolean {
  if (refusal.kind === "other" || refusal.kind === "unready") return false;
  // What is closed is known by its home alone, and the one that refused says so itself.
  return directory.learn(refusal.tenant, { home: refusal.home, epoch: refusal.epoch, state: refusal.kind === "closed" ? "closed" : "settled" }, refusal.kind === "closed" ? refusal.home : "");
}

/** A refusal as the router's error; other errors as they are. */
function explained(error: unknown, refusal: Refusal | undefined, tenant: string): Error {
  switch (refusal?.kind) {
    case "elsewhere":
      return new TenantMovedError(refusal.tenant, refusal.home, error);
    case "closed":
    case "unready":
      return new TenantMovingError(tenant, error);
    case "other":
      return new OtherTenantError(tenant, (error as Error).message, error);
    case undefined:
      return error as Error;
  }
}
