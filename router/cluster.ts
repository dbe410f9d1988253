import { setTimeout as delay } from "node:timers/promises";
import { Client, Pool, type ClientConfig, type PoolClient, type PoolConfig, type QueryResult, type QueryResultRow } from "pg";
import type { Directory } from "./directory";
import { ClusterDownError } from "./errors";
import { destroy, Link } from "./link";

/** SQLSTATEs of a server that takes no connection now, and may in a moment. */
const NOT_NOW = new Set(["57P03", "53300", "08001", "08004"]);
const NOT_NOW_PAUSE_MS = 50;

/** How long a statement that was cancelled may take to end before its connection is given up. */
const CANCEL_MS = 500;

/** One cluster: its pool of connections, and whether it is there. */
export class Cluster {
  readonly link: Link;
  private readonly pool: Pool;
  private readonly clients = new Set<PoolClient>();
  private answeredAt = 0;
  private fail: (error: ClusterDownError) => void = () => undefined;
  /** Rejects when the cluster goes down; a new one for each time that it is up. */
  private gone: Promise<never> = this.untilGone();

  constructor(
    readonly name: string,
    config: PoolConfig,
    private readonly connectTimeoutMs: number,
    directory: Directory,
  ) {
    const { max, min, idleTimeoutMillis, allowExitOnIdle, maxUses, maxLifetimeSeconds, ...connection } = config;
    const client: ClientConfig = { ...connection, connectionTimeoutMillis: connectTimeoutMs, keepAlive: true };
    // The pool's own time limit would count the wait for a free connection, too; a pool that is full is not a cluster that is down.
    class TimedClient extends Client {
      constructor() {
        super(client);
      }
    }
    const limits = { max, min, idleTimeoutMillis, allowExitOnIdle, maxUses, maxLifetimeSeconds };
    this.pool = new Pool({ ...(Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)) as PoolConfig), Client: TimedClient });
    // A connection that breaks while it is idle is replaced by the pool.
    this.pool.on("error", () => undefined);
    this.pool.on("connect", (opened) => {
      this.clients.add(opened);
      opened.on("error", () => undefined);
    });
    this.pool.on("remove", (removed) => this.clients.delete(removed));
    this.link = new Link(name, client, directory, () => this.answeredAt);
    this.link.on("down", (error) => {
      this.fail(new ClusterDownError(name, "no", error));
      for (const opened of this.clients) destroy(opened);
    });
    this.link.on("up", () => void (this.gone = this.untilGone()));
  }

  get up(): boolean {
    return this.link.up;
  }

  /** Connections that are open, idle among them, and statements that wait for one. */
  get counts(): { readonly open: number; readonly idle: number; readonly waiting: number } {
    return { open: this.pool.totalCount, idle: this.pool.idleCount, waiting: this.pool.waitingCount };
  }

  /** A connection of the pool, which the caller releases. @throws {@link ClusterDownError} at once if the cluster is down, and when it goes down meanwhile; the signal's reason. */
  async acquire(signal?: AbortSignal): Promise<PoolClient> {
    if (!this.link.up) throw new ClusterDownError(this.name, "no");
    const until = performance.now() + this.connectTimeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      const connecting = this.pool.connect();
      try {
        return await withSignal(Promise.race([connecting, this.gone]), signal);
      } catch (error) {
        // Whoever stops waiting gives back what comes too late.
        void connecting.then((late) => late.release(), () => undefined);
        if (signal?.aborted === true || error instanceof ClusterDownError) throw error;
        const { code } = error as { code?: string };
        if (code === undefined || !NOT_NOW.has(code)) {
          // Who is refused for a reason of its own, such as a wrong password, has to hear it.
          if (code !== undefined && /^[0-9A-Z]{5}$/.test(code)) throw error;
          throw new ClusterDownError(this.name, "no", error);
        }
        if (performance.now() > until) throw new ClusterDownError(this.name, "no", error);
        await delay(NOT_NOW_PAUSE_MS);
      }
    }
  }

  /**
   * Runs a statement on a connection. @throws {@link ClusterDownError} with `applied: "unknown"` if the connection breaks before the answer; the signal's reason; the database's error.
   */
  async run<Row extends QueryResultRow>(client: PoolClient, text: string, values: readonly unknown[] | undefined, signal?: AbortSignal): Promise<QueryResult<Row>> {
    const answer = values === undefined ? client.query<Row>(text) : client.query<Row>(text, values as unknown[]);
    try {
      const result = signal === undefined ? await answer : await this.cancellable(client, answer, signal);
      this.answeredAt = performance.now();
      return result;
    } catch (error) {
      if (signal?.aborted === true && error === signal.reason) throw error;
      if (isBroken(error)) throw new ClusterDownError(this.name, "unknown", error);
      this.answeredAt = performance.now();
      throw error;
    }
  }

  /** Runs a statement on any connection of the pool. */
  async query<Row extends QueryResultRow>(text: string, values: readonly unknown[] | undefined, signal?: AbortSignal): Promise<QueryResult<Row>> {
    const client = await this.acquire(signal);
    let broken: Error | undefined;
    try {
      return await this.run<Row>(client, text, values, signal);
    } catch (error) {
      if (error instanceof ClusterDownError || (signal?.aborted === true && error === signal.reason)) broken = error as Error;
      throw error;
    } finally {
      client.release(broken);
    }
  }

  /** Ends every connection; statements that run are given up where the cluster is down. */
  async end(): Promise<void> {
    const { up } = this.link;
    this.link.end();
    if (!up) for (const client of this.clients) destroy(client);
    await Promise.race([this.pool.end(), ...(up ? [] : [delay(CANCEL_MS, undefined, { ref: false })])]);
  }

  private async cancellable<Row extends QueryResultRow>(client: PoolClient, answer: Promise<QueryResult<Row>>, signal: AbortSignal): Promise<QueryResult<Row>> {
    try {
      return await withSignal(answer, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      this.link.aside("SELECT pg_cancel_backend($1)", [(client as unknown as { processID: number }).processID]);
      const ended = answer.then(() => true, () => true);
      if (!(await Promise.race([ended, delay(CANCEL_MS, false, { ref: false })]))) destroy(client);
      throw signal.reason as Error;
    }
  }

  private untilGone(): Promise<never> {
    const gone = new Promise<never>((_, reject) => {
      this.fail = reject;
    });
    gone.catch(() => undefined);
    return gone;
  }
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

/** Whether a connection broke: the driver's errors have no SQLSTATE, and these mean that the server ended it. */
function isBroken(error: unknown): boolean {
  const { code, severity } = error as { code?: string; severity?: string };
  if (severity === undefined) return true;
  return code === "57P01" || code === "57P02" || severity === "FATAL" || severity === "PANIC";
}
