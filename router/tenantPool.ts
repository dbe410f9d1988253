import { Pool, Query, type PoolClient, type QueryResult } from "pg";
import { refuseOpen, type Statement } from "./cluster";
import { ClusterDownError, ConfigurationError } from "./errors";
import type { Home } from "./home";
import { answered, isSubmittable, PooledClient, type Callback } from "./pooledClient";

/** Connections: all, idle, and statements that wait for one. */
export interface Counts {
  readonly open: number;
  readonly idle: number;
  readonly waiting: number;
}

/** Where a pool's statements go. */
export interface Destination {
  /** The tenant that a statement is for. @throws where there is none. */
  readonly home: () => Home;
  readonly counts: () => Counts;
  /** Connections at most, where that is one number. */
  readonly max?: number | undefined;
  /** Whether the tenant is that of the code that runs. */
  readonly goesByRun: boolean;
  /** Whether each statement is run in a transaction of its own. */
  readonly bound: boolean;
}

/** Who hears of these sees the pool's clients. */
const CLIENT_EVENTS = ["connect", "acquire", "release", "remove"];

const CALLED_TOO_LATE = "Cannot use a pool after calling end on the pool";

/**
 * What ORMs take for a `pg.Pool`: the connections are the router's, to the cluster that the tenant lives in. It has no connections of its own, and ending it ends nothing but its use.
 *
 * `connect` is emitted for connections that are opened for a statement or a client of this pool.
 */
export class TenantPool extends Pool {
  private users = 0;
  private finished: (() => void) | undefined;

  constructor(private readonly destination: Destination) {
    super(destination.max === undefined ? {} : { max: destination.max });
    // Who finds a class here makes connections with it, past the router.
    (this as { Client?: unknown }).Client = undefined;
  }

  static {
    // Of the driver's pool they are properties by its types, and accessors.
    Object.defineProperties(TenantPool.prototype, {
      totalCount: { get(this: TenantPool): number { return this.destination.counts().open; } },
      idleCount: { get(this: TenantPool): number { return this.destination.counts().idle; } },
      waitingCount: { get(this: TenantPool): number { return this.destination.counts().waiting; } },
      expiredCount: { value: 0 },
    });
  }

  override connect(callback?: (error: Error | undefined, client: PoolClient | undefined, release: (error?: Error | boolean) => void) => void): never {
    const client = this.client();
    if (callback === undefined) return client as never;
    client.then(
      (opened) => process.nextTick(callback, undefined, opened, opened.release),
      (error: unknown) => process.nextTick(callback, error, undefined, () => undefined),
    );
    return undefined as never;
  }

  override query(statement: unknown, values?: unknown, callback?: unknown): never {
    if (typeof statement === "function") return answered(Promise.reject(new Error("Passing a function as the first parameter to pool.query is not supported")), statement as Callback) as never;
    const [given, called] = typeof values === "function" ? [undefined, values] : [values, callback];
    const answer = this.isPlain(statement) ? this.runPlain(statement, given as readonly unknown[] | undefined) : this.run(statement, given);
    return answered(answer, called as Callback | undefined) as never;
  }

  /** Ends its use: what has begun goes on to its end, what comes later is refused. The router and its connections stay. */
  override end(callback?: () => void): never {
    const state = this as { ending: boolean; ended: boolean };
    if (state.ending) return answered(Promise.reject(new Error("Called end on pool more than once")), callback) as never;
    state.ending = true;
    const ended = new Promise<void>((resolve) => (this.users === 0 ? resolve() : (this.finished = resolve))).then(() => void (state.ended = true));
    return answered(ended, callback) as never;
  }

  /** @internal A client was given back. */
  left(client: PooledClient, error: Error | boolean | undefined): void {
    this.emit("release", error, client);
    this.gone();
  }

  private async client(): Promise<PooledClient> {
    if (this.ending) throw new Error(CALLED_TOO_LATE);
    const home = this.destination.home();
    home.refuseOther();
    this.users += 1;
    try {
      const { cluster, epoch } = home.known() ?? (await home.find());
      const client = new PooledClient(this, home, cluster, epoch, await cluster.acquire(undefined, home.tenant), this.destination.goesByRun);
      this.emit("acquire", client);
      return client;
    } catch (error) {
      this.gone();
      throw error;
    }
  }

  private async run(statement: unknown, values: unknown): Promise<QueryResult> {
    if (isSubmittable(statement) && !(statement instanceof Query)) throw new ConfigurationError("A cursor or a stream needs a client of its own: take one with connect(), and release it when it has ended");
    const client = await this.client();
    let failure: Error | undefined;
    try {
      if (isSubmittable(statement)) return await new Promise((resolve, reject) => client.query(statement, (error: Error | null, result: QueryResult) => (error === null ? resolve(result) : reject(error))));
      const result = (await client.query(statement, values)) as QueryResult;
      refuseOpen(client, statement as Statement);
      return result;
    } catch (error) {
      failure = error as Error;
      throw error;
    } finally {
      client.release(failure instanceof ClusterDownError ? failure : undefined);
    }
  }

  /** Whether a statement needs no client of its own, and nobody wants to see one. */
  private isPlain(statement: unknown): statement is Statement {
    if (this.destination.bound || CLIENT_EVENTS.some((event) => this.listenerCount(event) > 0)) return false;
    if (typeof statement === "string") return true;
    return typeof statement === "object" && statement !== null && !isSubmittable(statement) && typeof (statement as { callback?: unknown }).callback !== "function";
  }

  /** Runs a statement as {@link Tenant.query} does. */
  private async runPlain(statement: Statement, values: readonly unknown[] | undefined): Promise<QueryResult> {
    if (this.ending) throw new Error(CALLED_TOO_LATE);
    const home = this.destination.home();
    this.users += 1;
    try {
      return await home.query(statement, values, undefined);
    } finally {
      this.gone();
    }
  }

  private gone(): void {
    this.users -= 1;
    if (this.users === 0) this.finished?.();
  }
}
