import { EventEmitter } from "node:events";
import { Writable } from "node:stream";
import { escapeIdentifier, escapeLiteral, type Connection, type PoolClient, type QueryConfig, type QueryResult, type Submittable, type TransactionStatus } from "pg";
import { settingOf, textOf, traceFromHere, type Cluster, type Holder, type Statement, type TimeLimit } from "./cluster";
import type { Run } from "./confirm";
import { STATEMENT, traced } from "./diagnostics";
import { OtherTenantError, RouterError, UnknownOutcomeError } from "./errors";
import { Patience, type Home } from "./home";
import { beginsTransaction, commandsOf, commits, leavesState, mayCommitInPart, needsSession } from "./sqlText";
import type { TenantPool } from "./tenantPool";

/** A driver's callback. */
export type Callback = (error: Error | undefined, result?: unknown) => void;

/** What makes PostgreSQL fail the transaction that it is run in, and leave its savepoints usable. */
const FAIL = "DO $$BEGIN RAISE EXCEPTION USING ERRCODE = 'TN001', MESSAGE = 'the tenant may have left this cluster'; END$$";

/** What the driver calls of a cursor or a stream. */
interface Answered {
  handleError?: (error: Error, connection: Connection) => void;
  handleReadyForQuery?: (connection: Connection) => void;
}

/**
 * A client of a tenant's pool, which a program takes for the driver's. Its statements follow the tenant to another connection, where that changes nothing for them: outside of transactions, and as long as nothing was done that a session
 * remembers (`SET`, `LISTEN`, `PREPARE`, temporary tables, functions that are not PostgreSQL's own, cursors, streams). Everything else is refused with {@link TenantMovedError} or {@link TenantMovingError}.
 *
 * A transaction that is begun here by hand is bound to the tenant. It has failed once an answer was not the home's, and is to be begun again by its owner.
 */
export class PooledClient extends EventEmitter implements Holder {
  readonly escapeIdentifier = escapeIdentifier;
  readonly escapeLiteral = escapeLiteral;
  private released = false;
  /** What the program does while a connection is told of, in the pool's event `connect`. */
  private telling = false;
  /** Whether its session may have something that a later statement counts on. */
  private kept = false;
  /** The last statement outside of transactions, until it is looked at whether it leaves something. */
  private unjudged: string | undefined;
  /** The home's epoch when the transaction began. */
  private epoch = 0;
  /** How long statements of the transaction may run. */
  private limit: TimeLimit | undefined;
  private work: Promise<unknown> = Promise.resolve();
  private pending = 0;

  constructor(
    private readonly pool: TenantPool,
    private readonly home: Home,
    private cluster: Cluster,
    /** The tenant's epoch when the cluster was chosen. */
    private chosenIn: number,
    private session: PoolClient,
    /** Whether whoever uses it has to be in a run of its tenant, or in none. */
    private readonly goesByRun: boolean,
  ) {
    super();
    this.take(cluster, session);
  }

  query(statement: unknown, values?: unknown, callback?: unknown): unknown {
    if (statement === undefined || statement === null) throw new TypeError("Client was passed a null or undefined query");
    // Before anything else that the connection is used for.
    if (this.telling) return (this.session.query as (...given: unknown[]) => unknown).call(this.session, statement, values, callback);
    const [given, called] = typeof values === "function" ? [undefined, values] : [values, callback];
    if (isSubmittable(statement)) {
      this.submit(statement, called);
      return statement;
    }
    const { callback: own } = statement as { callback?: unknown };
    // The driver would call it for each attempt.
    const config = typeof own === "function" ? ({ ...(statement as QueryConfig), callback: undefined } as QueryConfig) : (statement as Statement);
    const answer = this.serially(() => this.execute(config, given as readonly unknown[] | undefined));
    return answered(answer, (called ?? own) as Callback | undefined);
  }

  /** Gives the connection back to the pool; an error or `true` closes it instead. In a transaction, or with a statement that does not end, it is closed, and what was not committed is rolled back. */
  readonly release = (error?: Error | boolean): void => {
    if (this.released) throw new Error("Release called on client which has already been released to the pool.");
    this.released = true;
    this.pool.left(this, error);
    const give = (): void => this.cluster.release(this.session, Boolean(error));
    // What was sent before is to have its answer.
    if (this.pending === 0) give();
    else void this.work.then(give, give);
  };

  /** What the connection tells. An error is told to who listens: one that breaks fails the next statement anyway. */
  tell(event: string, ...given: unknown[]): void {
    if (event === "remove") this.pool.emit("remove", this);
    else if (event !== "error" || this.listenerCount("error") > 0) this.emit(event, ...given);
    else if (this.pool.listenerCount("error") > 0) this.pool.emit("error", given[0], this);
  }

  get processID(): number | undefined {
    return (this.session as unknown as { processID?: number }).processID;
  }

  get connection(): Connection {
    return this.session.connection;
  }

  get host(): string {
    return this.session.host;
  }

  get port(): number {
    return this.session.port;
  }

  get database(): string | undefined {
    return this.session.database;
  }

  get user(): string | undefined {
    return this.session.user;
  }

  get ssl(): boolean {
    return this.session.ssl;
  }

  get pipeline(): boolean {
    return this.session.pipeline;
  }

  getTransactionStatus(): TransactionStatus {
    return this.session.getTransactionStatus();
  }

  getTypeParser(...given: Parameters<PoolClient["getTypeParser"]>): unknown {
    return this.session.getTypeParser(...given);
  }

  setTypeParser(...given: Parameters<PoolClient["setTypeParser"]>): void {
    this.kept = true;
    this.session.setTypeParser(...given);
  }

  pauseDrain(): void {
    this.session.pauseDrain();
  }

  resumeDrain(): void {
    this.session.resumeDrain();
  }

  connect(callback?: Callback): unknown {
    return answered(Promise.reject(new Error("Client has already been connected. You cannot reuse a client.")), callback);
  }

  /** Ends the connection; the client is to be released all the same. */
  end(callback?: Callback): unknown {
    return answered(this.serially(() => this.session.end()), callback);
  }

  ref(): void {
    (this.session as unknown as { ref: () => void }).ref();
  }

  unref(): void {
    (this.session as unknown as { unref: () => void }).unref();
  }

  /** Begins a task once those before it have ended. */
  private serially<Result>(task: () => Promise<Result>): Promise<Result> {
    const before = this.pending === 0 ? undefined : this.work;
    this.pending += 1;
    const done = this.inTurn(task, before);
    this.work = done;
    return done;
  }

  private async inTurn<Result>(task: () => Promise<Result>, before: Promise<unknown> | undefined): Promise<Result> {
    try {
      if (before !== undefined) await before.catch(() => undefined);
      return await task();
    } finally {
      this.pending -= 1;
    }
  }

  private get inTransaction(): boolean {
    return this.session.getTransactionStatus() !== "I";
  }

  private execute(statement: Statement, values: readonly unknown[] | undefined): Promise<QueryResult> {
    const text = textOf(statement);
    if (this.inTransaction) return this.within(statement, values, text);
    return STATEMENT.hasSubscribers ? traced(STATEMENT, this.home.tenant, this.home.shared.directory, () => this.outside(statement, values, text)) : this.outside(statement, values, text);
  }

  /** @throws {@link RouterError} if it was released; {@link OtherTenantError} if it belongs to another tenant than the code that runs. */
  private refuse(): void {
    const { tenant, shared } = this.home;
    if (this.released) throw new RouterError("ENDED", `The client of tenant ${tenant} was released, and its connection may be another's by now: take one with connect()`);
    const current = shared.current.getStore();
    if (!this.goesByRun || current === undefined || current.tenant === tenant) return;
    throw new OtherTenantError(tenant, `A client of tenant ${tenant} cannot have statements in a run of tenant ${current.tenant}: they may live in different clusters. Take another client there`);
  }

  private async outside(statement: Statement, values: readonly unknown[] | undefined, text: string): Promise<QueryResult> {
    this.refuse();
    this.kept ||= this.unjudged !== undefined && (leavesState(this.unjudged) || needsSession(text));
    this.unjudged = text;
    if (beginsTransaction(text)) return this.begin(statement, values, text);
    const { home } = this;
    for (let patience: Patience | undefined; ; ) {
      // What its session keeps is there and nowhere else.
      const { cluster, epoch } = this.kept ? { cluster: this.cluster, epoch: home.epochOr(this.chosenIn) } : (home.known() ?? (await home.opened()));
      try {
        const session = cluster === this.cluster ? this.session : await this.change(cluster);
        this.chosenIn = epoch;
        const result = home.shared.bindStatements ? await this.bound(cluster, session, statement, values) : await cluster.run(session, statement, values, undefined, cluster.timeLimit(home.tenant));
        if (session.getTransactionStatus() === "T") await this.bind(epoch);
        if (home.needsConfirming(cluster, epoch, result)) await home.confirm(cluster, epoch, text, result, (asked, its = []) => (this.inTransaction ? cluster.link.ask(asked, its) : cluster.run(session, asked, its)));
        return result;
      } catch (error) {
        traceFromHere(error);
        if (this.kept) throw await home.told(error, cluster, mayCommitInPart(text) ? "unknown" : "no");
        await home.follow(error, cluster, (patience ??= new Patience(home.shared.moveTimeoutMs)), undefined, text);
      }
    }
  }

  /** Begins a transaction, which is bound to the tenant by the same message where that can be. */
  private async begin(statement: Statement, values: readonly unknown[] | undefined, text: string): Promise<QueryResult> {
    const { home } = this;
    const run = async (cluster: Cluster, epoch: number): Promise<QueryResult> => {
      const session = await this.at(cluster, epoch);
      const prepared = (values?.length ?? 0) > 0 || (typeof statement !== "string" && (statement.name !== undefined || ((statement.values as unknown[] | undefined)?.length ?? 0) > 0));
      if (prepared) {
        const result = await cluster.run(session, statement, values);
        await this.bind(epoch);
        return result;
      }
      this.epoch = epoch;
      const results = (await cluster.run(session, `${text}\n; ${this.timing()}${home.binding}`, undefined)) as unknown as [QueryResult];
      return results[0];
    };
    return this.kept ? run(this.cluster, home.epochOr(this.chosenIn)) : home.following(new Patience(home.shared.moveTimeoutMs), undefined, run);
  }

  /** Runs a statement in a transaction of its own, which is bound to the tenant. */
  private async bound(cluster: Cluster, session: PoolClient, statement: Statement, values: readonly unknown[] | undefined): Promise<QueryResult> {
    await cluster.run(session, `BEGIN; ${this.timing()}${this.home.binding}`, undefined);
    try {
      const result = await cluster.run(session, statement, values, undefined, this.limit);
      await cluster.commit(session);
      return result;
    } catch (error) {
      await cluster.run(session, "ROLLBACK", undefined).catch(() => undefined);
      throw error;
    }
  }

  private async bind(epoch: number): Promise<void> {
    this.epoch = epoch;
    await this.cluster.run(this.session, `${this.timing()}${this.home.binding}`, undefined);
  }

  /** What limits the time of statements in a transaction that begins. */
  private timing(): string {
    this.limit = this.cluster.timeLimit(this.home.tenant, true);
    return settingOf(this.limit);
  }

  /** A statement in a transaction: what is refused in it, the transaction's owner has to do again as a whole. */
  private async within(statement: Statement, values: readonly unknown[] | undefined, text: string): Promise<QueryResult> {
    this.refuse();
    const { cluster, session, home, epoch } = this;
    const ends = commits(text);
    const alone = ends && commandsOf(text).length === 1;
    // Not in the transaction, whose snapshot may be an old one.
    const ask: Run = (asked, its = []) => cluster.link.ask(asked, its);
    try {
      // A transaction that has written holds the tenant where it is; one that has only read may have seen a part.
      if (ends && session.getTransactionStatus() === "T" && home.mayHaveLeft(cluster, epoch)) await this.sure(() => home.confirmStayed(cluster, epoch, ask), "ROLLBACK");
      const result = await cluster.run(session, statement, values, undefined, this.limit);
      if (session.getTransactionStatus() === "T" && home.needsConfirming(cluster, epoch, result)) await this.sure(() => home.confirm(cluster, epoch, text, result, ask), FAIL);
      // COMMIT AND CHAIN has begun another.
      if (ends && session.getTransactionStatus() === "T") await this.bind(home.epochOr(epoch));
      return result;
    } catch (error) {
      traceFromHere(error);
      throw await home.told(error, cluster, ends && !alone ? "unknown" : "no");
    } finally {
      this.kept ||= leavesState(text);
    }
  }

  /** Fails the transaction, or ends it, where something about its home is not sure. */
  private async sure(check: () => Promise<void>, otherwise: string): Promise<void> {
    try {
      await check();
    } catch (error) {
      await this.cluster.run(this.session, otherwise, undefined).catch(() => undefined);
      throw error;
    }
  }

  /** The connection, after it was changed for one to the tenant's home where that is another cluster. */
  private async at(cluster: Cluster, epoch: number): Promise<PoolClient> {
    this.chosenIn = epoch;
    return cluster === this.cluster ? this.session : this.change(cluster);
  }

  private async change(cluster: Cluster): Promise<PoolClient> {
    const session = await cluster.acquire(undefined, this.home.tenant);
    this.cluster.release(this.session);
    [this.cluster, this.session] = [cluster, session];
    this.take(cluster, session);
    return session;
  }

  private take(cluster: Cluster, session: PoolClient): void {
    if (!cluster.hold(session, this)) return;
    this.telling = true;
    try {
      this.pool.emit("connect", this);
    } finally {
      this.telling = false;
    }
  }

  /** Sends a cursor, a stream or a query of the driver's own: at once if nothing is to be waited for, as the driver does. */
  private submit(submittable: Submittable, callback: unknown): void {
    const waits = this.pending > 0 || (!this.kept && !this.inTransaction && this.home.known()?.cluster !== this.cluster);
    const send = (): void => {
      this.refuse();
      this.kept = true;
      const { cluster, session } = this;
      const answering = submittable as Answered;
      const { handleError, handleReadyForQuery } = answering;
      if (handleError !== undefined)
        answering.handleError = (error, connection) => {
          const refusal = this.home.refused(error, cluster);
          if (refusal !== undefined) void this.home.learn(refusal, cluster);
          handleError.call(answering, this.home.noted(this.home.explained(error, refusal)), connection);
        };
      if (handleReadyForQuery !== undefined && handleError !== undefined && submittable instanceof Writable)
        answering.handleReadyForQuery = (connection) => {
          const notice = cluster.doubt(session);
          if (notice === undefined) handleReadyForQuery.call(answering, connection);
          else handleError.call(answering, new UnknownOutcomeError(cluster.name, notice), connection);
        };
      (session.query as (...given: unknown[]) => unknown).call(session, submittable, callback);
    };
    if (!waits) return send();
    const fail = (error: Error): void => (submittable as Answered).handleError?.(error, this.session.connection);
    void this.serially(async () => {
      try {
        if (!this.kept && !this.inTransaction) {
          const { cluster, epoch } = await this.home.find();
          await this.at(cluster, epoch);
        }
        send();
      } catch (error) {
        fail(error as Error);
      }
    });
  }
}

/** Gives a promise, or calls back as the driver does. */
export function answered<Result>(answer: Promise<Result>, callback: Callback | undefined): Promise<Result> | undefined {
  if (callback === undefined) return answer;
  // What the callback throws is the program's, and no rejection.
  answer.then((result) => process.nextTick(callback, null, result), (error: unknown) => process.nextTick(callback, error));
  return undefined;
}

/** Whether something is a cursor, a stream or a query of the driver's own. */
export function isSubmittable(statement: unknown): statement is Submittable {
  return typeof (statement as { submit?: unknown } | undefined)?.submit === "function";
}
