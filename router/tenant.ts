import type { Pool, PoolClient, QueryResult, QueryResultRow } from "pg";
import { settingOf, traceFromHere, type Cluster } from "./cluster";
import { confirmHome, metNothing, type Run } from "./confirm";
import { tell, traced, TRANSACTION } from "./diagnostics";
import type { Location } from "./directory";
import { ConfigurationError, RouterError, TenantMovedError, TenantMovingError } from "./errors";
import { Home, locate, Patience, transactionOf, type Running, type Shared } from "./home";
import { refusalOf } from "./refusal";
import { commandsOf, mayCommitInPart } from "./sqlText";
import { TenantPool, type Counts } from "./tenantPool";

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

/** Of a pool to a cluster that the router was not given. */
const NO_CONNECTIONS: Counts = { open: 0, idle: 0, waiting: 0 };

/** SQLSTATEs of a transaction that PostgreSQL rolled back so that another could go on. */
const CONFLICTS = new Set(["40001", "40P01"]);

/** SQLSTATE of statements in a transaction that has failed. */
const FAILED = "25P02";

/** How deep an ORM may hide the error that it met. */
const CAUSES = 10;

const ISOLATIONS: readonly unknown[] = ["read committed", "repeatable read", "serializable"] satisfies readonly TransactionOptions["isolation"][];

/** A tenant as the application uses it: its statements go to its home, wherever that is at the moment. */
export class Tenant implements Queryable {
  private readonly home: Home;
  private ownPool: Pool | undefined;

  constructor(
    /** The id as text, as the databases have it. */
    readonly id: string,
    private readonly shared: Shared,
  ) {
    this.home = new Home(id, shared);
  }

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
   * @throws {@link ClusterDownError}, {@link TenantMovingError}, {@link PoolTimeoutError}, {@link StatementTimeoutError}, {@link UnknownOutcomeError}, the signal's reason, or the database's error.
   */
  query<Row extends QueryResultRow = QueryResultRow>(text: string, values?: readonly unknown[], options: QueryOptions = {}): Promise<QueryResult<Row>> {
    if (this.shared.bindStatements) return this.transaction((transaction) => transaction.query<Row>(text, values), options);
    return this.home.query<Row>(text, values, options.signal);
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
    this.home.refuseOther();
    const { isolation = "read committed" } = options;
    if (!ISOLATIONS.includes(isolation)) throw new ConfigurationError(`isolation: must be one of ${ISOLATIONS.join(", ")}, and is ${String(isolation)}`);
    let at = "";
    for (let left = options.retries ?? 0; ; left -= 1) {
      try {
        return await this.home.following(new Patience(this.shared.moveTimeoutMs), options.signal, (cluster, epoch) => {
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
    this.home.refuseOther();
    const { cluster, epoch } = await this.home.find();
    return new TenantClient(this.home, epoch, cluster, await cluster.acquire(signal, this.id));
  }

  /**
   * A pool for ORMs, and for whatever else takes one of `pg`. Statements through it, and through its clients outside of transactions, follow the tenant as those of {@link query} do. A transaction that is begun by hand on a client of
   * `connect()` is bound to the tenant, and not run again by itself: it fails with {@link TenantMovedError} or {@link TenantMovingError}, whose `applied` is `no`, and {@link retry} runs it again. `end()` ends the use of this
   * pool, and neither the router nor a connection.
   */
  get pool(): Pool {
    return (this.ownPool ??= new TenantPool({
      home: () => this.home,
      counts: () => this.home.likely?.counts ?? NO_CONNECTIONS,
      max: this.home.likely?.max,
      goesByRun: false,
      bound: this.shared.bindStatements,
    }));
  }

  /**
   * Runs work in a run of this tenant, and again as long as it fails because the tenant moves or has moved, for `moveTimeoutMs` from the first refusal: for transactions that an ORM begins and ends itself. Whatever the work did
   * before it failed is done again, so it should be one transaction, and nothing outside of the database.
   *
   * @throws what the work throws: also {@link TenantMovingError} or {@link TenantMovedError} with `applied: "unknown"`, which is not run again.
   */
  async retry<Result>(work: (tenant: Tenant) => Result | PromiseLike<Result>): Promise<Result> {
    const patience = new Patience(this.shared.moveTimeoutMs);
    for (;;) {
      const { home: cluster } = await this.locate();
      const run = new Home(this.id, this.shared);
      try {
        return await run.inRun(() => work(this));
      } catch (error) {
        const refused = refusedOf(error, this.id, run.toldOfRefusal);
        if (refused === undefined || patience.over) throw error;
        if (refused instanceof TenantMovingError || refused.home !== this.shared.directory.recordOf(this.id)?.home) await this.home.pause(cluster);
        tell("tenant-router:repeat", { tenant: this.id, cluster, reason: refused instanceof TenantMovedError ? "elsewhere" : "closed" });
      }
    }
  }

  private async runTransaction<Result>(
    cluster: Cluster,
    epoch: number,
    work: (transaction: Queryable) => Promise<Result>,
    signal: AbortSignal | undefined,
    isolation: NonNullable<TransactionOptions["isolation"]>,
  ): Promise<Result> {
    const limit = cluster.timeLimit(this.id, true);
    const client = await cluster.acquire(signal, this.id);
    const running: Running = { tenant: this.id, shared: this.shared, over: false };
    let broken: Error | undefined;
    let failure: unknown;
    let missed = false;
    let escaped = false;
    const run = async <Row extends QueryResultRow>(text: string, values?: readonly unknown[], its = signal): Promise<QueryResult<Row>> => {
      try {
        const result = await cluster.run<Row>(client, text, values, its, limit);
        // A late cancellation would meet the next statement.
        its?.throwIfAborted();
        return result;
      } catch (error) {
        traceFromHere(error);
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
    const ask: Run = isolation === "read committed" ? run : (text, values = []) => cluster.link.ask(text, values);
    let committing = false;
    try {
      await run(`BEGIN ISOLATION LEVEL ${isolation}; ${settingOf(limit)}${this.home.binding}`);
      const [outcome] = await Promise.allSettled([transactionOf.run(running, () => work({ query }))]);
      running.over = true;
      if (escaped) throw new RouterError("TRANSACTION_OVER", "The work ended its transaction itself: what came before may have been applied. Return from the work to commit, and throw to roll back", { cause: outcome.status === "rejected" ? outcome.reason : undefined }, "unknown");
      // Also where the work threw: it may have missed something that is there. A transaction that has failed is rolled back anyway.
      if (missed && broken === undefined && client.getTransactionStatus() !== "E") await confirmHome(cluster.name, this.id, epoch, ask).catch((error: unknown) => (error as { code?: string }).code === FAILED || Promise.reject(error as Error));
      if (outcome.status === "rejected") throw outcome.reason;
      // A transaction that has written holds the tenant where it is; one that has only read may have seen a part.
      if (this.home.mayHaveLeft(cluster, epoch)) await this.home.confirmStayed(cluster, epoch, ask);
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
      throw (refused as Error | undefined) ?? this.home.explained(error, refusalOf(error));
    } finally {
      cluster.release(client, broken !== undefined);
    }
  }
}

/**
 * The refusal that an error is of, or an ORM's error that was made of one, if nothing was applied.
 *
 * @param told what the run was told of last: Prisma keeps its code, and neither class nor cause.
 */
function refusedOf(error: unknown, tenant: string, told: TenantMovedError | TenantMovingError | undefined): TenantMovedError | TenantMovingError | undefined {
  for (let cause = error, depth = 0; cause instanceof Error && depth < CAUSES; cause = cause.cause, depth += 1) {
    if (!(cause instanceof RouterError)) {
      if (told?.applied === "no" && (cause as { code?: unknown }).code === told.code) return told;
      continue;
    }
    if (!(cause instanceof TenantMovedError || cause instanceof TenantMovingError)) return undefined;
    return cause.tenant === tenant && cause.applied === "no" ? cause : undefined;
  }
  return undefined;
}

/** A connection that stays with one cluster. */
export class TenantClient implements Queryable {
  private released = false;
  /** The last statement that has a limit of time: it is not that of others before it. */
  private limited: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly tenantHome: Home,
    /** The tenant's epoch when the cluster was chosen. */
    private readonly epoch: number,
    private readonly cluster: Cluster,
    private readonly connection: PoolClient,
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
    const { cluster, connection, tenantHome } = this;
    const epoch = tenantHome.epochOr(this.epoch);
    try {
      const limit = cluster.timeLimit(tenantHome.tenant);
      const run = (): Promise<QueryResult<Row>> => cluster.run<Row>(connection, text, values, signal, limit);
      const answer = limit === undefined ? run() : this.limited.then(run);
      if (limit !== undefined) this.limited = answer.catch(() => undefined);
      const result = await answer;
      // In a transaction the snapshot may be an old one.
      if (metNothing(text, result)) await confirmHome(cluster.name, tenantHome.tenant, epoch, (statement, its = []) => (connection.getTransactionStatus() === "I" ? cluster.run(connection, statement, its, signal) : cluster.link.ask(statement, its)));
      return result;
    } catch (error) {
      traceFromHere(error);
      throw await tenantHome.told(error, cluster, mayCommitInPart(text) ? "unknown" : "no");
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
    if (this.released) throw new RouterError("ENDED", `The connection for tenant ${this.tenantHome.tenant} was released, and may be another's by now: take one with connect()`);
  }
}

/** Whether a statement in a transaction ended it. `ROLLBACK TO` a savepoint is called a rollback as well, and leaves it open. */
function endsTransaction(client: PoolClient, text: string, result: QueryResult | QueryResult[] | undefined): boolean {
  if (client.getTransactionStatus() === "I") return true;
  if (result !== undefined) return [result].flat().some(({ command }) => command === "COMMIT");
  const commands = commandsOf(text);
  return commands.length > 1 && commands.some((command) => command === "COMMIT" || command === "END");
}
