import { AsyncLocalStorage } from "node:async_hooks";
import { EventEmitter } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { escapeLiteral, type Pool, type QueryResultRow } from "pg";
import { Arrivals } from "./arrivals";
import { Cluster } from "./cluster";
import { tell } from "./diagnostics";
import { Directory, type Change, type Location } from "./directory";
import { ClusterDownError, ConfigurationError, RouterError, UnknownClusterError } from "./errors";
import { Home, locate, type Shared } from "./home";
import { KeyLookup } from "./keyLookup";
import { Lookup } from "./lookup";
import { parseCluster, parseDrain, parseOptions, type ClusterOptions, type ConnectHook, type DrainOptions, type Limits, type RouterOptions } from "./options";
import { Tenant, type QueryOptions } from "./tenant";
import { TenantLimiter } from "./tenantLimits";
import { TenantPool } from "./tenantPool";
import { idOf, type IdType, type TenantId } from "./tenantId";

/** What a statement on every cluster gave. */
export interface Gathered<Row> {
  /** The rows, each with the cluster that it comes from, in the order of the clusters' names. */
  readonly rows: readonly { readonly cluster: string; readonly row: Row }[];
  /** The clusters that answered. */
  readonly answered: readonly string[];
  /** The clusters that did not, each with the reason: their rows are missing. */
  readonly missing: readonly { readonly cluster: string; readonly error: Error }[];
  /** Whether every cluster answered. */
  readonly complete: boolean;
  /** Whether tenants changed their home while it was asked, and until `moveTimeoutMs` had passed: rows of theirs may be missing or there twice. Told of a statement that says `here`; of others it is not known. */
  readonly moved: boolean;
}

/**
 * A statement for every cluster: its text, or a function that makes it of `here`. While a tenant moves, its rows are in two clusters; `here("m.room_id")` is a condition, to be put where a `WHERE` may have it, that is
 * true for rows of tenants that live in the cluster that is asked, and takes the distribution column as the statement calls it.
 */
export type GatheringText = string | ((here: (column: string) => string) => string);

export interface GatherOptions extends QueryOptions {
  /** How long each cluster may take, in milliseconds. @default no limit while it is up */
  readonly timeoutMs?: number;
}

/** What is known of a cluster. */
export interface ClusterState {
  readonly name: string;
  readonly up: boolean;
  /** What is wrong with the router's own connection to it, which hears of moves; undefined while that stands. A cluster may be up without it. */
  readonly reason: Error | undefined;
  /** Connections for statements: open, idle among them, and statements that wait for one. */
  readonly connections: { readonly open: number; readonly idle: number; readonly waiting: number };
}

/** What a router tells: where tenants go, and clusters that come and go. */
export interface RouterEvents {
  change: [Change];
  up: [cluster: string];
  down: [cluster: string, reason: Error];
}

/** How often a gathering that met a move is begun anew. */
const ANEW_PAUSE_MS = 50;

/** What a router and its clusters share, beside what its tenants do. */
interface Making extends Shared {
  readonly clusters: Map<string, Cluster>;
  /** Limits of clusters that have none of their own. */
  readonly limits: Limits;
  /** Those of single tenants. */
  readonly tenants: TenantLimiter | undefined;
  readonly onConnect: ConnectHook | undefined;
  /** How the distribution column has ids; undefined until a cluster has said it. */
  idType: { readonly type: IdType; readonly cluster: string } | undefined;
  readonly lookupTable: string;
}

/** Sends each tenant's statements to the cluster that it lives in. Make it with {@link createRouter}. */
export class Router extends EventEmitter<RouterEvents> {
  /**
   * A pool for ORMs that goes by the tenant of the {@link run} that the code belongs to; otherwise as {@link Tenant.pool}. Its counts are of all clusters.
   */
  readonly pool: Pool;
  private ended = false;
  /** The clusters whose table of lookups is as it has to be. */
  private readonly lookedAt = new Set<Cluster>();
  /** The last change of a cluster's address: they are made one after the other. */
  private changing: Promise<unknown> = Promise.resolve();
  private readonly arrivals: Arrivals;
  /** Clusters that the router has left, while something still runs there. */
  private readonly leaving = new Set<Cluster>();

  /** @internal */
  constructor(private readonly making: Making) {
    super();
    making.directory.on("change", (change) => this.emit("change", change));
    this.arrivals = new Arrivals(making.directory, making.clusters);
    this.pool = new TenantPool({
      home: () => this.currentHome(),
      counts: () => this.counts(),
      goesByRun: true,
      bound: making.bindStatements,
    });
  }

  /** A tenant, whose statements go to its home. Cheap: make one whenever you need it. @throws {@link ConfigurationError} if the id cannot be one. */
  for(tenant: TenantId): Tenant {
    this.refuseEnded();
    return new Tenant(idOf(tenant, this.making.idType?.type), this.making);
  }

  /**
   * Calls a function for a tenant: what it begins, and whatever that begins, goes by that tenant where it uses {@link pool} or {@link tenant}, also after the function has returned. In a run within a run the inner one counts.
   *
   * @returns what the function returns; a promise of its result where that is a query of an ORM.
   */
  run<Value>(tenant: TenantId, work: (tenant: Tenant) => PromiseLike<Value>): Promise<Value>;
  run<Result>(tenant: TenantId, work: (tenant: Tenant) => Result): Result;
  run(tenant: TenantId, work: (tenant: Tenant) => unknown): unknown {
    const handle = this.for(tenant);
    return new Home(handle.id, this.making).inRun(() => work(handle));
  }

  /** The tenant of the {@link run} that the code belongs to. @throws {@link RouterError} `NO_TENANT` where there is none. */
  get tenant(): Tenant {
    return this.for(this.currentHome().tenant);
  }

  /** Where a tenant lives. A cluster is asked if the router does not know. @throws {@link ConfigurationError} if the id cannot be one. */
  async locate(tenant: TenantId): Promise<Location> {
    return locate(this.making, idOf(tenant, this.making.idType?.type));
  }

  /** @internal How each cluster is reached, as it was given. */
  get configurations(): Readonly<Record<string, ClusterOptions>> {
    return Object.fromEntries([...this.making.clusters].map(([name, { given }]) => [name, given]));
  }

  /** @internal Asks a cluster what it says now of a tenant, which was placed or moved there. */
  async look(tenant: string, cluster: string): Promise<void> {
    await this.making.clusters.get(cluster)?.link.doubt(tenant);
  }

  /** Keys of a kind, such as `email`, that lead to tenants. Cheap: make one whenever you need it. @throws {@link ConfigurationError} if the kind is no text. */
  lookup(kind: string): KeyLookup {
    if (this.ended) throw new RouterError("ENDED", "The router was ended: make another with createRouter");
    const { idType, lookupTable: table } = this.making;
    return new KeyLookup(kind, this.making, idType?.type, { table, checked: this.lookedAt });
  }

  /** The clusters, and whether they are up. */
  get clusters(): ClusterState[] {
    return [...this.making.clusters.values()].map(({ name, up, link, counts }) => ({ name, up, reason: link.reason, connections: counts }));
  }

  /**
   * Gives the router a cluster more, as `clusters` of its options would have: before tenants live there, which is when `npm run tenant -- rebalance` is run. One that does not answer yet is waited for in the background.
   *
   * @throws {@link ConfigurationError} if the cluster is there already, or somebody has to mend something before it can be used.
   */
  async addCluster(name: string, options: ClusterOptions): Promise<void> {
    this.refuseEnded();
    if (this.making.clusters.has(name)) throw new ConfigurationError(`clusters.${name}: is among the router's clusters already`);
    const cluster = this.join(name, options);
    try {
      await cluster.link.start();
    } catch (error) {
      if (!(error instanceof ConfigurationError)) return;
      if (this.making.clusters.get(name) === cluster) this.making.clusters.delete(name);
      await cluster.end(0);
      throw error;
    }
  }

  /**
   * Changes a cluster's address, credentials or limits, without an error for what runs; what is not named stays as it is, and `undefined` is the default. Where nothing but limits is changed, connections stay, and what begins from
   * now on goes by the new limits. Otherwise the router makes sure of the new address first; then statements go there, and the connections to the old one are closed once what has begun on them has ended. For a password that changes
   * often give a function as `password` instead.
   *
   * @returns once the old connections are closed.
   * @throws {@link ConfigurationError} if there is no such cluster, something cannot be right, or the new address does not answer. Then nothing is changed.
   */
  async updateCluster(name: string, changes: Partial<ClusterOptions>, options: DrainOptions = {}): Promise<void> {
    const drainMs = parseDrain(options);
    const changed = this.changing.then(() => this.change(name, changes));
    this.changing = changed.catch(() => undefined);
    const old = await changed;
    if (old !== undefined) await this.leave(old, drainMs);
  }

  /**
   * Takes a cluster out of the router: after its last tenant has gone, and it is out of the ring (`npm run tenant -- drain`). Statements of tenants that live there nevertheless are `UnknownClusterError` from now on, and `router.all`
   * names it as missing while it is in the ring. What has begun there goes on to its end, `drainMs` at most. The cluster may be added again, also with another address.
   *
   * @returns once its connections are closed.
   * @throws {@link ConfigurationError} if there is no such cluster, or no other.
   */
  async removeCluster(name: string, options: DrainOptions = {}): Promise<void> {
    const drainMs = parseDrain(options);
    const cluster = this.member(name);
    if (this.making.clusters.size === 1) throw new ConfigurationError(`clusters.${name}: is the only one of the router: end the router instead`);
    this.making.clusters.delete(name);
    const left = this.leave(cluster, drainMs);
    this.making.directory.leave(name);
    tell("tenant-router:cluster", { cluster: name, up: false, reason: undefined, removed: true });
    await left;
  }

  /** @internal */
  join(name: string, options: ClusterOptions): Cluster {
    const cluster = this.make(name, options);
    this.making.clusters.set(name, cluster);
    return cluster;
  }

  private make(name: string, options: ClusterOptions): Cluster {
    const { limits, directory, tenants, onConnect, clusters } = this.making;
    const cluster = new Cluster(name, parseCluster(name, options, limits), { directory, agree: (type) => this.agree(name, type), tenants, onConnect });
    cluster.link.on("up", () => {
      if (clusters.get(name) === cluster) this.isUp(name);
    });
    cluster.link.on("down", (reason) => {
      if (clusters.get(name) !== cluster) return;
      tell("tenant-router:cluster", { cluster: name, up: false, reason });
      this.emit("down", name, reason);
    });
    return cluster;
  }

  private isUp(name: string): void {
    tell("tenant-router:cluster", { cluster: name, up: true, reason: undefined });
    this.emit("up", name);
  }

  /** @returns what was a cluster until now, and has something that still runs there. */
  private async change(name: string, changes: Partial<ClusterOptions>): Promise<Cluster | undefined> {
    const old = this.member(name);
    const options = { ...old.given, ...changes };
    if (old.adjust(parseCluster(name, options, this.making.limits))) return undefined;
    const next = this.make(name, options);
    try {
      await next.link.start();
      if (this.member(name) !== old) throw new ConfigurationError(`clusters.${name}: was taken out of the router and added again meanwhile`);
    } catch (error) {
      next.link.retire();
      await next.end(0);
      throw error instanceof RouterError ? error : new ConfigurationError(`clusters.${name}: does not answer as it was changed (${(error as Error).message}): it stays as it was`, error);
    }
    this.making.clusters.set(name, next);
    if (!old.up) this.isUp(name);
    return old;
  }

  /** Has what runs in a cluster end, and hears nothing more of it. */
  private async leave(cluster: Cluster, drainMs: number): Promise<void> {
    cluster.link.retire();
    this.leaving.add(cluster);
    await cluster.end(drainMs);
    this.leaving.delete(cluster);
  }

  /** @throws {@link ConfigurationError} if the router does not have it. */
  private member(name: string): Cluster {
    this.refuseEnded();
    const cluster = this.making.clusters.get(name);
    if (cluster === undefined) throw new ConfigurationError(`clusters.${name}: is not among the router's clusters: it has ${[...this.making.clusters.keys()].join(", ")}`);
    return cluster;
  }

  private refuseEnded(): void {
    if (this.ended) throw new RouterError("ENDED", "The router was ended: make another with createRouter");
  }

  /**
   * Runs a reading statement on every cluster and gathers the rows. Clusters that do not answer are named, never silently left out.
   *
   * A tenant that moves has rows in two clusters, some or all of them. So that it is counted once, and as a whole, give a function that says `here`:
   *
   *     router.all((here) => `SELECT count(*) FROM messages m WHERE ${here("m.room_id")}`)
   */
  async all<Row extends QueryResultRow = QueryResultRow>(text: GatheringText, values?: readonly unknown[], options: GatherOptions = {}): Promise<Gathered<Row>> {
    const { directory, moveTimeoutMs } = this.making;
    if (typeof text === "string") return this.gather<Row>(() => text, values, options);
    for (const until = performance.now() + moveTimeoutMs; ; await delay(ANEW_PAUSE_MS)) {
      // Of a tenant that is closed its home does not know whether it is open elsewhere.
      await Promise.all(directory.closed.map(async ([tenant, target]) => this.making.clusters.get(target)?.link.doubt(tenant)));
      const moves = directory.moves;
      const gathered = await this.gather<Row>((cluster) => text((column) => this.here(cluster, column)), values, options);
      const moved = !(await this.caughtUp(gathered.answered)) || directory.moves !== moves;
      if (!moved || performance.now() > until) return { ...gathered, moved };
    }
  }

  /** Ends every connection, once what runs has ended. */
  async end(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    this.arrivals.end();
    await Promise.all([this.changing, ...[...this.making.clusters.values(), ...this.leaving].map((cluster) => cluster.end())]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }

  /** Learns of every move that an answer of these clusters may have met. @returns whether that is certain. */
  private async caughtUp(answered: readonly string[]): Promise<boolean> {
    return (await Promise.all(answered.map(async (name) => this.making.clusters.get(name)?.link.caughtUp()))).every((did) => did === true);
  }

  private currentHome(): Home {
    this.refuseEnded();
    const home = this.making.current.getStore();
    if (home === undefined) throw new RouterError("NO_TENANT", "There is no tenant here: call this within router.run(tenant, …), or use router.for(tenant).pool");
    return home;
  }

  private counts(): { open: number; idle: number; waiting: number } {
    const sum = { open: 0, idle: 0, waiting: 0 };
    for (const { counts } of this.making.clusters.values()) for (const key of ["open", "idle", "waiting"] as const) sum[key] += counts[key];
    return sum;
  }

  private async gather<Row extends QueryResultRow>(textFor: (cluster: string) => string, values: readonly unknown[] | undefined, { signal, timeoutMs }: GatherOptions): Promise<Gathered<Row>> {
    this.refuseEnded();
    signal?.throwIfAborted();
    const members = [...this.making.clusters.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
    const outcomes = await Promise.allSettled(
      members.map((cluster) => {
        const limit = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
        const signals = [signal, limit].filter((one) => one !== undefined);
        return cluster.query<Row>(textFor(cluster.name), values, signals.length > 1 ? AbortSignal.any(signals) : signals[0]);
      }),
    );
    signal?.throwIfAborted();
    const answers = outcomes.map((outcome, index) => ({ cluster: (members[index] as Cluster).name, outcome }));
    const names = members.map(({ name }) => name);
    const unknown = this.making.directory.ring.filter((name) => !names.includes(name)).map((cluster) => ({ cluster, error: new UnknownClusterError(undefined, cluster, names) }));
    const missing = [...answers.flatMap(({ cluster, outcome }) => (outcome.status === "rejected" ? [{ cluster, error: outcome.reason as Error }] : [])), ...unknown];
    return {
      rows: answers.flatMap(({ cluster, outcome }) => (outcome.status === "fulfilled" ? outcome.value.rows.map((row) => ({ cluster, row })) : [])),
      answered: answers.flatMap(({ cluster, outcome }) => (outcome.status === "fulfilled" ? [cluster] : [])),
      missing,
      complete: missing.length === 0,
      moved: false,
    };
  }

  /** Rows of other clusters' tenants are those of moves: what the cluster has copied, or has not cleaned up yet. Of who is open elsewhere already it may not have heard. */
  private here(cluster: string, column: string): string {
    const strangers = this.making.directory.strangersOf(cluster).map((tenant) => ` AND (${column})::text <> ${escapeLiteral(tenant)}`);
    return `(NOT EXISTS (SELECT FROM tenancy.tenant AS elsewhere WHERE elsewhere.tenant = (${column})::text AND elsewhere.home <> ${escapeLiteral(cluster)})${strangers.join("")})`;
  }

  /** Every cluster's tables have to write ids alike. */
  private agree(cluster: string, type: IdType): void {
    const { idType } = this.making;
    if (idType !== undefined && idType.type !== type) throw new ConfigurationError(`clusters.${cluster}: its tables are distributed by columns of type ${type}, and those of cluster ${idType.cluster} by ${idType.type}. They have to be alike`);
    this.making.idType ??= { type, cluster };
  }
}

/**
 * Makes a router: connects to every cluster and reads how tenants are spread. One cluster that answers is enough; the others are waited for in the background.
 *
 * @throws {@link ConfigurationError} that names the option, also where a cluster that tenants are spread over lets nobody in until somebody has mended something: a password, a database's name, a certificate;
 * {@link ClusterDownError} if no cluster answers.
 */
export async function createRouter(options: RouterOptions): Promise<Router> {
  const { clusters: given, bindStatements, cachedTenants, lookupTable, moveTimeoutMs, limits: ofTenant, onConnect, ...limits } = parseOptions(options);
  const directory = new Directory(cachedTenants);
  const clusters = new Map<string, Cluster>();
  const tenants = ofTenant && new TenantLimiter(ofTenant);
  const router = new Router({ directory, lookup: new Lookup(directory, clusters), clusters, limits, tenants, onConnect, moveTimeoutMs, bindStatements, current: new AsyncLocalStorage(), idType: undefined, lookupTable });
  const members = Object.entries(given).map(([name, its]) => router.join(name, its));
  const outcomes = await Promise.allSettled(members.map(({ link }) => link.start()));
  const problems = outcomes.flatMap((outcome, index) => (outcome.status === "rejected" ? [{ name: (members[index] as Cluster).name, error: outcome.reason as Error }] : []));
  // A cluster that is being added may not be set up yet.
  const wrong = problems.find(({ name, error }) => error instanceof ConfigurationError && (!directory.ready || directory.ring.includes(name)));
  if (wrong === undefined && directory.ready) return router;
  await router.end();
  if (wrong !== undefined) throw wrong.error;
  if (problems.length < members.length) throw new ConfigurationError("No cluster knows yet which tenants are its own: the stack's set-up did not reach its end. Run npm run up");
  throw new ClusterDownError(members.map(({ name }) => name).join(", "), "no", problems[0]?.error);
}
