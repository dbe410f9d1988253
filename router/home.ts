import { AsyncLocalStorage } from "node:async_hooks";
import { escapeLiteral, type QueryResult, type QueryResultRow } from "pg";
import { textOf, traceFromHere, type Cluster, type Statement } from "./cluster";
import { confirmHeard, confirmHome, hasHeard, metNothing, MissedError, type Run } from "./confirm";
import { STATEMENT, tell, traced } from "./diagnostics";
import type { Directory, Location, TenantRecord } from "./directory";
import { OtherTenantError, RouterError, TenantMovedError, TenantMovingError, UnknownClusterError, type Applied } from "./errors";
import type { Lookup } from "./lookup";
import { refusalOf, type Refusal } from "./refusal";
import { mayCommitInPart, onlyReads } from "./sqlText";

/** What the handles of one router share. */
export interface Shared {
  readonly directory: Directory;
  readonly lookup: Lookup;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly moveTimeoutMs: number;
  readonly bindStatements: boolean;
  /** The tenant of the code that runs, where it was begun in a run. */
  readonly current: AsyncLocalStorage<Home>;
}

/** A transaction that runs. */
export interface Running {
  readonly tenant: string;
  readonly shared: Shared;
  /** Its end has begun: what comes now is not part of it. */
  over: boolean;
}

/** The transaction that the code that runs belongs to, or has come from. */
export const transactionOf = new AsyncLocalStorage<Running>();

/** A tenant that is closed is asked for again after so long, if nothing is heard before. A move closes it for milliseconds. */
const CLOSED_PAUSE_MS = 10;

/** How long refusals are followed: the clock runs from the first. */
export class Patience {
  private until: number | undefined;

  constructor(private readonly timeoutMs: number) {}

  /** Whether it has come to its end. */
  get over(): boolean {
    this.until ??= performance.now() + this.timeoutMs;
    return performance.now() > this.until;
  }
}

/** The cluster that a tenant's statements go to. */
export interface Place {
  readonly cluster: Cluster;
  /** The tenant's epoch as it was known when the cluster was chosen. */
  readonly epoch: number;
}

/** Where a tenant lives, in full, as far as the clusters know that answer. */
export async function locate({ directory, lookup }: Pick<Shared, "directory" | "lookup">, tenant: string): Promise<Location> {
  const heard = await lookup.hear(tenant);
  return directory.locate(tenant) ?? { tenant, by: heard.epoch > 0 ? "lookup" : "hash", ...heard };
}

/** Where a tenant's statements go, and what follows where the fence refuses them. */
export class Home {
  /** In a run: what was told in it of a refusal. One that may have been applied in part stays. */
  private lastTold: TenantMovedError | TenantMovingError | undefined;

  constructor(
    readonly tenant: string,
    readonly shared: Shared,
  ) {}

  /** What was told of a refusal in the run of this tenant, where there was one. */
  get toldOfRefusal(): TenantMovedError | TenantMovingError | undefined {
    return this.lastTold;
  }

  /** Where the tenant lives; undefined where that has to be asked for, or waited for. @throws {@link UnknownClusterError} */
  known(): Place | undefined {
    const record = this.shared.directory.recordOf(this.tenant);
    return record === undefined || record.state === "closed" ? undefined : this.placeOf(record);
  }

  /** The cluster that the tenant lives in as far as is known, or would by the ring alone: for what is told, and not done. */
  get likely(): Cluster | undefined {
    const { directory, clusters } = this.shared;
    return clusters.get(directory.recordOf(this.tenant)?.home ?? directory.winnerOf(this.tenant));
  }

  /** Where the tenant lives: a cluster is asked if that is not known. @throws {@link UnknownClusterError}, {@link ClusterDownError} */
  async find(): Promise<Place> {
    return this.placeOf(await this.shared.lookup.find(this.tenant));
  }

  /** What binds a transaction that has just begun to the tenant. */
  get binding(): string {
    return `SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL tenancy.tenant = ${escapeLiteral(this.tenant)}`;
  }

  /** @throws {@link OtherTenantError} if the code that runs is part of another tenant's transaction. */
  refuseOther(): void {
    const running = transactionOf.getStore();
    // What was begun in a transaction may go on when that has ended.
    if (running === undefined || running.over || running.shared !== this.shared || running.tenant === this.tenant) return;
    throw new OtherTenantError(running.tenant, `A transaction of tenant ${running.tenant} cannot have statements of tenant ${this.tenant}: they may live in different clusters`);
  }

  /** Calls a function in a run of the tenant. The queries of ORMs begin where they are waited for: one that the function gives begins in the run. */
  inRun<Result>(work: () => Result): Result {
    return this.shared.current.run(this, () => {
      const result = work();
      const lazy = typeof (result as { then?: unknown } | undefined)?.then === "function" && !(result instanceof Promise);
      return lazy ? (new Promise((resolve, reject) => void (result as PromiseLike<unknown>).then(resolve, reject)) as Result) : result;
    });
  }

  /**
   * Runs a statement on any connection to the tenant's home, and again where that has gone. All that is not done on the usual way is left to others: each step costs more than it does.
   *
   * @throws what {@link Tenant.query} says.
   */
  query<Row extends QueryResultRow>(statement: Statement, values: readonly unknown[] | undefined, signal: AbortSignal | undefined): Promise<QueryResult<Row>> {
    if (!STATEMENT.hasSubscribers) return this.queryUntold<Row>(statement, values, signal);
    return traced(STATEMENT, this.tenant, this.shared.directory, () => this.queryUntold<Row>(statement, values, signal));
  }

  /** {@link query} of which nobody is told. */
  async queryUntold<Row extends QueryResultRow>(statement: Statement, values: readonly unknown[] | undefined, signal: AbortSignal | undefined): Promise<QueryResult<Row>> {
    this.refuseOther();
    for (let patience: Patience | undefined; ; ) {
      const { cluster, epoch } = this.known() ?? (await this.opened());
      try {
        const result = await cluster.query<Row>(statement, values, signal, this.tenant);
        if (this.needsConfirming(cluster, epoch, result)) await this.confirm(cluster, epoch, textOf(statement), result, (text, its) => cluster.query(text, its, signal));
        return result;
      } catch (error) {
        traceFromHere(error);
        await this.follow(error, cluster, (patience ??= new Patience(this.shared.moveTimeoutMs)), signal, textOf(statement));
      }
    }
  }

  /** Works at the tenant's home, and again where it has gone if the fence refuses. */
  async following<Result>(patience: Patience, signal: AbortSignal | undefined, work: (cluster: Cluster, epoch: number) => Promise<Result>, text?: string): Promise<Result> {
    for (;;) {
      const { cluster, epoch } = this.known() ?? (await this.opened());
      signal?.throwIfAborted();
      try {
        return await work(cluster, epoch);
      } catch (error) {
        traceFromHere(error);
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
  async follow(error: unknown, cluster: Cluster, patience: Patience, signal: AbortSignal | undefined, text?: string): Promise<void> {
    const refusal = this.refused(error, cluster);
    if (refusal === undefined) throw error;
    const applied = text !== undefined && !(error instanceof MissedError) && mayCommitInPart(text) ? "unknown" : "no";
    const foreign = refusal.kind === "other" || (refusal.kind !== "unready" && refusal.tenant !== this.tenant);
    const news = foreign ? false : await this.learn(refusal, cluster);
    if (foreign || applied === "unknown" || patience.over) throw this.noted(this.explained(error, refusal, applied));
    signal?.throwIfAborted();
    if (!news) await this.pause(cluster.name);
    tell("tenant-router:repeat", { tenant: this.tenant, cluster: cluster.name, reason: refusal.kind });
  }

  /** What the fence of a cluster said, if an error is its. */
  refused(error: unknown, { name: cluster }: Cluster): Refusal | undefined {
    const refusal = error instanceof RouterError ? undefined : refusalOf(error);
    if (refusal !== undefined) tell("tenant-router:refusal", { cluster, tenant: this.tenant, refusal });
    return refusal;
  }

  /** What is told of an error that the router does not follow itself: a refusal as the router's error, after it was learned from; others as they are. */
  async told(error: unknown, cluster: Cluster, applied: Applied): Promise<Error> {
    const refusal = this.refused(error, cluster);
    if (refusal === undefined) return error as Error;
    await this.learn(refusal, cluster);
    return this.noted(this.explained(error, refusal, error instanceof MissedError ? "no" : applied));
  }

  /**
   * Has the run know what is told of a refusal: ORMs may make an error of their own of it that has no cause. It is the run that the connection was taken in, and the one that asks: an ORM may send what several runs have begun
   * in the run of one of them.
   */
  noted(error: Error): Error {
    if (!(error instanceof TenantMovedError || error instanceof TenantMovingError)) return error;
    for (const run of [this, this.shared.current.getStore()]) if (run?.tenant === this.tenant && run.lastTold?.applied !== "unknown") run.lastTold = error;
    return error;
  }

  /** Resolves when something new is known of the tenant, or after a moment. @param cluster where it was closed, or refused. */
  async pause(cluster: string): Promise<void> {
    const began = performance.now();
    await this.shared.directory.changed(this.tenant, CLOSED_PAUSE_MS);
    tell("tenant-router:tenant-wait", { tenant: this.tenant, cluster, waitMs: performance.now() - began });
  }

  /** The tenant's epoch, or what it was known to be before where it is not known any more. */
  epochOr(before: number): number {
    return this.shared.directory.recordOf(this.tenant)?.epoch ?? before;
  }

  /** Whether a cluster may not have been the tenant's home all the time since it was chosen. */
  mayHaveLeft(cluster: Cluster, epoch: number): boolean {
    const { directory } = this.shared;
    return cluster.link.unheard || directory.isHinted(this.tenant) || !directory.isAt(this.tenant, cluster.name, epoch);
  }

  /** Whether there may be something for {@link confirm} to do: a look at what costs nothing. */
  needsConfirming(cluster: Cluster, epoch: number, { rowCount, command }: QueryResult): boolean {
    return rowCount === 0 || (command === "SELECT" && this.mayHaveLeft(cluster, epoch));
  }

  /**
   * Makes sure of an answer that a home that was left would give as well: a write that met no row, and a read.
   *
   * @param epoch the home's as it was known before.
   * @param ask not in a transaction whose snapshot is older than the statement.
   * @throws {@link MissedError}
   */
  async confirm(cluster: Cluster, epoch: number, text: string, result: QueryResult, ask: Run): Promise<void> {
    if (metNothing(text, result)) await confirmHome(cluster.name, this.tenant, epoch, ask);
    // A home that the tenant has left is emptied, and may have given a part.
    else if (result.command === "SELECT" && this.mayHaveLeft(cluster, epoch) && onlyReads(text)) await this.confirmStayed(cluster, epoch, ask);
  }

  /** @throws {@link MissedError} if a cluster was not the tenant's home all the time: as far as the router has heard, or as it says itself where that may be too little. */
  async confirmStayed(cluster: Cluster, epoch: number, ask: Run): Promise<void> {
    const heard = (await hasHeard(this.shared.directory, this.tenant)) && !cluster.link.unheard;
    await (heard ? confirmHeard(this.shared.lookup, cluster.name, this.tenant, epoch) : confirmHome(cluster.name, this.tenant, epoch, ask));
  }

  /** A refusal as the router's error; other errors as they are. */
  explained(error: unknown, refusal: Refusal | undefined, applied: Applied = "no"): Error {
    const { tenant } = this;
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

  /** Takes in what the fence of a cluster said. @returns whether that was news. */
  async learn(refusal: Refusal, { name, link }: Cluster): Promise<boolean> {
    if (refusal.kind === "other" || refusal.kind === "unready") return false;
    const { tenant, home, epoch } = refusal;
    if (epoch > 0) {
      const news = this.shared.directory.learn(tenant, { home, epoch, state: refusal.kind === "closed" ? "closed" : "settled" }, name);
      // It may have left there, too; nobody waits for that to be seen.
      if (news && home !== name) void this.shared.clusters.get(home)?.link.doubt(tenant);
      return news;
    }
    // By the ring, and another than is known here. Where it is closed, there is nothing to know until it opens.
    if (refusal.kind === "elsewhere") await link.doubt(tenant);
    return false;
  }

  /** Where the tenant is found to live. One that is closed is waited for a moment, and asked for where it goes. */
  async opened(): Promise<Place> {
    const { directory, lookup, clusters } = this.shared;
    const found = await lookup.find(this.tenant);
    if (found.state !== "closed") return this.placeOf(found);
    await this.pause(found.home);
    const target = directory.isClosed(this.tenant) ? directory.targetOf(this.tenant) : undefined;
    if (target !== undefined) await clusters.get(target)?.link.doubt(this.tenant);
    return this.find();
  }

  private placeOf({ home, epoch }: TenantRecord): Place {
    const cluster = this.shared.clusters.get(home);
    if (cluster === undefined) throw new UnknownClusterError(this.tenant, home, [...this.shared.clusters.keys()]);
    return { cluster, epoch };
  }
}
