import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import { DatabaseError, Pool, type Client, type ClientConfig, type PoolClient, type QueryConfig, type QueryResult, type QueryResultRow } from "pg";
import { Bulkhead, type Share } from "./bulkhead";
import { requestCancel } from "./cancelRequest";
import { ClusterClient } from "./clusterClient";
import { isHeard, tell } from "./diagnostics";
import type { Directory } from "./directory";
import { ClusterDownError, PoolTimeoutError, RouterError, StatementTimeoutError, UnknownOutcomeError } from "./errors";
import { destroy, Link, type Pooled } from "./link";
import type { ClusterOptions, ClusterSettings, ConnectHook, Limits } from "./options";
import { commandsOf, commits, onlyReads } from "./sqlText";
import { TENANT_TABLES, type IdType, type TenantTable } from "./tenantId";
import type { TenantLimiter } from "./tenantLimits";
import { warmUp, WARM_UP_READS } from "./warmUp";

/** SQLSTATEs of a server that takes no connection now, and may in a moment. */
const NOT_NOW = new Set(["57P03", "53300", "08001", "08004"]);
const NOT_NOW_PAUSE_MS = 50;

/** SQLSTATE of a statement that was cancelled, or took longer than `statement_timeout`. */
const CANCELLED = "57014";

/** SQLSTATEs with which a server ends a connection. The severity says so, too, in the server's language. */
const ENDS = new Set(["57P01", "57P02", "57P05", "25P03"]);

/** How long a statement that was cancelled, or left behind, may take to end before its connection is given up. */
const CANCEL_MS = 500;

/** How long sessions may take to be made ready for a tenant. */
const WARM_UP_MS = 1000;

/** How often is looked whether what runs has ended. */
const DRAIN_PAUSE_MS = 20;

/** How often at most is looked whether somebody has waited for too long: there may be many who wait. */
const LATE_PAUSE_MS = 5;

/** Why statements of a cluster are refused, or given up, that the router has done with. */
const ENDED = "the router was ended, or the cluster taken out of it or given another address";

/** What the driver runs: a text, or one with what else it takes (a name, `rowMode`, `types`). */
export type Statement = string | QueryConfig;

/** How long a statement may run, and whose it is. */
export interface TimeLimit {
  readonly tenant: string;
  readonly timeoutMs: number;
  /** Whether the database sees to it, by a setting of the transaction: {@link settingOf}. */
  readonly byDatabase: boolean;
}

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
  /** The limit that {@link until} is made of. */
  readonly timeoutMs: number;
  /** Whether one is opened for it. */
  readonly opening: boolean;
  /** Whose turn it waits for; undefined: it waits for the pool. */
  readonly share: Share | undefined;
  /** Called when it is over. */
  stop: (() => void) | undefined;
  over: boolean;
}

/** What of a connection's own events its holder hears. */
const TOLD = ["error", "end", "drain", "notice", "notification"] as const;

/** What a cluster has of its router. */
export interface Surroundings {
  readonly directory: Directory;
  /** Takes in how the cluster writes ids. @throws {@link ConfigurationError} if others do otherwise. */
  readonly agree: (type: IdType) => void;
  /** Limits of single tenants. */
  readonly tenants: TenantLimiter | undefined;
  readonly onConnect: ConnectHook | undefined;
}

/** One cluster: its pool of connections, and whether it is there. */
export class Cluster implements Pooled {
  readonly link: Link;
  answeredAt = 0;
  private readonly pool: Pool;
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
  /** Gives tenants their parts of the connections; undefined where none has a limit. */
  private bulkhead: Bulkhead | undefined;
  /** Whose part a connection is. */
  private readonly shares = new Map<PoolClient, Share>();
  private readonly waiting = new Set<Waiter>();
  /** Ends the waits that take too long: one for all of them. */
  private alarm: NodeJS.Timeout | undefined;
  /** When it goes off. */
  private alarmAt = Number.POSITIVE_INFINITY;
  /** How connections are made from now on. */
  private readonly client: ClientConfig;
  private ending: Promise<void> | undefined;
  /** Why connections were closed under statements that ran. */
  private givenUp: Error | undefined;

  constructor(
    readonly name: string,
    private settings: ClusterSettings,
    private readonly router: Surroundings,
  ) {
    const { directory, agree, onConnect } = router;
    const client = (this.client = { ...settings.connection, connectionTimeoutMillis: settings.limits.connectTimeoutMs, keepAlive: true });
    // The pool's own time limit would count the wait for a free connection, too; a pool that is full is not a cluster that is down.
    const prepare = onConnect && ((opened: Client, withinMs: number) => this.prepare(opened, onConnect, withinMs));
    class TimedClient extends ClusterClient {
      constructor() {
        super(client, prepare);
      }
    }
    this.pool = new Pool({ ...settings.bounds, Client: TimedClient });
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
    this.limitTenants();
    this.link = new Link(name, client, directory, this, agree);
    this.link.on("down", (error) => {
      for (const waiter of this.waiting) this.giveUp(waiter, new ClusterDownError(name, "no", error));
      for (const opened of this.clients) destroy(opened);
    });
  }

  get up(): boolean {
    return this.link.up;
  }

  /** Whether sessions are set up, which has to stay so. */
  get setsSessions(): boolean {
    return this.router.onConnect !== undefined;
  }

  /** Connections at most. */
  get max(): number {
    return this.pool.options.max;
  }

  /** Connections that are open, idle among them, and statements that wait for one. */
  get counts(): { readonly open: number; readonly idle: number; readonly waiting: number } {
    return { open: this.pool.totalCount, idle: this.pool.idleCount, waiting: this.pool.waitingCount + (this.bulkhead?.waiting ?? 0) };
  }

  /**
   * A connection of the pool, which the caller gives to {@link release}.
   *
   * @param tenant whom it is for, if it is for a tenant.
   * @throws {@link ClusterDownError} at once if the cluster is down, and when it goes down meanwhile; {@link PoolTimeoutError}; the signal's reason.
   */
  acquire(signal?: AbortSignal, tenant?: string): Promise<PoolClient> {
    const over = this.ending !== undefined && tenant !== undefined;
    if (!this.link.up || over) return Promise.reject(new ClusterDownError(this.name, "no", over ? new Error(ENDED) : this.link.reason));
    return this.bulkhead === undefined || tenant === undefined ? this.take(signal) : this.takeShare(this.bulkhead, tenant, signal);
  }

  /** @param since from when on the time is counted. @default now */
  private async take(signal: AbortSignal | undefined, timeoutMs?: number, since?: number): Promise<PoolClient> {
    const until = performance.now() + this.settings.limits.connectTimeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      try {
        return await this.connection(signal, timeoutMs, since);
      } catch (error) {
        if (signal?.aborted === true) throw error;
        if (!isNotNow(error) || performance.now() > until) throw this.unconnected(error as Error);
        await delay(NOT_NOW_PAUSE_MS);
      }
    }
  }

  /** A connection for a tenant once it may have one more, and it is its turn. */
  private async takeShare(bulkhead: Bulkhead, tenant: string, signal: AbortSignal | undefined): Promise<PoolClient> {
    signal?.throwIfAborted();
    const { maxPerTenant, poolTimeoutMs } = this.limitsOf(tenant);
    const began = performance.now();
    const share = await this.turn(bulkhead, tenant, maxPerTenant, poolTimeoutMs, signal);
    try {
      const client = await this.take(signal, poolTimeoutMs, began);
      this.shares.set(client, share);
      return client;
    } catch (error) {
      bulkhead.leave(share);
      throw error;
    }
  }

  /** Waits until a tenant may have a connection. */
  private turn(bulkhead: Bulkhead, tenant: string, max: number, timeoutMs: number, signal: AbortSignal | undefined): Promise<Share> {
    return new Promise((resolve, reject) => {
      let stop = (): void => undefined;
      const admit = (share: Share): void => {
        stop();
        resolve(share);
      };
      const share = bulkhead.enter(tenant, max, admit);
      // The usual way: it has been admitted.
      if (!share.waiting.has(admit)) return;
      const take = (error: unknown): void => {
        bulkhead.cancel(share, admit);
        reject(thrown(error));
      };
      const waiter = this.wait(take, timeoutMs, false, undefined, share);
      stop = () => this.stopped(waiter);
      this.heed(signal, waiter);
    });
  }

  /** Gives a connection back. One that is in a transaction, or has a statement that does not end, is closed: whoever gets it next would be part of that. */
  release(client: PoolClient, close = false): void {
    if (close || this.lost.has(client) || this.cancelled.has(client)) this.close(client);
    else if (isIdle(client)) this.free(client);
    else void settled(client).then(() => (isIdle(client) ? this.free(client) : this.close(client)));
  }

  /**
   * Has sessions ready for a tenant that is on its way here, so that its first statement does not wait for what a session does once. Half of the connections that nobody uses are left to those who may need them. Does not fail.
   *
   * @param sessions how many at the most.
   */
  async warm(tenant: string, sessions: number, signal: AbortSignal): Promise<void> {
    const { pool } = this;
    const spare = this.max - (pool.totalCount - pool.idleCount) - pool.waitingCount;
    if (this.ending !== undefined || !this.link.up) return;
    const within = AbortSignal.any([signal, AbortSignal.timeout(WARM_UP_MS)]);
    const one = async (): Promise<void> => {
      const client = await this.acquire(within);
      try {
        // As this session sees them: it may have another role than the router's own connection.
        const { rows } = await this.run<TenantTable>(client, TENANT_TABLES, undefined, within);
        const text = warmUp(rows.filter(({ readable }) => readable), tenant);
        for (let read = 1; read <= WARM_UP_READS; read += 1) await this.run(client, text, undefined, within);
      } catch (error) {
        // A session that is still there is of use to others.
        if (error instanceof DatabaseError && !within.aborted) await client.query("ROLLBACK").catch(() => undefined);
      } finally {
        this.release(client);
      }
    };
    await Promise.allSettled(Array.from({ length: Math.min(sessions, Math.ceil(spare / 2)) }, one));
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
    // There may be more than there are to be from now on.
    client.release(this.pool.totalCount > this.max);
    if (this.bulkhead !== undefined) this.giveShare(client);
  }

  private close(client: PoolClient): void {
    client.release(true);
    if (this.bulkhead !== undefined) this.giveShare(client);
  }

  private giveShare(client: PoolClient): void {
    const share = this.shares.get(client);
    if (share === undefined) return;
    this.shares.delete(client);
    this.bulkhead?.leave(share);
  }

  /** What a tenant may have here: what it has of its own, and the cluster's otherwise. */
  private limitsOf(tenant: string): Omit<Limits, "connectTimeoutMs"> {
    const { limits } = this.settings;
    const own = this.router.tenants?.of(tenant);
    return { maxPerTenant: own?.max ?? limits.maxPerTenant, poolTimeoutMs: own?.poolTimeoutMs ?? limits.poolTimeoutMs, statementTimeoutMs: own?.statementTimeoutMs ?? limits.statementTimeoutMs };
  }

  /** How long a tenant's statements may run here; undefined: as long as they take. */
  timeLimit(tenant: string, byDatabase = false): TimeLimit | undefined {
    if (this.router.tenants === undefined && this.settings.limits.statementTimeoutMs === 0) return undefined;
    const { statementTimeoutMs } = this.limitsOf(tenant);
    return statementTimeoutMs === 0 ? undefined : { tenant, timeoutMs: statementTimeoutMs, byDatabase };
  }

  /**
   * Runs a statement on a connection.
   *
   * @param limit how long it may run.
   * @throws {@link StatementTimeoutError}; {@link ClusterDownError} with `applied: "unknown"` if the connection breaks before the answer; {@link UnknownOutcomeError} if its commit may be lost; the signal's reason; the database's error.
   */
  run<Row extends QueryResultRow>(client: PoolClient, statement: Statement, values: readonly unknown[] | undefined, signal?: AbortSignal, limit?: TimeLimit): Promise<QueryResult<Row>> {
    if (limit !== undefined) return this.runLimited(client, statement, values, signal, limit);
    const answer = new Promise<QueryResult<Row>>((resolve, reject) => this.send<Row>(client, statement, values, (error, result) => (result === undefined ? reject(thrown(error)) : resolve(result))));
    return signal === undefined ? answer : this.cancellable(client, answer, signal);
  }

  /**
   * Runs a statement within its limit. Outside of a transaction the router has it cancelled, since a session's setting would be another tenant's next, and is nobody's behind a pooler. What that meets may be done by then: on a worker
   * the statement commits before the coordinator has heard of it. What is rolled back with its transaction, or only reads, was certainly not applied.
   */
  private async runLimited<Row extends QueryResultRow>(client: PoolClient, statement: Statement, values: readonly unknown[] | undefined, signal: AbortSignal | undefined, { tenant, timeoutMs, byDatabase }: TimeLimit): Promise<QueryResult<Row>> {
    const text = textOf(statement);
    const ends = commits(text);
    const inTransaction = client.getTransactionStatus() === "T";
    const began = performance.now();
    const late = (cause?: unknown): StatementTimeoutError => {
      const undone = (inTransaction && !ends && commandsOf(text).length === 1) || onlyReads(text);
      return new StatementTimeoutError(tenant, this.name, timeoutMs, undone ? "no" : "unknown", cause);
    };
    const limit = new AbortController();
    // A commit that is cancelled is done all the same.
    const timer = ends || byDatabase ? undefined : setTimeout(() => limit.abort(late()), timeoutMs);
    try {
      return await this.run<Row>(client, statement, values, timer === undefined ? signal : signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]));
    } catch (error) {
      throw (error as { code?: unknown } | undefined)?.code === CANCELLED && performance.now() - began >= timeoutMs ? late(error) : error;
    } finally {
      clearTimeout(timer);
    }
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

  /**
   * Runs a statement on any connection of the pool.
   *
   * @param tenant whose it is, if it is a tenant's.
   * @throws what {@link acquire} and {@link run} throw; {@link RouterError} `OPEN_TRANSACTION` if it began a transaction and did not end it.
   */
  query<Row extends QueryResultRow>(statement: Statement, values: readonly unknown[] | undefined, signal?: AbortSignal, tenant?: string): Promise<QueryResult<Row>> {
    if (signal !== undefined || !this.link.up || this.restricted) return this.queryPatiently<Row>(statement, values, signal, tenant);
    // The usual way: as the driver's pool has it, with one promise.
    return new Promise((resolve, reject) => {
      this.next((refused, client) => {
        if (client === undefined) {
          if (isNotNow(refused)) resolve(this.queryPatiently<Row>(statement, values, undefined, tenant));
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

  /** {@link query}, for what may be given up, is limited, or waits for a server that takes no connection now. */
  private async queryPatiently<Row extends QueryResultRow>(statement: Statement, values: readonly unknown[] | undefined, signal: AbortSignal | undefined, tenant: string | undefined): Promise<QueryResult<Row>> {
    const client = await this.acquire(signal, tenant);
    let close = false;
    try {
      const result = await this.run<Row>(client, statement, values, signal, tenant === undefined ? undefined : this.timeLimit(tenant));
      refuseOpen(client, statement);
      return result;
    } catch (error) {
      close = error instanceof ClusterDownError || (signal?.aborted === true && error === signal.reason);
      throw error;
    } finally {
      this.release(client, close);
    }
  }

  /** Whether a tenant's statement has more to heed than whether a connection is free: limits of tenants, or the cluster's end. */
  private get restricted(): boolean {
    return this.bulkhead !== undefined || this.ending !== undefined || this.settings.limits.statementTimeoutMs > 0;
  }

  /** What it was given. */
  get given(): ClusterOptions {
    return this.settings.given;
  }

  /** Takes other limits for what begins from now on. @returns whether nothing but limits is another: otherwise other connections are needed, and nothing is changed. */
  adjust(settings: ClusterSettings): boolean {
    if (!alike(this.settings.connection, settings.connection)) return false;
    this.settings = settings;
    this.client.connectionTimeoutMillis = settings.limits.connectTimeoutMs;
    Object.assign(this.pool.options, new Pool(settings.bounds).options);
    this.limitTenants();
    this.bulkhead?.admitNext();
    // Who waits in the pool is not looked at before a connection comes back.
    for (let more = Math.min(this.pool.waitingCount, this.max - this.pool.totalCount); more > 0; more -= 1) void this.pool.connect().then((opened) => opened.release(), () => undefined);
    return true;
  }

  private limitTenants(): void {
    if (this.router.tenants !== undefined || Number.isFinite(this.settings.limits.maxPerTenant)) this.bulkhead ??= new Bulkhead(() => this.max);
  }

  /**
   * Takes no tenant's statement more, and ends every connection once what has begun has ended, with who waits for a connection. What runs is given up where the cluster is down.
   *
   * @param drainMs after how long what has not ended is given up. @default never
   */
  end(drainMs?: number): Promise<void> {
    return (this.ending ??= this.drain(drainMs));
  }

  private async drain(drainMs = Number.POSITIVE_INFINITY): Promise<void> {
    const until = performance.now() + drainMs;
    const isBusy = (): boolean => this.waiting.size > 0 || this.pool.waitingCount > 0 || this.pool.totalCount > this.pool.idleCount;
    // What was begun may have something to ask: the pool takes that until the end.
    while (isBusy() && this.link.up && performance.now() < until) await delay(DRAIN_PAUSE_MS);
    // The pool hands out a free connection in a moment, and not any more once it has ended.
    if (this.pool.waitingCount > 0) await nextTurn();
    for (const waiter of this.waiting) this.giveUp(waiter, new ClusterDownError(this.name, "no", new Error(ENDED)));
    if (isBusy() || !this.link.up) {
      this.givenUp = new Error(ENDED);
      for (const client of this.clients) destroy(client);
    }
    const ended = this.pool.end();
    // Who has a connection may not know yet, or not care.
    if (!this.pool.ended) await Promise.race([ended, delay(CANCEL_MS, undefined, { ref: false })]);
    this.link.end();
  }

  /** Has the application set up a connection that was opened. @throws {@link RouterError} `CONNECT_HOOK`; {@link ClusterDownError} if the connection breaks. The connection is closed then. */
  private async prepare(client: Client, hook: ConnectHook, withinMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let broken: Error | undefined;
    let lose = (_error: Error): void => undefined;
    const end = (): void => lose(new Error("Connection terminated"));
    const ends = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`it has not ended within ${this.settings.limits.connectTimeoutMs} ms with the opening (connectTimeoutMs)`)), withinMs);
      lose = (error) => reject((broken ??= error));
    });
    // Kept where it fails: an error that nobody listens to would end the process.
    client.on("error", (error) => lose(error)).on("end", end);
    try {
      await Promise.race([Promise.resolve().then(() => hook(client, this.name)), ends]);
      // What the application did not wait for is waited for.
      if (!isReady(client)) await Promise.race([new Promise<void>((resolve) => void client.once("drain", resolve)), ends]);
      if (!isIdle(client)) throw new Error("it left a transaction open");
      client.off("end", end);
    } catch (error) {
      destroy(client);
      if (broken !== undefined) throw new ClusterDownError(this.name, "no", broken);
      throw new RouterError("CONNECT_HOOK", `onConnect failed for a new connection to cluster ${this.name}${error instanceof Error ? `: ${error.message}` : ""}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /** The pool's next connection, or why it was not waited for. */
  private connection(signal: AbortSignal | undefined, timeoutMs?: number, since?: number): Promise<PoolClient> {
    return new Promise((resolve, reject) => {
      const waiter = this.next((error, client) => (client === undefined ? reject(thrown(error)) : resolve(client)), timeoutMs, since);
      if (waiter !== undefined) this.heed(signal, waiter);
    });
  }

  /** Hands out the pool's next connection. @returns who waits for it; undefined where one is free. */
  private next(take: Taker, timeoutMs = this.settings.limits.poolTimeoutMs, since?: number): Waiter | undefined {
    const { pool } = this;
    // The usual way: it is there.
    if (pool.idleCount > pool.waitingCount) {
      pool.connect(take);
      return undefined;
    }
    const waiter = this.wait(take, timeoutMs, pool.totalCount < this.max, since);
    pool.connect((error, client) => {
      // Whoever stopped waiting gives back what comes too late.
      if (waiter.over) return client === undefined ? undefined : this.free(client);
      this.stopped(waiter);
      take(error, client);
    });
    return waiter;
  }

  /** Has somebody wait, until it is {@link stopped} or is given up: because it takes too long, or the cluster goes down. */
  private wait(take: Taker, timeoutMs: number, opening: boolean, since?: number, share?: Share): Waiter {
    const now = performance.now();
    // Where one more is opened, that has a limit of its own.
    const until = opening ? Number.POSITIVE_INFINITY : (since ?? now) + timeoutMs;
    const waiter: Waiter = { take, since: now, until, timeoutMs, opening, share, stop: undefined, over: false };
    this.waiting.add(waiter);
    if (until < this.alarmAt) this.wakeAt(until);
    return waiter;
  }

  /** Has a wait given up by a signal. */
  private heed(signal: AbortSignal | undefined, waiter: Waiter): void {
    if (signal === undefined || waiter.over) return;
    const abort = (): void => this.giveUp(waiter, signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    waiter.stop = () => signal.removeEventListener("abort", abort);
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

  private wakeAt(at: number): void {
    clearTimeout(this.alarm);
    this.alarmAt = at;
    // What is waited for keeps the process running.
    this.alarm = setTimeout(() => this.giveUpLate(), Math.ceil(at - performance.now())).unref();
  }

  private giveUpLate(): void {
    this.alarmAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const waiter of this.waiting) {
      if (waiter.until <= now) this.giveUp(waiter, this.late(waiter));
      else if (waiter.until < next) next = waiter.until;
    }
    if (next < Number.POSITIVE_INFINITY) this.wakeAt(Math.max(next, now + LATE_PAUSE_MS));
  }

  private late({ timeoutMs, share }: Waiter): PoolTimeoutError {
    return share !== undefined && share.used >= share.max ? new PoolTimeoutError(this.name, timeoutMs, share.max, share.tenant) : new PoolTimeoutError(this.name, timeoutMs, this.max);
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
    if (this.isBroken(client, error)) return new ClusterDownError(this.name, "unknown", this.givenUp ?? error);
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
      // Behind a pooler nobody knows which backend it is but the pooler.
      const sent = this.link.behindPooler ? requestCancel(client) : this.link.aside("SELECT pg_cancel_backend($1::int)", [(client as unknown as { processID: number }).processID]);
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

/** What sets a transaction's limit, before what binds it to a tenant: after that, Citus would send the setting to every worker as well. */
export function settingOf(limit: TimeLimit | undefined): string {
  return limit === undefined ? "" : `SET LOCAL statement_timeout TO ${limit.timeoutMs}; `;
}

/** Whether two objects have the same values. */
function alike(one: object, other: object): boolean {
  const entries = Object.entries(one);
  return entries.length === Object.keys(other).length && entries.every(([key, value]) => Object.is(value, (other as Record<string, unknown>)[key]));
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

/** Whether a connection is between statements. */
function isReady(client: Client): boolean {
  return (client as unknown as { readyForQuery: boolean }).readyForQuery;
}

/** Whether a connection is between statements, and in no transaction. */
function isIdle(client: Client): boolean {
  return isReady(client) && client.getTransactionStatus() === "I";
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
