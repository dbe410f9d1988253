import { setTimeout as delay } from "node:timers/promises";
import { Client, DatabaseError, Pool, type ClientConfig, type PoolClient, type PoolConfig, type QueryConfig, type QueryResult, type QueryResultRow } from "pg";
import { isHeard, tell } from "./diagnostics";
import type { Directory } from "./directory";
import { ClusterDownError, PoolTimeoutError, RouterError, UnknownOutcomeError } from "./errors";
import { destroy, Link, type Pooled } from "./link";
import type { Limits } from "./options";
import { commandsOf } from "./sqlText";
import type { IdType } from "./tenantId";

/** SQLSTATEs of a server that takes no connection now, and may in a moment. */
const NOT_NOW = new Set(["57P03", "53300", "08001", "08004"]);
const NOT_NOW_PAUSE_MS = 50;

/** SQLSTATEs with which a server ends a connection. The severity says so, too, in the server's language. */
const ENDS = new Set(["57P01", "57P02", "57P05", "25P03"]);

/** How long a statement that was cancelled, or left behind, may take to end before its connection is given up. */
const CANCEL_MS = 500;

/** Connections of a pool that says nothing else. */
const DEFAULT_MAX = 10;

/** What the driver runs: a text, or one with what else it takes (a name, `rowMode`, `types`). */
export type Statement = string | QueryConfig;

/** Who has a connection, and is told what happens to it. */
export interface Holder {
  tell(event: string, ...given: unknown[]): void;
}

/** Gets a connection, or the reason why there is none. */
type Taker = (error: unknown, client: PoolClient | undefined) => void;

/** Somebody who waits for a connection. */
interface Waiter {
  readonly take: Taker;
  /** When it began, and how long it may take, by `performance.now()`. */
  readonly since: number;
  readonly until: number;
  /** Whether one is opened for it. */
  readonly opening: boolean;
  /** Called when it is over. */
  stop: (() => void) | undefined;
  over: boolean;
}

/** What of a connection's own events its holder hears. */
const TOLD = ["error", "end", "drain", "notice", "notification"] as const;

/** One cluster: its pool of connections, and whether it is there. */
export class Cluster implements Pooled {
  readonly link: Link;
  answeredAt = 0;
  private readonly pool: Pool;
  /** Connections at most. */
  readonly max: number;
  private readonly clients = new Set<PoolClient>();
  /** Connections that have ended. */
  private readonly lost = new WeakSet<PoolClient>();
  /** Connections that a cancellation was sent after: it may meet the next statement. */
  private readonly cancelled = new WeakSet<PoolClient>();
  /** Connections with a commit that may be lost. */
  private readonly doubtful = new Map<PoolClient, unknown>();
  /** Connections that nobody has had yet. */
  private readonly unused = new WeakSet<PoolClient>();
  private readonly holders = new Map<PoolClient, Holder>();
  /** In the order in which they came. */
  private readonly waiting = new Set<Waiter>();
  /** Ends the waits that take too long: one for all of them, as all may take as long. */
  private alarm: NodeJS.Timeout | undefined;

  constructor(
    readonly name: string,
    config: PoolConfig,
    private readonly limits: Limits,
    directory: Directory,
    agree: (type: IdType) => void,
  ) {
    const { max, min, idleTimeoutMillis, allowExitOnIdle, maxUses, maxLifetimeSeconds, ...connection } = config;
    this.max = max ?? DEFAULT_MAX;
    const client: ClientConfig = { ...connection, connectionTimeoutMillis: limits.connectTimeoutMs, keepAlive: true };
    // The pool's own time limit would count the wait for a free connection, too; a pool that is full is not a cluster that is down.
    class TimedClient extends Client {
      constructor() {
        super(client);
      }
    }
    const bounds = { max, min, idleTimeoutMillis, allowExitOnIdle, maxUses, maxLifetimeSeconds };
    this.pool = new Pool({ ...(Object.fromEntries(Object.entries(bounds).filter(([, value]) => value !== undefined)) as PoolConfig), Client: TimedClient });
    // A connection that breaks while it is idle is replaced by the pool.
    this.pool.on("error", () => undefined);
    this.pool.on("connect", (opened) => {
      this.clients.add(opened);
      this.unused.add(opened);
      opened.on("error", () => void this.lost.add(opened));
      opened.on("end", () => void this.lost.add(opened));
      opened.on("notice", (notice) => {
        if (isAbandonedWait(notice)) this.doubtful.set(opened, notice);
      });
      for (const event of TOLD) opened.on(event as "end", (...given: unknown[]) => this.holders.get(opened)?.tell(event, ...given));
    });
    this.pool.on("remove", (removed) => {
      this.clients.delete(removed);
      this.doubtful.delete(removed);
      this.holders.get(removed)?.tell("remove");
      this.holders.delete(removed);
    });
    this.link = new Link(name, client, directory, this, agree);
    this.link.on("down", (error) => {
      for (const waiter of this.waiting) this.giveUp(waiter, new ClusterDownError(name, "no", error));
      for (const opened of this.clients) destroy(opened);
    });
  }

  get up(): boolean {
    return this.link.up;
  }

  /** Connections that are open, idle among them, and statements that wait for one. */
  get counts(): { readonly open: number; readonly idle: number; readonly waiting: number } {
    return { open: this.pool.totalCount, idle: this.pool.idleCount, waiting: this.pool.waitingCount };
  }

  /**
   * A connection of the pool, which the caller gives to {@link release}.
   *
   * @throws {@link ClusterDownError} at once if the cluster is down, and when it goes down meanwhile; {@link PoolTimeoutError}; the signal's reason.
   */
  async acquire(signal?: AbortSignal): Promise<PoolClient> {
    if (!this.link.up) throw new ClusterDownError(this.name, "no", this.link.reason);
    const until = performance.now() + this.limits.connectTimeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      try {
        return await this.connection(signal);
      } catch (error) {
        if (signal?.aborted === true) throw error;
        if (!isNotNow(error) || performance.now() > until) throw this.unconnected(error as Error);
        await delay(NOT_NOW_PAUSE_MS);
      }
    }
  }

  /** Gives a connection back. One that is in a transaction, or has a statement that does not end, is closed: whoever gets it next would be part of that. */
  release(client: PoolClient, close = false): void {
    if (close || this.lost.has(client) || this.cancelled.has(client)) client.release(true);
    else if (isIdle(client)) this.free(client);
    else void settled(client).then(() => (isIdle(client) ? this.free(client) : client.release(true)));
  }

  /** Who has a connection is told of its events until it is released. @returns whether it has just been opened. */
  hold(client: PoolClient, holder: Holder): boolean {
    this.holders.set(client, holder);
    return this.unused.delete(client);
  }

  /** The warning that a commit on a connection may be lost, if there was one; it is told once. */
  doubt(client: PoolClient): unknown {
    const notice = this.doubtful.get(client);
    this.doubtful.delete(client);
    return notice;
  }

  private free(client: PoolClient): void {
    if (this.holders.size > 0) this.holders.delete(client);
    // Of what nobody asked for the outcome of. It is not the next one's.
    if (this.doubtful.size > 0) this.doubtful.delete(client);
    client.release();
  }

  /**
   * Runs a statement on a connection.
   *
   * @throws {@link ClusterDownError} with `applied: "unknown"` if the connection breaks before the answer; {@link UnknownOutcomeError} if its commit may be lost; the signal's reason; the database's error.
   */
  run<Row extends QueryResultRow>(client: PoolClient, statement: Statement, values: readonly unknown[] | undefined, signal?: AbortSignal): Promise<QueryResult<Row>> {
    const answer = new Promise<QueryResult<Row>>((resolve, reject) => this.send<Row>(client, statement, values, (error, result) => (result === undefined ? reject(thrown(error)) : resolve(result))));
    return signal === undefined ? answer : this.cancellable(client, answer, signal);
  }

  /** Commits. A commit is not cancelled: it would be done, and might be lost. @throws {@link UnknownOutcomeError} where the signal gives it up before the answer; what {@link run} throws. */
  async commit(client: PoolClient, signal?: AbortSignal): Promise<QueryResult> {
    const answer = this.run(client, "COMMIT", undefined);
    try {
      return await withSignal(answer, signal);
    } catch (error) {
      if (signal?.aborted !== true || error !== signal.reason) throw error;
      answer.catch(() => undefined);
      this.cancelled.add(client);
      destroy(client);
      throw new UnknownOutcomeError(this.name, error);
    }
  }

  /** Runs a statement on any connection of the pool. @throws what {@link acquire} and {@link run} throw; {@link RouterError} `OPEN_TRANSACTION` if it began a transaction and did not end it. */
  query<Row extends QueryResultRow>(statement: Statement, values: readonly unknown[] | undefined, signal?: AbortSignal): Promise<QueryResult<Row>> {
    if (signal !== undefined || !this.link.up) return this.queryPatiently<Row>(statement, values, signal);
    // The usual way: as the driver's pool has it, with one promise.
    return new Promise((resolve, reject) => {
      this.next((refused, client) => {
        if (client === undefined) {
          if (isNotNow(refused)) resolve(this.queryPatiently<Row>(statement, values, undefined));
          else reject(this.unconnected(thrown(refused)));
          return;
        }
        this.send<Row>(client, statement, values, (error, result) => {
          try {
            if (result === undefined) return reject(thrown(error));
            refuseOpen(client, statement);
            resolve(result);
          } catch (open) {
            reject(thrown(open));
          } finally {
            this.release(client, error instanceof ClusterDownError);
          }
        });
      });
    });
  }

  /** {@link query}, for what may be given up, and waits for a server that takes no connection now. */
  private async queryPatiently<Row extends QueryResultRow>(statement: Statement, values: readonly unknown[] | undefined, signal: AbortSignal | undefined): Promise<QueryResult<Row>> {
    const client = await this.acquire(signal);
    let close = false;
    try {
      const result = await this.run<Row>(client, statement, values, signal);
      refuseOpen(client, statement);
      return result;
    } catch (error) {
      close = error instanceof ClusterDownError || (signal?.aborted === true && error === signal.reason);
      throw error;
    } finally {
      this.release(client, close);
    }
  }

  /** Ends every connection; statements that run are given up where the cluster is down. */
  async end(): Promise<void> {
    const { up } = this.link;
    this.link.end();
    if (!up) for (const client of this.clients) destroy(client);
    await Promise.race([this.pool.end(), ...(up ? [] : [delay(CANCEL_MS, undefined, { ref: false })])]);
    for (const waiter of this.waiting) this.giveUp(waiter, new RouterError("ENDED", "The router was ended while the statement waited for a connection, and it was not sent"));
  }

  /** The pool's next connection, or why it was not waited for. */
  private connection(signal: AbortSignal | undefined): Promise<PoolClient> {
    return new Promise((resolve, reject) => {
      const waiter = this.next((error, client) => (client === undefined ? reject(thrown(error)) : resolve(client)));
      if (signal === undefined || waiter === undefined || waiter.over) return;
      const abort = (): void => this.giveUp(waiter, signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      waiter.stop = () => signal.removeEventListener("abort", abort);
    });
  }

  /** Hands out the pool's next connection. @returns who waits for it; undefined where one is free. */
  private next(take: Taker): Waiter | undefined {
    const { pool, max } = this;
    // The usual way: it is there.
    if (pool.idleCount > pool.waitingCount) {
      pool.connect(take);
      return undefined;
    }
    // Where one more is opened, that has a limit of its own.
    const opening = pool.totalCount < max;
    const since = performance.now();
    const waiter: Waiter = { take, since, until: opening ? Number.POSITIVE_INFINITY : since + this.limits.poolTimeoutMs, opening, stop: undefined, over: false };
    this.waiting.add(waiter);
    if (!opening) this.alarm ??= this.wake(this.limits.poolTimeoutMs);
    pool.connect((error, client) => {
      // Whoever stopped waiting gives back what comes too late.
      if (waiter.over) return client?.release();
      this.stopped(waiter);
      take(error, client);
    });
    return waiter;
  }

  private giveUp(waiter: Waiter, reason: unknown): void {
    this.stopped(waiter);
    waiter.take(reason, undefined);
  }

  private stopped(waiter: Waiter): void {
    waiter.over = true;
    this.waiting.delete(waiter);
    waiter.stop?.();
    if (isHeard("tenant-router:pool-wait")) tell("tenant-router:pool-wait", { cluster: this.name, waitMs: performance.now() - waiter.since, opening: waiter.opening });
  }

  private wake(afterMs: number): NodeJS.Timeout {
    const check = (): void => {
      this.alarm = undefined;
      const now = performance.now();
      for (const waiter of this.waiting) {
        if (waiter.until === Number.POSITIVE_INFINITY) continue;
        if (waiter.until > now) return void (this.alarm = this.wake(waiter.until - now));
        this.giveUp(waiter, new PoolTimeoutError(this.name, this.limits.poolTimeoutMs, this.max));
      }
    };
    // What is waited for keeps the process running.
    return setTimeout(check, afterMs).unref();
  }

  /** Sends a statement on a connection. @param done is told what became of it: the result, or else the error. */
  private send<Row extends QueryResultRow>(client: PoolClient, statement: Statement, values: readonly unknown[] | undefined, done: (error: Error | undefined, result: QueryResult<Row> | undefined) => void): void {
    // The driver tells of the end of what it could not send, too.
    let over = false;
    try {
      client.query<Row>(statement as string, values as unknown[], (error: Error | null | undefined, result: QueryResult<Row>) => {
        if (over) return;
        over = true;
        // It tells of an error before the connection is ready for another statement.
        if (error !== null && error !== undefined) return queueMicrotask(() => done(this.explained(client, error), undefined));
        this.answeredAt = performance.now();
        const doubt = this.doubtful.size > 0 ? this.doubt(client) : undefined;
        if (doubt === undefined) done(undefined, result);
        else done(new UnknownOutcomeError(this.name, doubt), undefined);
      });
    } catch (error) {
      if (over) return;
      over = true;
      queueMicrotask(() => done(error as Error, undefined));
    }
  }

  /** What is told of an error that a connection gave. */
  private explained(client: PoolClient, error: Error): Error {
    const doubt = this.doubt(client);
    if (doubt !== undefined) return new UnknownOutcomeError(this.name, doubt);
    if (this.isBroken(client, error)) return new ClusterDownError(this.name, "unknown", error);
    this.answeredAt = performance.now();
    return error;
  }

  /** What is told of an error that was met on the way to a connection. */
  private unconnected(error: Error): Error {
    if (error instanceof RouterError) return error;
    const { code = "", severity } = error as { code?: string; severity?: string };
    // Who is refused for a reason of its own, such as a wrong password, has to hear it.
    return severity !== undefined && !NOT_NOW.has(code) ? error : new ClusterDownError(this.name, "no", error);
  }

  private async cancellable<Row extends QueryResultRow>(client: PoolClient, answer: Promise<QueryResult<Row>>, signal: AbortSignal): Promise<QueryResult<Row>> {
    try {
      return await withSignal(answer, signal);
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
      this.cancelled.add(client);
      // Behind a pooler nobody knows which backend it is; the connection is closed then.
      const sent = this.link.behindPooler ? Promise.resolve() : this.link.aside("SELECT pg_cancel_backend($1)", [(client as unknown as { processID: number }).processID]);
      const ended = Promise.allSettled([answer, sent]).then(([outcome]) => outcome);
      const outcome = await Promise.race([ended, delay(CANCEL_MS, undefined, { ref: false })]);
      if (outcome === undefined) destroy(client);
      // It was done before it could be cancelled.
      else if (outcome.status === "fulfilled") return outcome.value;
      // It broke, or its commit may be lost.
      else if (outcome.reason instanceof RouterError) throw outcome.reason;
      const doubt = this.doubt(client);
      throw doubt === undefined ? (signal.reason as Error) : new UnknownOutcomeError(this.name, doubt);
    }
  }

  /** Whether an error is of a connection that broke. Others that are not the database's are the driver's: of values that it cannot write, for one. */
  private isBroken(client: PoolClient, error: unknown): boolean {
    const { code = "", severity, message, syscall } = error as { code?: string; severity?: string; message?: string; syscall?: string };
    if (severity !== undefined) return ENDS.has(code) || severity === "FATAL" || severity === "PANIC";
    // The driver's own limit leaves the statement running.
    return this.lost.has(client) || syscall !== undefined || /^Connection terminated|^Query read timeout/.test(message ?? "");
  }
}

/** The text of a statement; empty where it is one that was prepared before, and goes by its name. */
export function textOf(statement: Statement): string {
  return typeof statement === "string" ? statement : ((statement as Partial<QueryConfig>).text ?? "");
}

/** Has an error of the driver's say where in the program it was waited for, and not where the driver met it. */
export function traceFromHere(error: unknown): void {
  if (error instanceof DatabaseError) Error.captureStackTrace(error, traceFromHere);
}

/** @throws {@link RouterError} `OPEN_TRANSACTION` if a statement that was run on any connection began a transaction and did not end it. */
export function refuseOpen(client: Pick<PoolClient, "getTransactionStatus">, statement: Statement): void {
  if (client.getTransactionStatus() === "I") return;
  const applied = commandsOf(textOf(statement)).length > 1 ? "unknown" : "no";
  throw new RouterError("OPEN_TRANSACTION", "The statement left a transaction open, which was rolled back. Use transaction(), or connect() for a connection of your own", undefined, applied);
}

/** What is thrown is an error, or whatever a signal was aborted with. */
function thrown(error: unknown): Error {
  return error as Error;
}

/** Whether an error is of a server that takes no connection now, and may in a moment. */
function isNotNow(error: unknown): boolean {
  return !(error instanceof RouterError) && NOT_NOW.has((error as { code?: string }).code ?? "");
}

/** Whether a connection is between statements, and in no transaction. */
function isIdle(client: PoolClient): boolean {
  return (client as unknown as { readyForQuery: boolean }).readyForQuery && client.getTransactionStatus() === "I";
}

/** Resolves when a connection's statements have ended, or take too long. */
async function settled(client: PoolClient): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let done = (): void => undefined;
  await new Promise<void>((resolve) => {
    done = resolve;
    timer = setTimeout(resolve, CANCEL_MS);
    client.once("drain", done).once("end", done);
  });
  clearTimeout(timer);
  client.off("drain", done).off("end", done);
}

/** Whether PostgreSQL warns that a commit did not wait for a standby: it is done here, and lost if the standby takes over. Workers' warnings come without the routine, and in English unless `lc_messages` says otherwise. */
function isAbandonedWait({ message, routine }: { message?: string | undefined; routine?: string | undefined }): boolean {
  return routine === "SyncRepWaitForLSN" || /wait for synchronous replication/.test(message ?? "");
}

/** What a promise gives, or the signal's reason if that is aborted before. */
async function withSignal<Result>(promise: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (signal === undefined) return promise;
  let abort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
