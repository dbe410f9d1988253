import { AsyncLocalStorage } from "node:async_hooks";
import { escapeLiteral, type PoolClient, type QueryResult, type QueryResultRow } from "pg";
import type { Cluster } from "./cluster";
import { confirmHeard, confirmHome, metNothing, MissedError } from "./confirm";
import { STATEMENT, tell, traced, TRANSACTION } from "./diagnostics";
import type { Directory, Location, TenantRecord } from "./directory";
import { ConfigurationError, OtherTenantError, RouterError, TenantMovedError, TenantMovingError, UnknownClusterError, type Applied } from "./errors";
import type { Lookup } from "./lookup";
import { refusalOf, type Refusal } from "./refusal";
import { commandsOf, mayCommitInPart, onlyReads } from "./sqlText";

export interface QueryOptions {
  /**
   * Gives a statement up: one that waits is not sent, one that runs is cancelled, and its connection closed if that takes more than half a second. One that came to its end before it could be cancelled gives its
   * result. Whether a write that was given up was applied has to be read.
   */
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
  readonly lookup: Lookup;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly moveTimeoutMs: number;
  readonly bindStatements: boolean;
}

/** A tenant that is closed is asked for again after so long, if nothing is heard before. A move closes it for milliseconds. */
const CLOSED_PAUSE_MS = 10;

/** SQLSTATEs of a transaction that PostgreSQL rolled back so that another could go on. */
const CONFLICTS = new Set(["40001", "40P01"]);

/** SQLSTATE of statements in a transaction that has failed. */
const FAILED = "25P02";

const ISOLATIONS: readonly unknown[] = ["read committed", "repeatable read", "serializable"] satisfies readonly TransactionOptions["isolation"][];

/** A transaction that runs. */
interface Running {
  readonly tenant: string;
  readonly shared: Shared;
  /** Its end has begun: what comes now is not part of it. */
  over: boolean;
}

/** The transaction that the code that runs belongs to, or has come from. */
const transactionOf = new AsyncLocalStorage<Running>();

/** How long refusals are followed: the clock runs from the first. */
class Patience {
  private until: number | undefined;

  constructor(private readonly timeoutMs: number) {}

  /** Whether it has come to its end. */
  get over(): boolean {
    this.until ??= performance.now() + this.timeoutMs;
    return performance.now() > this.until;
  }
}

/** A tenant as the application uses it: its statements go to its home, wherever that is at the moment. */
export class Tenant implements Queryable {
  constructor(
    /** The id as text, as the databases have it. */
    readonly id: string,
    private readonly shared: Shared,
  ) {}

  /** Where the tenant lives. A cluster is asked if the router does not know. */
  async locate(): Promise<Location> {
    return locate(this.shared, this.id);
  }

  /**
   * Runs a statement at the tenant's home. If the fence refuses it, because the tenant moves or has moved, it was not applied, and is run again where the tenant lives then. So is a write that met no row, or a plain
   * `SELECT`, whose tenant had just left. What may have committed in part is never run again: `CALL`, `DO` and several statements at once.
   *
   * That the statement is of this tenant is up to its text; see `bindStatements`.
   *
   * @throws {@link ClusterDownError}, {@link TenantMovingError}, {@link UnknownOutcomeError}, the signal's reason, or the database's error.
   */
  query<Row extends QueryResultRow = QueryResultRow>(text: string, values?: readonly unknown[], options: QueryOptions = {}): Promise<QueryResult<Row>> {
    if (this.shared.bindStatements) return this.transaction((transaction) => transaction.query<Row>(text, values), options);
    return traced(STATEMENT, this.id, this.shared.directory, () => this.queryHome<Row>(text, values, options));
  }

  private async queryHome<Row extends QueryResultRow>(text: string, values: readonly unknown[] | undefined, options: QueryOptions): Promise<QueryResult<Row>> {
    this.refuseOther();
    const { signal } = options;
    const patience = new Patience(this.shared.moveTimeoutMs);
    // The usual way, with nothing on it that can be left out.
    const known = this.shared.directory.recordOf(this.id);
    if (known !== undefined && known.state !== "closed") {
      const cluster = this.cluster(known.home);
      try {
        return await this.run<Row>(cluster, known.epoch, text, values, signal);
      } catch (error) {
        await this.follow(error, cluster, patience, signal, text);
      }
    }
    return this.following(patience, signal, (cluster, epoch) => this.run<Row>(cluster, epoch, text, values, signal), text);
  }

  /**
   * Runs a transaction at the tenant's home: commits when the work is done, rolls back when it throws. The databases refuse writes of other tenants in it. If the fence refuses a statement, or the tenant has left
   * before the commit, the whole is rolled back and run again where the tenant lives then, so the work may be called more than once: leave what is outside of the database until it is done. Its handle is of no use
   * afterwards, and the work may not end the transaction itself.
   *
   * @throws what {@link query} throws, and what the work throws.
   */
  transaction<Result>(work: (transaction: Queryable) => Promise<Result>, options: TransactionOptions = {}): Promise<Result> {
    return traced(TRANSACTION, this.id, this.shared.directory, () => this.transactHome(work, options));
  }

  private async transactHome<Result>(work: (transaction: Queryable) => Promise<Result>, options: TransactionOptions): Promise<Result> {
    this.refuseOther();
    const { isolation = "read committed" } = options;
    if (!ISOLATIONS.includes(isolation)) throw new ConfigurationError(`isolation: must be one of ${ISOLATIONS.join(", ")}, and is ${String(isolation)}`);
    let at = "";
    for (let left = options.retries ?? 0; ; left -= 1) {
      try {
        return await this.following(new Patience(this.shared.moveTimeoutMs), options.signal, (cluster, epoch) => {
          at = cluster.name;
          return this.runTransaction(cluster, epoch, work, options.signal, isolation);
        });
      } catch (error) {
        if (left <= 0 || !CONFLICTS.has((error as { code?: string }).code ?? "")) throw error;
        tell("tenant-router:repeat", { tenant: this.id, cluster: at, reason: "conflict" });
      }
    }
  }

  /** A connection to the tenant's home, for what needs one: cursors, COPY, prepared statements. It does not follow the tenant when that moves, nor is it bound to it; release it soon. */
  async connect({ signal }: QueryOptions = {}): Promise<TenantClient> {
    this.refuseOther();
    const { home, epoch } = await this.shared.lookup.find(this.id);
    const cluster = this.cluster(home);
    return new TenantClient(this.id, epoch, cluster, await cluster.acquire(signal), this.shared);
  }

  /** @param epoch the tenant's epoch as it was known when the cluster was chosen. */
  private async run<Row extends QueryResultRow>(cluster: Cluster, epoch: number, text: string, values: readonly unknown[] | undefined, signal: AbortSignal | undefined): Promise<QueryResult<Row>> {
    const result = await cluster.query<Row>(text, values, signal);
    const confirm = (): Promise<void> => confirmHome(cluster.name, this.id, epoch, (statement, its) => cluster.query(statement, its, signal));
    if (metNothing(text, result)) await confirm();
    // A home that the tenant has left is emptied, and may have given a part.
    else if (result.command === "SELECT" && this.mayHaveLeft(cluster, epoch) && onlyReads(text)) await (cluster.link.unheard ? confirm() : confirmHeard(this.shared, cluster.name, this.id, epoch));
    return result;
  }

  private mayHaveLeft(cluster: Cluster, epoch: number): boolean {
    const { directory } = this.shared;
    const known = directory.recordOf(this.id);
    return cluster.link.unheard || directory.isHinted(this.id) || known?.epoch !== epoch || known.home !== cluster.name;
  }

  /** Where the tenant is known to live, or is found to. One that is closed is waited for, and asked for where it goes. */
  private async home(): Promise<TenantRecord> {
    const { directory, lookup, clusters } = this.shared;
    const known = await lookup.find(this.id);
    if (known.state !== "closed") return known;
    await this.pause(known.home);
    const target = directory.isClosed(this.id) ? directory.targetOf(this.id) : undefined;
    if (target !== undefined) await clusters.get(target)?.link.doubt(this.id);
    return lookup.find(this.id);
  }

  /** Works at the tenant's home, and again where it has gone if the fence refuses. */
  private async following<Result>(patience: Patience, signal: AbortSignal | undefined, work: (cluster: Cluster, epoch: number) => Promise<Result>, text?: string): Promise<Result> {
    for (;;) {
      const { home, epoch } = await this.home();
      signal?.throwIfAborted();
      const cluster = this.cluster(home);
      try {
        return await work(cluster, epoch);
      } catch (error) {
        await this.follow(error, cluster, patience, signal, text);
      }
    }
  }

  /**
   * Learns from a refusal, and waits if there is nothing to do yet.
   *
   * @param text the statement; not set: a transaction, which was rolled back.
   * @throws what is no refusal, what may have committed in part, and what has taken too long.
   */
  private async follow(error: unknown, cluster: Cluster, patience: Patience, signal: AbortSignal | undefined, text?: string): Promise<void> {
    const refusal = refusedBy(cluster, this.id, error);
    if (refusal === undefined) throw error;
    const applied = text !== undefined && !(error instanceof MissedError) && mayCommitInPart(text) ? "unknown" : "no";
    const foreign = refusal.kind === "other" || (refusal.kind !== "unready" && refusal.tenant !== this.id);
    const news = foreign ? false : await learned(this.shared, refusal, cluster);
    if (foreign || applied === "unknown" || patience.over) throw explained(error, refusal, this.id, applied);
    signal?.throwIfAborted();
    if (!news) await this.pause(cluster.name);
    tell("tenant-router:repeat", { tenant: this.id, cluster: cluster.name, reason: refusal.kind });
  }

  /** Waits until something new is known of the tenant, or for a moment. @param cluster where it was closed, or refused. */
  private async pause(cluster: string): Promise<void> {
    const began = performance.now();
    await this.shared.directory.changed(this.id, CLOSED_PAUSE_MS);
    tell("tenant-router:tenant-wait", { tenant: this.id, cluster, waitMs: performance.now() - began });
  }

  private async runTransaction<Result>(
    cluster: Cluster,
    epoch: number,
    work: (transaction: Queryable) => Promise<Result>,
    signal: AbortSignal | undefined,
    isolation: NonNullable<TransactionOptions["isolation"]>,
  ): Promise<Result> {
    const client = await cluster.acquire(signal);
    const running: Running = { tenant: this.id, shared: this.shared, over: false };
    let broken: Error | undefined;
    let failure: unknown;
    let missed = false;
    let escaped = false;
    const run = async <Row extends QueryResultRow>(text: string, values?: readonly unknown[], its = signal): Promise<QueryResult<Row>> => {
      try {
        const result = await cluster.run<Row>(client, text, values, its);
        // A late cancellation would meet the next statement.
        its?.throwIfAborted();
        return result;
      } catch (error) {
        failure ??= error;
        if ((error instanceof RouterError && error.code === "CLUSTER_DOWN") || its?.aborted === true) broken = error as Error;
        throw error;
      }
    };
    const query = async <Row extends QueryResultRow>(text: string, values?: readonly unknown[], options: QueryOptions = {}): Promise<QueryResult<Row>> => {
      if (running.over) throw new RouterError("TRANSACTION_OVER", `The transaction of tenant ${this.id} is over, and the statement was not sent. Wait for every statement before the work ends`);
      const outcome = await run<Row>(text, values, options.signal).then(
        (result) => ({ result }),
        (error: unknown) => ({ error }),
      );
      if (endsTransaction(client, text, "result" in outcome ? outcome.result : undefined)) [escaped, running.over] = [true, true];
      if ("error" in outcome) throw outcome.error;
      missed ||= metNothing(text, outcome.result);
      return outcome.result;
    };
    // An old snapshot would not show that the tenant has gone.
    const confirm = (): Promise<void> => confirmHome(cluster.name, this.id, epoch, isolation === "read committed" ? run : (text, values = []) => cluster.link.ask(text, values));
    let committing = false;
    try {
      await run(`BEGIN ISOLATION LEVEL ${isolation}; SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL tenancy.tenant = ${escapeLiteral(this.id)}`);
      const [outcome] = await Promise.allSettled([transactionOf.run(running, () => work({ query }))]);
      running.over = true;
      if (escaped) throw new RouterError("TRANSACTION_OVER", "The work ended its transaction itself: what came before may have been applied. Return from the work to commit, and throw to roll back", { cause: outcome.status === "rejected" ? outcome.reason : undefined }, "unknown");
      // Also where the work threw: it may have missed something that is there. A transaction that has failed is rolled back anyway.
      if (missed && broken === undefined && client.getTransactionStatus() !== "E") await confirm().catch((error: unknown) => (error as { code?: string }).code === FAILED || Promise.reject(error as Error));
      if (outcome.status === "rejected") throw outcome.reason;
      // A transaction that has written holds the tenant where it is; one that has only read may have seen a part.
      if (this.mayHaveLeft(cluster, epoch)) await (cluster.link.unheard ? confirm() : confirmHeard(this.shared, cluster.name, this.id, epoch));
      signal?.throwIfAborted();
      committing = true;
      const { command } = await cluster.commit(client, signal);
      // PostgreSQL answers so where a statement failed before, and the work went on regardless.
      if (command === "ROLLBACK") throw new RouterError("ROLLED_BACK", "The transaction was rolled back, because a statement in it had failed", { cause: failure });
      return outcome.value;
    } catch (error) {
      running.over = true;
      const unknown = error instanceof RouterError && error.applied === "unknown";
      if (broken === undefined && !(committing && unknown)) await client.query("ROLLBACK").catch((trouble: unknown) => void (broken = trouble as Error));
      // What may have been committed is not run again, whatever was refused in it.
      if (unknown) throw error;
      // Whatever the work made of it: a refusal is what has to be followed.
      const refused = [failure, error].find((one) => !["other", undefined].includes(refusalOf(one)?.kind));
      throw (refused as Error | undefined) ?? explained(error, refusalOf(error), this.id);
    } finally {
      cluster.release(client, broken !== undefined);
    }
  }

  private cluster(name: string): Cluster {
    const cluster = this.shared.clusters.get(name);
    if (cluster === undefined) throw new UnknownClusterError(this.id, name, [...this.shared.clusters.keys()]);
    return cluster;
  }

  private refuseOther(): void {
    const running = transactionOf.getStore();
    // What was begun in a transaction may go on when that has ended.
    if (running === undefined || running.over || running.shared !== this.shared || running.tenant === this.id) return;
    throw new OtherTenantError(running.tenant, `A transaction of tenant ${running.tenant} cannot have statements of tenant ${this.id}: they may live in different clusters`);
  }
}

/** A connection that stays with one cluster. */
export class TenantClient implements Queryable {
  private released = false;

  constructor(
    private readonly tenant: string,
    /** The tenant's epoch when the cluster was chosen. */
    private readonly epoch: number,
    private readonly cluster: Cluster,
    private readonly connection: PoolClient,
    private readonly shared: Shared,
  ) {}

  /** The cluster that it is connected to. */
  get home(): string {
    return this.cluster.name;
  }

  /** The driver's client, for streams and cursors. What is done with it is between the application and the database: no error of the router comes of it. */
  get client(): PoolClient {
    this.refuseReleased();
    return this.connection;
  }

  /** @throws {@link TenantMovedError} or {@link TenantMovingError} if the fence refuses, or a write met no row and the tenant had just left: release it and take another. */
  async query<Row extends QueryResultRow = QueryResultRow>(text: string, values?: readonly unknown[], { signal }: QueryOptions = {}): Promise<QueryResult<Row>> {
    this.refuseReleased();
    const { cluster, shared, connection, tenant } = this;
    const epoch = shared.directory.recordOf(tenant)?.epoch ?? this.epoch;
    try {
      const result = await cluster.run<Row>(connection, text, values, signal);
      // In a transaction the snapshot may be an old one.
      if (metNothing(text, result)) await confirmHome(cluster.name, tenant, epoch, (statement, its = []) => (connection.getTransactionStatus() === "I" ? cluster.run(connection, statement, its, signal) : cluster.link.ask(statement, its)));
      return result;
    } catch (error) {
      const refusal = refusedBy(cluster, tenant, error);
      if (refusal !== undefined) await learned(shared, refusal, cluster);
      throw explained(error, refusal, tenant, refusal !== undefined && !(error instanceof MissedError) && mayCommitInPart(text) ? "unknown" : "no");
    }
  }

  /** Gives the connection back to the pool; `true` closes it instead. In a transaction, or with a statement that has not ended, it is closed, and what was not committed is rolled back. */
  release(close = false): void {
    if (this.released) return;
    this.released = true;
    this.cluster.release(this.connection, close);
  }

  [Symbol.dispose](): void {
    this.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.release();
    return Promise.resolve();
  }

  private refuseReleased(): void {
    if (this.released) throw new RouterError("ENDED", `The connection for tenant ${this.tenant} was released, and may be another's by now: take one with connect()`);
  }
}

/** Whether a statement in a transaction ended it. `ROLLBACK TO` a savepoint is called a rollback as well, and leaves it open. */
function endsTransaction(client: PoolClient, text: string, result: QueryResult | QueryResult[] | undefined): boolean {
  if (client.getTransactionStatus() === "I") return true;
  if (result !== undefined) return [result].flat().some(({ command }) => command === "COMMIT");
  const commands = commandsOf(text);
  return commands.length > 1 && commands.some((command) => command === "COMMIT" || command === "END");
}

/** What the fence of a cluster said, if an error is its. */
function refusedBy({ name }: Cluster, tenant: string, error: unknown): Refusal | undefined {
  const refusal = error instanceof RouterError ? undefined : refusalOf(error);
  if (refusal !== undefined) tell("tenant-router:refusal", { cluster: name, tenant, refusal });
  return refusal;
}

/** Takes in what the fence of a cluster said. @returns whether that was news. */
async function learned({ directory, clusters }: Shared, refusal: Refusal, { name, link }: Cluster): Promise<boolean> {
  if (refusal.kind === "other" || refusal.kind === "unready") return false;
  const { tenant, home, epoch } = refusal;
  if (epoch > 0) {
    const news = directory.learn(tenant, { home, epoch, state: refusal.kind === "closed" ? "closed" : "settled" }, name);
    // It may have left there, too; nobody waits for that to be seen.
    if (news && home !== name) void clusters.get(home)?.link.doubt(tenant);
    return news;
  }
  // By the ring, and another than is known here. Where it is closed, there is nothing to know until it opens.
  if (refusal.kind === "elsewhere") await link.doubt(tenant);
  return false;
}

/** Where a tenant lives, in full. */
export async function locate({ directory, lookup }: Pick<Shared, "directory" | "lookup">, tenant: string): Promise<Location> {
  const found = await lookup.hear(tenant);
  return directory.locate(tenant) ?? { tenant, by: found.epoch > 0 ? "lookup" : "hash", ...found };
}

/** A refusal as the router's error; other errors as they are. */
function explained(error: unknown, refusal: Refusal | undefined, tenant: string, applied: Applied = "no"): Error {
  switch (refusal?.kind) {
    case "elsewhere":
    case "closed":
      if (refusal.tenant !== tenant) return new OtherTenantError(tenant, `The statement writes tenant ${refusal.tenant}, and was run through tenant ${tenant}: take router.for(${JSON.stringify(refusal.tenant)})`, error, applied);
      return refusal.kind === "elsewhere" ? new TenantMovedError(tenant, refusal.home, error, applied) : new TenantMovingError(tenant, error, applied);
    case "unready":
      return new TenantMovingError(tenant, error, applied);
    case "other":
      return new OtherTenantError(tenant, (error as Error).message, error, applied);
    case undefined:
      return error as Error;
  }
}
