import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "pg";
import { anyOf } from "./anyOf";
import { Applier } from "./applier";
import { ChangeStream } from "./changeStream";
import { checksumOf, checksumsOf } from "./checksum";
import { copyRows } from "./copyTenant";
import { BUCKET, bucketsInUse, writersAreGone } from "./fenceLock";
import { decide } from "./handover";
import { refuseHindered, refuseUnfencedShards } from "./hindrances";
import { publicationOf } from "./leftovers";
import { keepMigrationsOut } from "./migrationLock";
import { refuseUnmigrated } from "./migrations";
import { newestRecord } from "./newestRecord";
import { sessionNameOf } from "./orphans";
import { lsnOf } from "./pgoutput";
import { refuseUnfit } from "./refuseUnfit";
import { announceTenants, horizonOf, recordsOf, RingChangedError, ringOf, winnersOf, writeRecords, type RecordChange, type TenantRecord } from "./record";
import { lockMovers, newMove, OvertakenError, settleAll, type Settled } from "./settle";
import { abandon, messageOf, Site, writeAs, type SiteAccess } from "./site";
import { TenantError } from "./tenantError";
import { canonicalTenant, commonNodes, nodesOf, placementsOf, refuseUnlike, shardGroups, tenantShards, tenantTables, type TenantShard, type TenantTable } from "./tenantTables";

/** What a move does, in this order. */
export type MoveStep = "announced" | "emptied" | "copied" | "caught up" | "verified" | "closed" | "drained" | "complete" | "decided" | "opened" | "told" | "cleaned";

export interface MoveOptions {
  /** Gives the move up, up to the moment that it is decided. */
  readonly signal?: AbortSignal;
  /** Is called after each step, and awaited. */
  readonly onStep?: (step: MoveStep) => void | Promise<void>;
  /** Is called with the bytes copied so far. */
  readonly onBytes?: (bytes: number) => void;
  /** Whether a rebalance may move it again, as it may who never was moved; else it stays, because somebody wants it there. @default false */
  readonly byRing?: boolean;
  /** How long the tenant may stay closed while transactions that write it end; then it is opened again for a while. @default 150, and 30 where several move together, who wait for each other */
  readonly drainMs?: number;
  /** How long it goes on trying, if transactions are always in the way. @default 30000 */
  readonly patienceMs?: number;
  /** Is called if it has to wait for migrations that are being applied, before anything is done. */
  readonly onWait?: () => void;
}

/** What a move of several tenants together did. */
export interface BatchReport extends Pick<MoveReport, "rows" | "followed" | "attempts"> {
  /** The tenants that live at their new home, each with its epoch there. */
  readonly moved: ReadonlyMap<string, number>;
  /** The tenants that were not moved, or where what follows a move failed, each with the reason. */
  readonly left: ReadonlyMap<string, Error>;
  readonly from: string;
  /** The longest that one of them took no writes, in milliseconds. */
  readonly closedMs: number;
  /** What ended the move for all that were still to be moved; undefined if nothing did. */
  readonly problem?: unknown;
}

/** The copies of some tenants' rows differ. */
class UnlikeError extends TenantError {}

/** Whether a move failed by rows, of which a part may be at fault alone: the copies differ, or PostgreSQL does not take them (its classes of data exceptions and of violated constraints). */
export function isOfRows(problem: unknown): boolean {
  return problem instanceof UnlikeError || /^2[23]/.test((problem as { code?: string } | undefined)?.code ?? "");
}

/** What a move did. */
export interface MoveReport {
  readonly tenant: string;
  readonly from: string;
  readonly to: string;
  /** The tenant's epoch at its new home. */
  readonly epoch: number;
  /** Rows that were copied or followed, by table. */
  readonly rows: Readonly<Record<string, number>>;
  /** Rows that changed while it was copied. */
  readonly followed: number;
  /** How long nobody took writes, from the moment that the old home was closed until the new was open, in milliseconds. */
  readonly closedMs: number;
  /** How often it was closed; more than once if transactions were in the way. */
  readonly attempts: number;
  /** All in all, in milliseconds. */
  readonly tookMs: number;
}

/** How far behind the new home may be when the old one is closed, and how often it is asked to be nearer. */
const NEAR_MS = 8;
const NEAR_ATTEMPTS = 50;

/** Why a tenant is left out whose record or decision is another's by now. */
const SETTLED_BY_OTHERS = "somebody else settled the tenant meanwhile";

/** How long a step may take while the tenant is closed; then the move is given up and it is opened again. */
const CLOSED_STEP_MS = 2000;

/** How long the clusters are left in peace before the tenant is closed, again and again until a commit on both is quick. */
const CALM_MS = 150;
const QUICK_COMMIT_MS = 15;
const CALM_ATTEMPTS = 20;
/** In a rebalance there is always something on its way to the disk. */
const BATCH_CALM_ATTEMPTS = 3;

/** How long the tenant is closed at most while its writers end, and how long those that move together wait for each other. */
const DRAIN_MS = 150;
const BATCH_DRAIN_MS = 30;

/** How long a batch waits to be closed, behind the others that are under way; nobody is closed meanwhile. */
const BATCH_CLOSE_MS = 500;

/** Tenants of a batch that cannot be closed for so long, and so often, are left out. */
const STRAGGLERS_MS = 2000;
const STRAGGLER_ATTEMPTS = 4;

/** A cluster that takes longer to let somebody in does not answer. */
const ANSWER_MS = 1000;

/** A stream that is further behind is not catching up. */
const CATCH_UP_MS = 60_000;

/** How often one looks whether a slot that is being made is still wanted. */
const SLOT_LOOK_MS = 250;

/** The transaction on a worker that has been writing for the longest time, in words. */
const OLDEST_WRITER = `
  SELECT what FROM (
    SELECT format('the transaction of process %s (%s)', pid, concat_ws(', ', 'user ' || usename, nullif(application_name, ''))) AS what, xact_start AS since
      FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    UNION ALL SELECT format('the prepared transaction %s', gid), prepared FROM pg_prepared_xacts
  ) AS writers ORDER BY since LIMIT 1`;

/** How far a counter of the new home is put ahead of the old one's, and how near it may be before it is: more than either gives out between the moment that it is read and the moment that it is set, or the tenant closed. */
const SEQUENCE_LEAP = 10_000n;
const SEQUENCE_LEAD = 5_000n;

/**
 * Moves a tenant to another cluster while it is used. Rows are copied from one snapshot, changes are followed by logical replication, both are verified, then the tenant is closed for some milliseconds, the
 * last changes follow, the move is decided and the tenant opens at its new home. Until it is decided it can be given up, and nothing has happened; from then on it goes forward.
 *
 * @param id the tenant, in any form that its column takes.
 * @throws {@link TenantError} if it was not moved: then the tenant is where it was, or `recover` brings it back.
 */
export async function moveTenant(clusters: readonly SiteAccess[], id: string, to: string, options: MoveOptions = {}): Promise<MoveReport> {
  const startedAt = performance.now();
  const move = newMove();
  const sites = await openSites(clusters, sessionNameOf(move), [to]);
  try {
    await Promise.all(sites.map((site) => refuseUnfit(site, "move")));
    const tenant = await canonicalTenant(sites[0] as Site, id);
    const { moved, left, problem: _, ...report } = await moveTogether(sites, clusters.map(({ name }) => name), [tenant], { to, move }, options);
    const problem = left.get(tenant);
    if (problem !== undefined) throw problem;
    return { tenant, to, epoch: moved.get(tenant) as number, ...report, tookMs: performance.now() - startedAt };
  } finally {
    for (const site of sites) site.close();
  }
}

/** Where tenants go that move together. */
export interface Way {
  /** The cluster that has them. One that lives elsewhere is left out. @default where the first of them lives */
  readonly from?: string;
  readonly to: string;
  /** A name for the move that nobody has had. */
  readonly move?: string;
}

/**
 * Moves tenants that are in the same shards together, as {@link moveTenant} does one: with one copy, one stream of changes and one transaction for what is written of all of them. Each is decided by a row of its own; one that
 * cannot be closed in time is left out, and open.
 *
 * @param sites the clusters that answer. Nobody else works with their sessions meanwhile.
 * @param names all clusters of the stack.
 * @param tenants each in the form that its column gives it.
 * @throws {@link TenantError} if the ring is being changed or a cluster does not answer, before anything was done.
 */
export async function moveTogether(sites: readonly Site[], names: readonly string[], tenants: readonly string[], { from: giver, to, move = newMove() }: Way, options: MoveOptions = {}): Promise<BatchReport> {
  const left = new Map<string, Error>();
  const letMigrationsIn = await keepMigrationsOut(sites, options.signal, options.onWait);
  const locks = await lockMovers(sites, tenants).catch(async (error: unknown) => {
    await letMigrationsIn();
    throw error;
  });
  try {
    for (const tenant of tenants) left.set(tenant, new TenantError(`Tenant ${tenant} is being moved by another run. Wait until it has ended`));
    for (const tenant of locks.tenants) left.delete(tenant);
    const { homes, failed, version } = await homesOf(sites, names, locks.tenants);
    for (const [tenant, error] of failed) left.set(tenant, error);
    const from = giver ?? [...homes.values()][0] ?? to;
    const leaving = locks.tenants.filter((tenant) => homes.get(tenant) === from && from !== to);
    for (const [tenant, home] of homes) if (home === to) left.set(tenant, new TenantError(`Tenant ${tenant} lives in cluster ${to} already`));
    for (const [tenant, home] of homes) if (home !== to && home !== from) left.set(tenant, new TenantError(`Tenant ${tenant} lives in cluster ${home} by now`));
    if (leaving.length === 0) return { moved: new Map(), left, from, rows: {}, followed: 0, closedMs: 0, attempts: 0 };
    const [site, target] = [from, to].map((cluster) => sites.find(({ name }) => name === cluster));
    if (site === undefined) throw new TenantError(`Tenant ${leaving[0] as string} lives in cluster ${from}, which does not answer. Bring it back, or wait until it is`);
    if (target === undefined) throw new TenantError(`Cluster ${to} does not answer. Bring it back, or wait until it is`);
    const report = await new Move(sites, names, site, target, leaving, move, options, version).run();
    return { ...report, left: new Map([...left, ...report.left]) };
  } finally {
    await locks.unlock();
    await letMigrationsIn();
  }
}

/** Opens the clusters that answer. @throws {@link TenantError} if one of `needed` is not known or does not. */
export async function openSites(clusters: readonly SiteAccess[], applicationName: string, needed: readonly string[]): Promise<Site[]> {
  for (const name of needed) {
    if (!clusters.some((cluster) => cluster.name === name)) throw new TenantError(`There is no cluster ${name}. There is ${clusters.map((cluster) => cluster.name).join(", ")}`);
  }
  const opened = await Promise.allSettled(clusters.map((cluster) => Site.open(cluster, applicationName)));
  const sites = opened.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const failures = opened.flatMap((outcome, index) => (outcome.status === "rejected" ? [{ name: (clusters[index] as SiteAccess).name, reason: outcome.reason as Error }] : []));
  const missing = failures.find(({ name }) => needed.includes(name)) ?? (sites.length === 0 ? failures[0] : undefined);
  if (missing === undefined) return sites;
  for (const site of sites) site.close();
  throw missing.reason;
}

/** Where tenants live. */
interface Homes {
  readonly homes: ReadonlyMap<string, string>;
  /** Why that is not known of others. */
  readonly failed: ReadonlyMap<string, Error>;
  /** The ring's by which those live there that have no record; undefined where all have one. */
  readonly version: number | undefined;
}

/** The clusters that have tenants. Moves of them that stopped half-way are ended first. */
async function homesOf(sites: readonly Site[], names: readonly string[], tenants: readonly string[]): Promise<Homes> {
  const [homes, failed] = [new Map<string, string>(), new Map<string, Error>()];
  let version: number | undefined;
  const locate = async (some: readonly string[]): Promise<string[]> => {
    const known = await Promise.all(sites.map(async (site) => [site.name, await recordsOf(site, some)] as const));
    const [hashed, unsettled]: [string[], string[]] = [[], []];
    for (const tenant of some) {
      const records = new Map<string, TenantRecord>(known.flatMap(([cluster, of]) => (of.has(tenant) ? [[cluster, of.get(tenant) as TenantRecord] as const] : [])));
      try {
        const newest = newestRecord(tenant, records);
        if (newest === undefined) hashed.push(tenant);
        else homes.set(tenant, newest.home);
        if ([...records.values()].some(({ move, state }) => move !== null || state !== "settled")) unsettled.push(tenant);
      } catch (error) {
        failed.set(tenant, error as Error);
      }
    }
    if (hashed.length > 0) {
      const rings = await Promise.all(sites.map(ringOf));
      const ring = rings.sort((one, other) => other.version - one.version)[0] as Awaited<ReturnType<typeof ringOf>>;
      if (ring.next !== null) throw new TenantError("The ring of clusters is being changed. Finish that first: npm run tenant -- rebalance");
      ({ version } = ring);
      for (const [tenant, winner] of await winnersOf(sites[0] as Site, hashed, ring.clusters)) homes.set(tenant, winner);
    }
    return unsettled;
  };
  const unsettled = await locate(tenants);
  if (unsettled.length === 0) return { homes, failed, version };
  const { failed: problems } = await settleAll(sites, names, unsettled);
  for (const tenant of unsettled) homes.delete(tenant);
  for (const [tenant, error] of problems) failed.set(tenant, error);
  await locate(unsettled.filter((tenant) => !problems.has(tenant)));
  return { homes, failed, version };
}

/** Which tables are distributed in a cluster, and which migrations it has, as one text to compare: rows of a new table would stay behind, and what a migration did to rows be done again, or never. */
async function spreadTables({ coordinator }: Site): Promise<string> {
  const { rows } = await coordinator.query<{ spread: string }>(
    `SELECT concat_ws(' ', (SELECT string_agg(logicalrelid::oid::text, ' ' ORDER BY logicalrelid::oid) FROM pg_dist_partition WHERE partmethod = 'h'),
       (SELECT string_agg(name || ' ' || checksum || ' ' || (applied_at IS NULL), ' ' ORDER BY name) FROM tenancy.migration)) AS spread`,
  );
  return (rows[0] as { spread: string }).spread;
}

/** How a tenant stood before it was moved. */
interface Standing {
  readonly epoch: number;
  /** Whether a rebalance might move it. */
  readonly pinned: boolean;
}

/** One attempt to move tenants that are in the same shards. */
class Move {
  private readonly sessions: Client[] = [];
  private stream: ChangeStream | undefined;
  /** The tenants whose records name the move, or may. */
  private readonly standings = new Map<string, Standing>();
  /** Why tenants were left out. */
  private readonly causes = new Map<string, string>();
  /** Those that are still to be handed over. */
  private active: readonly string[];
  private barriers = 0;
  private rows: Record<string, number> = {};
  private applier: Applier | undefined;
  private closedMs = 0;
  private attempts = 0;

  constructor(
    private readonly sites: readonly Site[],
    private readonly names: readonly string[],
    private readonly from: Site,
    private readonly to: Site,
    private readonly tenants: readonly string[],
    private readonly move: string,
    private readonly options: MoveOptions,
    private readonly version: number | undefined,
  ) {
    this.active = tenants;
  }

  /** Moves the tenants, and ends what was begun: gives it up where it is not decided, finishes it where it is. */
  async run(): Promise<BatchReport> {
    let problem: unknown;
    try {
      await this.attempt();
    } catch (error) {
      problem = error;
    }
    this.end();
    const { moved, left } = await this.settle(problem);
    if (problem === undefined) await this.step("cleaned");
    return { moved, left, from: this.from.name, rows: this.rows, followed: this.applier?.applied ?? 0, closedMs: this.closedMs, attempts: this.attempts, problem };
  }

  private async attempt(): Promise<void> {
    const { from, to, move } = this;
    await refuseHindered([from, to]);
    await refuseUnmigrated([from, to]);
    const tables = await tenantTables(from);
    refuseUnlike(from.name, tables, to.name, await tenantTables(to));
    const [sources, targets] = [await this.shardsIn(from, tables), await this.shardsIn(to, tables)];
    const sourceNode = commonNodes(from.name, sources)[0] as string;
    const targetNodes = commonNodes(to.name, targets);
    const relationsOn = (shards: readonly TenantShard[], node: string): string[] => shards.flatMap(({ relation, placements }) => (placements.some((placement) => placement.node === node) ? [relation] : []));
    await Promise.all([
      ...nodesOf(sources).map((node) => refuseUnfencedShards(from, node, relationsOn(sources, node))),
      ...nodesOf(targets).map((node) => refuseUnfencedShards(to, node, relationsOn(targets, node))),
    ]);
    const spread = await Promise.all([from, to].map(spreadTables));

    await this.announce();
    if (this.active.length === 0) return;
    await this.step("announced");

    await this.keepInPlace(targets);
    const writers = await Promise.all(targetNodes.map((node) => this.own(to.copying(node))));
    for (const writer of writers) await writeAs(writer, move);
    for (const { table, relation } of targets) {
      await Promise.all(writers.map((writer) => writer.query(`DELETE FROM ${relation} WHERE ${anyOf(table.column, this.active)}`)));
    }
    await this.step("emptied");

    const source = await from.node(sourceNode);
    await this.publish(source, sources);
    const pairs = sources.map((shard, index) => [shard, targets[index] as TenantShard] as const);
    const applier = (this.applier = new Applier(writers, pairs, (full) => this.stream?.rest(full)));
    this.rows = await this.copyAndFollow(sourceNode, source, pairs, writers, applier);
    await this.step("copied");

    await this.catchUp(source, applier);
    await this.step("caught up");
    await this.verify(sourceNode, source, pairs, writers, applier);
    await this.copySequences(tables);
    await this.step("verified");
    await this.calm();
    await this.catchUp(source, applier);

    await this.handOver(source, applier, [sources, targets], tables, spread);
    this.end();
    await source.query(`DROP PUBLICATION IF EXISTS ${publicationOf(move)}`);
  }

  /** Where the tenants' rows are. @throws {@link TenantError} if they are not in the same shards. */
  private async shardsIn(site: Site, tables: readonly TenantTable[]): Promise<readonly TenantShard[]> {
    const [group, other] = await shardGroups(site, tables, this.tenants);
    if (group === undefined || other !== undefined) throw new TenantError(`Tenants ${this.tenants[0] as string} and ${other?.tenants[0] ?? ""} are not in the same shards of cluster ${site.name} any more. Try again`);
    return group.shards;
  }

  /** Leaves tenants out: what was done for them is undone in the end. */
  private leave(tenants: readonly string[], cause: string): void {
    for (const tenant of tenants) this.causes.set(tenant, cause);
    this.active = this.active.filter((tenant) => !this.causes.has(tenant));
  }

  /** Gives the moves up that are not decided, and finishes those that are. @param problem what ended the attempt; undefined if nothing did. */
  private async settle(problem: unknown): Promise<Pick<BatchReport, "moved" | "left">> {
    const { names, tenants, to } = this;
    const [moved, left, ended, announced] = [new Map<string, number>(), new Map<string, Error>(), new Map<string, Settled>(), [...this.standings.keys()]];
    // Where those that could be moved were, what is wrong with the others is not their concern.
    const causeOf = (tenant: string): string | undefined => this.causes.get(tenant) ?? (problem === undefined || (this.active.length > 0 && !this.active.includes(tenant)) ? undefined : messageOf(problem));
    let failed: ReadonlyMap<string, Error> = new Map();
    if (announced.length > 0) {
      try {
        const answer = await (problem === undefined ? settleAll(this.sites, names, announced, this.move).catch(() => this.settleAnew(announced)) : this.settleAnew(announced));
        for (const one of answer.settled) ended.set(one.tenant, one);
        ({ failed } = answer);
      } catch (trouble) {
        failed = new Map(announced.map((tenant) => [tenant, trouble as Error]));
      }
    }
    for (const tenant of tenants) {
      const [one, cause, trouble] = [ended.get(tenant), causeOf(tenant), failed.get(tenant)];
      if (one?.home === to.name) moved.set(tenant, one.epoch);
      // Who settled it has cleaned up, and may be moving the tenant again.
      if (trouble instanceof OvertakenError && cause === undefined) moved.set(tenant, (this.standings.get(tenant) as Standing).epoch + 1);
      else if (trouble instanceof OvertakenError) left.set(tenant, new TenantError(`${cause}. ${trouble.message}`, { cause: problem ?? trouble }));
      else if (trouble !== undefined) left.set(tenant, new TenantError(`Tenant ${tenant} was not moved (${cause ?? "it was, as it seems"}), and could not be settled: ${messageOf(trouble)}. Run npm run tenant -- recover`, { cause: problem ?? trouble }));
      else if (cause !== undefined && one === undefined) left.set(tenant, problem instanceof TenantError && !this.causes.has(tenant) ? problem : new TenantError(`Tenant ${tenant} was not moved: ${cause}`, { cause: problem }));
      else if (cause !== undefined && one !== undefined) left.set(tenant, new TenantError(`${this.outcome(one)}: ${cause}${remainder(one)}`, { cause: problem }));
    }
    return { moved, left };
  }

  /** Settles by new sessions: what failed may be one of the move's. */
  private async settleAnew(tenants: readonly string[]): Promise<Awaited<ReturnType<typeof settleAll>>> {
    const sites = await this.answering();
    try {
      return await settleAll(sites, this.names, tenants, this.move);
    } finally {
      for (const site of sites) site.close();
    }
  }

  private outcome({ tenant, home }: Settled): string {
    return home === this.to.name ? `Tenant ${tenant} has moved to cluster ${home}, but what follows failed` : `Tenant ${tenant} was not moved and is open in cluster ${home}`;
  }

  /** Ends the stream and the sessions that the move alone used. */
  private end(): void {
    this.stream?.stop();
    for (const session of this.sessions) abandon(session);
    this.sessions.length = 0;
  }

  /** The clusters that answer, by new sessions. The caller closes them. */
  private async answering(): Promise<Site[]> {
    const opening = this.sites.map((site) => site.again());
    // A frozen cluster is not waited for: the tenant may be closed meanwhile.
    const opened = await Promise.all(opening.map((one) => Promise.race([one.catch(() => undefined), delay(ANSWER_MS, undefined, { ref: false })])));
    for (const [index, one] of opening.entries()) if (opened[index] === undefined) void one.then((late) => late.close(), () => undefined);
    return opened.filter((site) => site !== undefined);
  }

  private async own(opening: Promise<Client>): Promise<Client> {
    const session = await opening;
    this.sessions.push(session);
    return session;
  }

  private async step(step: MoveStep): Promise<void> {
    await this.options.onStep?.(step);
    if (step !== "decided" && step !== "opened" && step !== "told" && step !== "cleaned") this.options.signal?.throwIfAborted();
  }

  /** What a side knows of tenants while the move is under way. Each has in it whether a rebalance may move the tenant again if it lives there afterwards. */
  private underWay(site: Site, tenants: readonly string[]): RecordChange[] {
    const { from, to, move } = this;
    return tenants.map((tenant) => {
      const { epoch, pinned } = this.standings.get(tenant) as Standing;
      return { tenant, home: from.name, epoch, state: "moving", target: to.name, move, pinned: site === from ? pinned : this.options.byRing === true };
    });
  }

  /** Waits until both clusters commit quickly: what was copied may still be on its way to the disk, and would make the moment that the tenant is closed longer. */
  private async calm(): Promise<void> {
    for (let attempt = 0; attempt < (this.tenants.length > 1 ? BATCH_CALM_ATTEMPTS : CALM_ATTEMPTS); attempt += 1) {
      await delay(CALM_MS);
      const began = performance.now();
      // One of them is enough to see how long a commit takes.
      await Promise.all([this.from, this.to].map((site) => this.keepUnderWay(site, this.active.slice(0, 1))));
      if (performance.now() - began <= QUICK_COMMIT_MS) return;
      this.options.signal?.throwIfAborted();
    }
  }

  private async announce(): Promise<void> {
    const { from, to } = this;
    const [known, horizon] = [await recordsOf(from, this.tenants), await horizonOf(this.sites)];
    for (const tenant of this.tenants) {
      // Who never was moved is where the ring put it.
      const { epoch, pinned } = known.get(tenant) ?? { epoch: 0, pinned: true };
      this.standings.set(tenant, { epoch: Math.max(epoch, horizon + 1), pinned });
    }
    for (const [site, cause] of [
      [from, "it is being moved by another run. Wait until it has ended"],
      [to, `cluster ${to.name} knows of another move of it. End that first: npm run tenant -- recover`],
    ] as const) {
      const written = await writeRecords(site.coordinator, this.underWay(site, this.active), [], site === from && this.active.some((tenant) => !known.has(tenant)) ? this.version : undefined).catch((error: unknown) => {
        // Nothing was written of any of them.
        if (error instanceof RingChangedError) this.standings.clear();
        throw error;
      });
      const refused = this.active.filter((tenant) => !written.has(tenant));
      this.leave(refused, cause);
      // Of them nothing was begun.
      if (site === from) for (const tenant of refused) this.standings.delete(tenant);
    }
  }

  /** Has the target's shards stay where they are: what is written into a shard directly would not follow it. */
  private async keepInPlace(targets: readonly TenantShard[]): Promise<void> {
    const keeper = await this.own(this.to.another());
    await keeper.query("BEGIN");
    // 5 is PostgreSQL's ShareLock, which writes take as well, and moves of shards wait for.
    await keeper.query("SELECT lock_shard_metadata(5, $1::bigint[])", [targets.map(({ shardId }) => shardId)]);
  }

  private async publish(source: Client, sources: readonly TenantShard[]): Promise<void> {
    // What the publication goes by while the session lives, whoever opened it.
    await source.query("SELECT set_config('application_name', $1, false)", [sessionNameOf(this.move)]);
    const filtered = sources.map(({ table, relation }) => `${relation} WHERE (${anyOf(table.column, this.active)})`);
    await source.query(`CREATE PUBLICATION ${publicationOf(this.move)} FOR TABLE ${filtered.join(", ")}`);
  }

  private async copyAndFollow(node: string, source: Client, pairs: readonly (readonly [TenantShard, TenantShard])[], writers: readonly Client[], applier: Applier): Promise<Record<string, number>> {
    const reader = await this.own(this.from.replication(node));
    const slot = `tenancy_${this.move}`;
    await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    await this.createSlot(node, reader, source, slot);
    const rows: Record<string, number> = {};
    let bytes = 0;
    for (const [{ table, relation }, target] of pairs) {
      const query = `SELECT ${table.columns.join(", ")} FROM ${relation} WHERE ${anyOf(table.column, this.active)}`;
      rows[table.name] = await copyRows(reader, query, writers, `${target.relation} (${table.columns.join(", ")})`, (more) => {
        bytes += more;
        this.options.onBytes?.(bytes);
      });
      this.options.signal?.throwIfAborted();
    }
    await reader.query("COMMIT");
    this.stream = new ChangeStream(reader, slot, publicationOf(this.move), applier.receive, applier.fail);
    return rows;
  }

  /**
   * Makes a slot, and takes its snapshot. PostgreSQL has that wait for every transaction that has written anything on the worker, however long it takes.
   *
   * @returns the position that the slot begins at.
   * @throws {@link TenantError} that names what is in the way, if that does not end in time.
   */
  private async createSlot(node: string, reader: Client, source: Client, slot: string): Promise<string> {
    const { patienceMs = 30_000, signal } = this.options;
    const made = reader.query<{ consistent_point: string }>(`CREATE_REPLICATION_SLOT ${slot} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'use')`);
    // Where it is given up, nobody waits for it any more.
    made.catch(() => undefined);
    const until = performance.now() + patienceMs;
    for (;;) {
      const answer = await Promise.race([made, delay(SLOT_LOOK_MS, undefined, { ref: false })]);
      if (answer !== undefined) return (answer.rows[0] as { consistent_point: string }).consistent_point;
      if (signal?.aborted !== true && performance.now() < until) continue;
      const { rows } = await source.query<{ what: string }>(OLDEST_WRITER);
      abandon(reader);
      signal?.throwIfAborted();
      throw new TenantError(`a copy on ${node} of cluster ${this.from.name} cannot begin before ${rows[0]?.what ?? "some transaction"} has ended, and that took more than ${patienceMs / 1000} s. End it, or try again later`);
    }
  }

  /** Waits until the new home has all that was committed at the old one before now. */
  private async pass(source: Client, applier: Applier, timeoutMs: number): Promise<void> {
    const barrier = `${this.move} ${++this.barriers}`;
    await Promise.all([applier.passed(barrier, timeoutMs), source.query("SELECT pg_logical_emit_message(false, 'tenancy', $1, true)", [barrier])]);
  }

  private async catchUp(source: Client, applier: Applier): Promise<void> {
    for (let attempt = 0; attempt < NEAR_ATTEMPTS; attempt += 1) {
      const began = performance.now();
      await this.pass(source, applier, CATCH_UP_MS);
      if (performance.now() - began <= NEAR_MS) return;
      this.options.signal?.throwIfAborted();
    }
  }

  /**
   * Compares both clusters at one moment, while the tenant is used: a second slot tells a position in the log and has the snapshot of it; the new home waits at that position until both are summed up.
   */
  private async verify(node: string, source: Client, pairs: readonly (readonly [TenantShard, TenantShard])[], writers: readonly Client[], applier: Applier): Promise<void> {
    const reader = await this.own(this.from.replication(node));
    await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    // Before the position is known: what is committed after it may already be on its way.
    applier.holdFrom();
    try {
      applier.holdFrom(lsnOf(await this.createSlot(node, reader, source, `tenancy_verify_${this.move}`)));
      await this.pass(source, applier, CATCH_UP_MS);
      for (const [shard, target] of pairs) {
        const here = await checksumOf(reader, shard, this.active);
        // One after the other: those who use the clusters meanwhile need processors, too.
        for (const writer of writers) {
          const { rows: count, sum } = await checksumOf(writer, target, this.active);
          if (count === here.rows && sum === here.sum) continue;
          const [ours, theirs] = [await checksumsOf(reader, shard, this.active), await checksumsOf(writer, target, this.active)];
          const unlike = this.active.filter((tenant) => ours.get(tenant) !== theirs.get(tenant)).join(", ");
          throw new UnlikeError(`The copy of ${shard.table.name} is not the same for ${unlike}: ${here.rows} rows, checksum ${here.sum} in ${this.from.name}; ${count} rows, checksum ${sum} in ${this.to.name}`);
        }
      }
      await reader.query("COMMIT");
    } finally {
      applier.goOn();
      abandon(reader);
    }
    await this.catchUp(source, applier);
  }

  /** Has the new home count on from where the old one is, so that it gives out no identity twice. */
  private async copySequences(tables: readonly TenantTable[]): Promise<void> {
    for (const name of new Set(tables.flatMap(({ sequences }) => sequences))) {
      const { rows } = await this.from.coordinator.query<{ last: string }>(`SELECT last_value AS last FROM ${name}`);
      const last = BigInt((rows[0] as { last: string }).last);
      await this.to.coordinator.query(`SELECT setval($1::regclass, $2) FROM ${name} WHERE last_value < $3`, [name, (last + SEQUENCE_LEAP).toString(), (last + SEQUENCE_LEAD).toString()]);
    }
  }

  /** Closes the tenants, has the last changes follow, decides and opens them; steps back where transactions are in the way, and goes on with the others. */
  private async handOver(source: Client, applier: Applier, sides: readonly [readonly TenantShard[], readonly TenantShard[]], tables: readonly TenantTable[], spread: readonly string[]): Promise<void> {
    const several = this.tenants.length > 1;
    const { drainMs, patienceMs = 30_000 } = this.options;
    const lastMs = several ? Math.min(patienceMs, STRAGGLERS_MS) : patienceMs;
    const until = performance.now() + lastMs;
    for (this.attempts = 1; ; this.attempts += 1) {
      const closed = await this.close(drainMs ?? (several ? BATCH_CLOSE_MS : DRAIN_MS));
      if (closed.length > 0) {
        const closedAt = performance.now();
        await this.step("closed");
        const drained = await this.drained(closed, nodesOf(sides[0]), drainMs ?? (several ? BATCH_DRAIN_MS : DRAIN_MS));
        await this.keepUnderWay(this.from, closed.filter((tenant) => !drained.includes(tenant)));
        if (drained.length > 0) {
          await this.step("drained");
          const unmoved = Promise.all([this.refuseMoved(this.from, sides[0], spread[0]), this.refuseMoved(this.to, sides[1], spread[1])]);
          await Promise.all([this.pass(source, applier, CLOSED_STEP_MS), unmoved.then(() => this.copySequences(tables))]);
          await this.step("complete");
          const given = await this.give(drained);
          await this.step("decided");
          const opened = await this.open(given);
          this.closedMs = Math.max(this.closedMs, performance.now() - closedAt);
          await this.step("opened");
          await this.tell(opened);
          this.active = this.active.filter((tenant) => !drained.includes(tenant));
          await this.step("told");
        }
      }
      if (this.active.length === 0) return;
      if (performance.now() > until && (!several || this.attempts >= STRAGGLER_ATTEMPTS)) {
        this.leave(this.active, `transactions that write the tenant were open all the time, or a node had not got that it is closed, for ${lastMs / 1000} s. End the longest, or try again when there are fewer`);
        return;
      }
      await delay(Math.min(50 * this.attempts, 1000));
      this.options.signal?.throwIfAborted();
      await this.catchUp(source, applier);
    }
  }

  /** @returns the tenants that are closed: not while a transaction with an old snapshot is in the way. */
  private async close(waitMs: number): Promise<string[]> {
    if (await this.closeAll(this.active, waitMs)) return [...this.active];
    if (this.active.length === 1) return [];
    const used = await bucketsInUse(this.from, this.active);
    const free = this.active.filter((tenant) => !used.has(tenant));
    return free.length > 0 && (await this.closeAll(free, waitMs)) ? free.filter((tenant) => !this.causes.has(tenant)) : [];
  }

  /** @returns whether they are closed. */
  private async closeAll(tenants: readonly string[], waitMs: number): Promise<boolean> {
    const { coordinator, name } = this.from;
    await coordinator.query("BEGIN");
    try {
      // The workers wait as well, where those are whom it waits for.
      await coordinator.query("SET LOCAL citus.propagate_set_commands TO 'local'");
      await coordinator.query(`SET LOCAL lock_timeout = ${waitMs}`);
      // What began before trips over this where its snapshot is too old to see the tenant closed. First, because it may wait, and nothing is closed meanwhile.
      await coordinator.query(`UPDATE tenancy.generation SET n = n + 1 WHERE bucket = ANY (ARRAY(SELECT ${BUCKET} FROM unnest($1::text[]) AS tenant))`, [tenants]);
      const { rows } = await coordinator.query<{ tenant: string }>("UPDATE tenancy.tenant SET state = 'closed' WHERE tenant = ANY ($1) AND move = $2 RETURNING tenant", [tenants, this.move]);
      const closed = new Set(rows.map(({ tenant }) => tenant));
      await announceTenants(coordinator, tenants.flatMap((tenant) => (closed.has(tenant) ? [{ tenant, home: name, epoch: (this.standings.get(tenant) as Standing).epoch, state: "closed" as const }] : [])));
      await coordinator.query("COMMIT");
      this.leave(tenants.filter((tenant) => !closed.has(tenant)), SETTLED_BY_OTHERS);
      return true;
    } catch (error) {
      await coordinator.query("ROLLBACK").catch(() => undefined);
      if ((error as { code?: string }).code === "55P03") return false;
      throw error;
    }
  }

  /** The tenants of whom every node has that they are closed, and no writer is left. */
  private async drained(closed: readonly string[], nodes: readonly string[], waitMs: number): Promise<string[]> {
    const gone = await Promise.all(nodes.map((node) => writersAreGone(this.from, node, closed, { move: this.move, state: "closed" }, waitMs)));
    return closed.filter((tenant) => gone.every((tenants) => tenants.has(tenant)));
  }

  /** Writes on one side that the move of tenants goes on, and they are open. */
  private async keepUnderWay(site: Site, tenants: readonly string[]): Promise<void> {
    const written = await writeRecords(site.coordinator, this.underWay(site, tenants), [this.move]);
    this.leave(tenants.filter((tenant) => !written.has(tenant)), SETTLED_BY_OTHERS);
  }

  /** @throws {@link TenantError} if a copy of a shard is another than in the beginning: its worker was away, and missed changes; or if there is another table. */
  private async refuseMoved(site: Site, shards: readonly TenantShard[], spread: string | undefined): Promise<void> {
    if ((await spreadTables(site)) !== spread) throw new TenantError(`a table was distributed or dropped in cluster ${site.name} meanwhile, or a migration applied`);
    // They are in the same shards: where a shard was split, the one shows it for all.
    const now = await tenantShards(site, shards.map(({ table }) => table), this.tenants[0] as string);
    if (placementsOf(now) !== placementsOf(shards)) throw new TenantError(`a shard of the tenant was moved or copied in cluster ${site.name} meanwhile`);
  }

  /** @returns the tenants that are given away: those that nobody has settled meanwhile. */
  private async give(tenants: readonly string[]): Promise<string[]> {
    const { move, to } = this;
    const wanted = new Map(tenants.map((tenant) => [tenant, { epoch: (this.standings.get(tenant) as Standing).epoch, move, taker: to.name }]));
    const decided = await decide(this.from.coordinator, wanted);
    const given = tenants.filter((tenant) => {
      const known = decided.get(tenant);
      return known?.epoch === wanted.get(tenant)?.epoch && known?.move === move && known.taker === to.name;
    });
    this.leave(tenants.filter((tenant) => !given.includes(tenant)), SETTLED_BY_OTHERS);
    return given;
  }

  /** @returns the tenants that are open at their new home. */
  private async open(tenants: readonly string[]): Promise<string[]> {
    const opened = await writeRecords(this.to.coordinator, this.atHome(tenants).map((record) => ({ ...record, pinned: this.options.byRing === true })), [this.move]);
    this.leave(tenants.filter((tenant) => !opened.has(tenant)), SETTLED_BY_OTHERS);
    return tenants.filter((tenant) => opened.has(tenant));
  }

  /** Tells the old home, which keeps the move's name until it is cleaned, and every other cluster. */
  private async tell(tenants: readonly string[]): Promise<void> {
    const records = this.atHome(tenants);
    await writeRecords(this.from.coordinator, records.map((record) => ({ ...record, move: this.move })), [this.move]);
    const others = this.sites.filter((site) => site !== this.from && site !== this.to);
    await Promise.allSettled(others.map(({ coordinator }) => writeRecords(coordinator, records, [])));
  }

  /** What is known of tenants at their new home. */
  private atHome(tenants: readonly string[]): RecordChange[] {
    return tenants.map((tenant) => ({ tenant, home: this.to.name, epoch: (this.standings.get(tenant) as Standing).epoch + 1, state: "settled" }));
  }
}

function remainder({ unreached }: Settled): string {
  return unreached.length === 0 ? "" : `; ${unreached.join(", ")} did not answer and is cleaned later: npm run tenant -- recover`;
}
