import { setTimeout as delay } from "node:timers/promises";
import { escapeLiteral } from "pg";
import { clusterOf } from "../router/tickets";
import { anyOf } from "./anyOf";
import { BUCKET, FENCE_LOCK } from "./fenceLock";
import { decide } from "./handover";
import { openSites } from "./move";
import { newestRecord } from "./newestRecord";
import { announceTenants, horizonOf, KEEP_RECORDS, recordsOf, regionsOf, RingChangedError, winnersOf, writeRecords, type RecordChange, type Ring, type TenantRecord } from "./record";
import { refuseUnfit } from "./refuseUnfit";
import { newestRing } from "./ring";
import { lockMovers, newPlacing, settleAll } from "./settle";
import { messageOf, type Site, type SiteAccess } from "./site";
import { TenantError } from "./tenantError";
import { canonicalTenant, tenantTables } from "./tenantTables";

/** Where a tenant shall live: in a cluster, or in the one of a region that hashing gives it to. */
export type Destination = { readonly cluster: string } | { readonly region: string };

/** What a placing does, in this order. Where hashing puts the tenant there anyway, it is only told. */
export type PlaceStep = "closed" | "drained" | "decided" | "opened" | "told";

export interface PlaceOptions {
  /** Gives it up, up to the moment that it is decided. */
  readonly signal?: AbortSignal;
  /** Is called after each step, and awaited. */
  readonly onStep?: (step: PlaceStep) => void | Promise<void>;
}

/** What a placing did. */
export interface PlaceReport {
  readonly tenant: string;
  /** Where it lives. */
  readonly cluster: string;
  readonly epoch: number;
  /** Whether that is new; else it had been placed there, or moved there, before. */
  readonly placed: boolean;
  /** Clusters that did not answer, or have not got it on every node yet: they hear of it later, and meanwhile refuse the tenant, as they did before. */
  readonly unreached: readonly string[];
}

/** The tenant lives elsewhere, or has rows: it can be moved, and not placed. */
export class ElsewhereError extends TenantError {
  constructor(
    sentence: string,
    /** Where it lives. */
    readonly home: string,
  ) {
    super(sentence);
  }
}

/** How long another run that places or moves the tenant is waited for, and transactions that may be writing it. */
const LOCK_PATIENCE_MS = 5000;
const PATIENCE_MS = 10_000;
const LOCK_TIMEOUT_MS = 1000;

/** How long it is waited for that every node has a record in its own copy. */
const TOLD_MS = 2000;
const LOOK_MS = 5;

/**
 * Gives a tenant that has no rows yet a home of one's choice. The cluster that it would live in is closed for it, and asked once more when nobody writes any more; then that is decided, and the tenant opens in the other, as in
 * a move, but that nothing is copied. Done again it does nothing, and one that stopped half-way is settled first.
 *
 * @param id the tenant, in any form that its column takes.
 * @throws {@link ElsewhereError} if the tenant lives elsewhere by a placing or a move of before, or has rows; {@link TenantError} if it was not placed for another reason.
 */
export async function placeTenant(clusters: readonly SiteAccess[], id: string, destination: Destination, options: PlaceOptions = {}): Promise<PlaceReport> {
  const open = (): Promise<Site[]> => openSites(clusters, "citus-sharding place", "cluster" in destination ? [destination.cluster] : []);
  const sites = await open();
  try {
    await Promise.all(sites.map((site) => refuseUnfit(site, "place")));
    const tenant = await canonicalTenant(sites[0] as Site, id);
    const unlock = await lock(sites, tenant, options.signal);
    try {
      return await new Placing(sites, clusters.map(({ name }) => name), tenant, destination, options, open).run();
    } finally {
      await unlock();
    }
  } finally {
    for (const site of sites) site.close();
  }
}

/** Takes the tenant's locks. Whoever has them may be placing it in the same cluster. */
async function lock(sites: readonly Site[], tenant: string, signal: AbortSignal | undefined): Promise<() => Promise<void>> {
  for (const until = performance.now() + LOCK_PATIENCE_MS; ; ) {
    const { tenants, unlock } = await lockMovers(sites, [tenant]);
    if (tenants.length > 0) return unlock;
    if (performance.now() > until) throw new TenantError(`Tenant ${tenant} is being placed or moved by another run. Wait until it has ended`);
    signal?.throwIfAborted();
    // Not in step with another that takes the clusters in another order.
    await delay(20 + Math.random() * 30);
  }
}

/** One attempt to place a tenant. */
class Placing {
  private readonly move = newPlacing();

  constructor(
    private readonly sites: readonly Site[],
    private readonly names: readonly string[],
    private readonly tenant: string,
    private readonly destination: Destination,
    private readonly options: PlaceOptions,
    private readonly openAnew: () => Promise<Site[]>,
  ) {}

  async run(): Promise<PlaceReport> {
    const { tenant, sites } = this;
    const ring = await newestRing(sites);
    if (ring.next !== null) throw new RingChangedError();
    const regions = "region" in this.destination ? await regionsOf(sites, ring) : {};
    const known = await this.settledRecord();
    if (known !== undefined && this.isWanted(known.home, regions)) return this.stay(known);
    if (known?.pinned === false) throw new ElsewhereError(`Tenant ${tenant} lives in cluster ${known.home} already. To have it elsewhere: npm run tenant -- move ${tenant} --to ${this.example(ring, regions)}`, known.home);
    const giver = known?.home ?? (await this.winner(ring.clusters));
    const target = await this.target(ring, regions);
    const [from, to] = [this.site(giver), this.site(target)];
    const epoch = known?.epoch ?? Math.max(1, (await horizonOf(sites)) + 1);
    if (from === to) return this.keep(from, epoch, ring);
    await this.refuseRows([from, to], giver, target);
    return this.give(from, to, epoch, known, ring);
  }

  /** What is known of the tenant, once what stopped half-way is settled. */
  private async settledRecord(): Promise<TenantRecord | undefined> {
    const { tenant, sites, names } = this;
    for (let attempt = 1; ; attempt += 1) {
      const known = new Map<string, TenantRecord>();
      for (const site of sites) {
        const record = (await recordsOf(site, [tenant])).get(tenant);
        if (record !== undefined) known.set(site.name, record);
      }
      if (attempt > 1 || ![...known.values()].some(({ move, state }) => move !== null || state !== "settled")) return newestRecord(tenant, known);
      const { failed } = await settleAll(sites, names, [tenant]);
      for (const error of failed.values()) throw error;
    }
  }

  /** The tenant is where it shall be. One that a ring put there stays from now on whatever the ring. */
  private async stay({ home, epoch, pinned }: TenantRecord): Promise<PlaceReport> {
    const { tenant, sites } = this;
    if (pinned) {
      const written = await writeRecords(this.site(home).coordinator, [{ tenant, home, epoch, state: "settled", pinned: false }], []);
      if (!written.has(tenant)) throw this.overtaken();
    }
    return { tenant, cluster: home, epoch, placed: pinned, unreached: this.names.filter((name) => !sites.some((site) => site.name === name)) };
  }

  /** Has a record say what the hash says, so that the tenant stays there when the ring changes. */
  private async keep(site: Site, epoch: number, ring: Ring): Promise<PlaceReport> {
    const { tenant } = this;
    if (!(await writeAtHome(site, { tenant, home: site.name, epoch, state: "settled" }, undefined, ring))) throw this.overtaken();
    return this.tell(site, epoch, undefined);
  }

  /** Closes the tenant where it would live, decides, and opens it where it shall live. */
  private async give(from: Site, to: Site, epoch: number, known: TenantRecord | undefined, ring: Ring): Promise<PlaceReport> {
    const { tenant, move, options } = this;
    const closed = { tenant, home: from.name, epoch, state: "closed", target: to.name, move, pinned: true } as const;
    try {
      if (!(await this.close(from, closed, known, ring))) throw this.overtaken();
    } catch (error) {
      // Where the cluster did not answer it is not known whether it was written.
      if (!(error instanceof TenantError)) return this.settle(error, to);
      throw error;
    }
    try {
      await this.step("closed");
      await this.drained(from);
      await this.refuseRows([from], from.name, to.name);
      await this.step("drained");
      const decided = (await decide(from.coordinator, new Map([[tenant, { epoch, move, taker: to.name }]]))).get(tenant);
      if (decided?.move !== move) throw this.overtaken();
      await options.onStep?.("decided");
      const opened = await writeRecords(to.coordinator, [{ tenant, home: to.name, epoch: epoch + 1, state: "settled" }], [move]);
      if (!opened.has(tenant)) throw this.overtaken();
      await options.onStep?.("opened");
      return await this.tell(to, epoch + 1, move);
    } catch (error) {
      return await this.settle(error, to);
    }
  }

  /** Ends what was begun, by new sessions: what failed may be one of these. */
  private async settle(problem: unknown, to: Site): Promise<PlaceReport> {
    const { tenant, move, names } = this;
    let sites: Site[] = [];
    try {
      sites = await this.openAnew();
      const { settled: [one], failed } = await settleAll(sites, names, [tenant], move);
      if (one?.home === to.name) return { tenant, cluster: one.home, epoch: one.epoch, placed: true, unreached: one.unreached };
      const trouble = failed.get(tenant);
      // Whoever has settled it may have finished it.
      if (one === undefined && trouble !== undefined) throw trouble;
    } catch (trouble) {
      throw new TenantError(`Tenant ${tenant} was not placed, as it seems (${messageOf(problem)}), and could not be settled: ${messageOf(trouble)}. Place it again: that settles it, as npm run tenant -- recover does`, { cause: problem });
    } finally {
      for (const site of sites) site.close();
    }
    throw problem instanceof TenantError ? problem : new TenantError(`Tenant ${tenant} was not placed: ${messageOf(problem)}`, { cause: problem });
  }

  /** Tells every cluster where the tenant lives, and waits a while until every node has that. */
  private async tell(home: Site, epoch: number, move: string | undefined): Promise<PlaceReport> {
    const { tenant, sites, names } = this;
    const record = { tenant, home: home.name, epoch, state: "settled" } as const;
    const moves = move === undefined ? [] : [move];
    const told = await Promise.allSettled(
      sites.map(async (site) => {
        if (site !== home) await writeRecords(site.coordinator, [record], moves);
        return onEveryNode(site, tenant, `home = ${escapeLiteral(home.name)} AND epoch >= ${epoch}`, false, TOLD_MS);
      }),
    );
    const sure = sites.filter((_, index) => told[index]?.status === "fulfilled" && told[index].value);
    await this.options.onStep?.("told");
    return { tenant, cluster: home.name, epoch, placed: true, unreached: names.filter((name) => !sure.some((site) => site.name === name)) };
  }

  /** @returns whether the tenant is closed; not if somebody else has done something with it meanwhile. */
  private async close(site: Site, closed: RecordChange, known: TenantRecord | undefined, ring: Ring): Promise<boolean> {
    for (const until = performance.now() + PATIENCE_MS; ; ) {
      try {
        return await writeAtHome(site, closed, known, ring);
      } catch (error) {
        // A transaction with an old snapshot holds the generation that it would trip over.
        if ((error as { code?: string }).code !== "55P03") throw error;
        if (performance.now() > until) throw new TenantError(this.busy(site), { cause: error });
        this.options.signal?.throwIfAborted();
      }
    }
  }

  /** @throws {@link TenantError} if transactions that began before the tenant was closed, and may have written it, do not end in time. */
  private async drained(site: Site): Promise<void> {
    if (!(await onEveryNode(site, this.tenant, `move = ${escapeLiteral(this.move)} AND state = 'closed'`, true, PATIENCE_MS, this.options.signal))) throw new TenantError(this.busy(site));
  }

  /** @throws {@link ElsewhereError} if one of the clusters has rows of the tenant. */
  private async refuseRows(sites: readonly Site[], giver: string, target: string): Promise<void> {
    const { tenant } = this;
    for (const site of sites) {
      const tables = await tenantTables(site);
      const found = tables.map(({ name, column }) => `(SELECT ${escapeLiteral(name)} AS name FROM ${name} WHERE ${anyOf(column, [tenant])} LIMIT 1)`).join(" UNION ALL ");
      const row = await findAs(site, tenant, found);
      if (row === undefined) continue;
      if (site.name === giver) throw new ElsewhereError(`Tenant ${tenant} has rows in cluster ${giver}, where it lives (${row.name}), so it has to be moved: npm run tenant -- move ${tenant} --to ${target}`, giver);
      throw new ElsewhereError(`Tenant ${tenant} has rows in cluster ${target} (${row.name}), though it lives in ${giver}: they are left over. To have it in ${target} without them: npm run tenant -- move ${tenant} --to ${target}`, giver);
    }
  }

  private isWanted(cluster: string, regions: Readonly<Record<string, string>>): boolean {
    const { destination } = this;
    return "cluster" in destination ? cluster === destination.cluster : regions[cluster] === destination.region;
  }

  /** The cluster that the tenant shall live in: of a region the one that hashing gives it to. */
  private async target(ring: Ring, regions: Readonly<Record<string, string>>): Promise<string> {
    const { destination } = this;
    if ("cluster" in destination) return destination.cluster;
    const { region } = destination;
    const there = Object.keys(regions).filter((cluster) => regions[cluster] === region);
    if (there.length === 0) {
      const others = [...new Set(Object.values(regions))].sort();
      throw new TenantError(others.length === 0 ? `No cluster has a region: set clusters.<name>.region and run npm run up` : `There is no region ${region}. There is ${others.join(", ")}`);
    }
    const tickets = ring.clusters.filter((ticket) => there.includes(clusterOf(ticket)));
    if (tickets.length === 0) throw new TenantError(`No cluster of the region ${region} takes tenants: ${there.join(", ")} ${there.length === 1 ? "is" : "are"} not in the ring. Run npm run tenant -- rebalance, or name the cluster`);
    return this.winner(tickets);
  }

  private async winner(tickets: readonly string[]): Promise<string> {
    return (await winnersOf(this.sites[0] as Site, [this.tenant], tickets)).get(this.tenant) as string;
  }

  private example(ring: Ring, regions: Readonly<Record<string, string>>): string {
    const { destination } = this;
    return "cluster" in destination ? destination.cluster : (ring.clusters.map(clusterOf).find((cluster) => regions[cluster] === destination.region) ?? "<cluster>");
  }

  private site(name: string): Site {
    const site = this.sites.find((one) => one.name === name);
    if (site !== undefined) return site;
    if (this.names.includes(name)) throw new TenantError(`Tenant ${this.tenant} cannot be placed while cluster ${name} does not answer. Bring it back, or wait until it is`);
    throw new TenantError(`Tenant ${this.tenant} is cluster ${name}'s, of which nothing is known here. There is ${this.names.join(", ")}`);
  }

  private async step(step: PlaceStep): Promise<void> {
    await this.options.onStep?.(step);
    this.options.signal?.throwIfAborted();
  }

  private busy({ name }: Site): string {
    return `Tenant ${this.tenant} was not placed: transactions that may be writing it were open in cluster ${name} for ${PATIENCE_MS / 1000} s, or a node had not got that it is closed. Try again when they have ended`;
  }

  private overtaken(): TenantError {
    return new TenantError(`Somebody else has placed, moved or settled tenant ${this.tenant} meanwhile. Look where it lives: npm run tenant -- locate ${this.tenant}`);
  }
}

/**
 * Writes a tenant's record in the cluster that it lives in, if that knows of it what it knew before, and the ring is the same. What began before and has an old snapshot trips over the generation.
 *
 * @param known undefined: it had no record.
 * @returns whether it was written.
 * @throws {@link RingChangedError}
 */
async function writeAtHome({ coordinator }: Site, change: RecordChange, known: TenantRecord | undefined, { version }: Ring): Promise<boolean> {
  const { tenant, home, epoch, state, target = null, move = null, pinned = false } = change;
  await coordinator.query("BEGIN");
  try {
    // The workers wait as well, where those are whom it waits for.
    await coordinator.query(`SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await coordinator.query(`UPDATE tenancy.generation SET n = n + 1 WHERE bucket = ANY (ARRAY(SELECT ${BUCKET} FROM unnest($1::text[]) AS tenant))`, [[tenant]]);
    await coordinator.query(KEEP_RECORDS);
    const { rows: [ring] } = await coordinator.query<{ version: string }>("SELECT version FROM tenancy.ring WHERE next IS NULL");
    if (Number(ring?.version) !== version) throw new RingChangedError();
    const { rows: [horizon] } = await coordinator.query<{ epoch: string }>("SELECT epoch FROM tenancy.horizon");
    const written =
      known === undefined
        ? // Records that were taken away may have been of an epoch up to that.
          Number(horizon?.epoch) < epoch && (await coordinator.query("INSERT INTO tenancy.tenant (tenant, home, epoch, state, target, move, pinned) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant) DO NOTHING", [tenant, home, epoch, state, target, move, pinned])).rowCount === 1
        : (await coordinator.query("UPDATE tenancy.tenant SET state = $1, target = $2, move = $3 WHERE tenant = $4 AND home = $5 AND epoch = $6 AND state = 'settled' AND move IS NULL AND pinned", [state, target, move, tenant, home, epoch])).rowCount === 1;
    if (written) await announceTenants(coordinator, [change]);
    await coordinator.query(written ? "COMMIT" : "ROLLBACK");
    return written;
  } catch (error) {
    await coordinator.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
}

/** Looks for rows of a tenant as that tenant: row-level security shows them to nobody else who is no superuser. */
async function findAs({ coordinator }: Site, tenant: string, text: string): Promise<{ readonly name: string } | undefined> {
  try {
    await coordinator.query(`BEGIN; SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL tenancy.tenant = ${escapeLiteral(tenant)}`);
    return (await coordinator.query<{ name: string }>(text)).rows[0];
  } finally {
    await coordinator.query("ROLLBACK").catch(() => undefined);
  }
}

/**
 * Waits until every node that takes statements has a tenant's record in its own copy. A commit does not say that: Citus only warns where a node has prepared its part and could not be told to commit it, and brings that about
 * seconds later. The coordinator asks them, so that nobody here has to reach them.
 *
 * @param says what the record has to say, as a condition.
 * @param alone whether nobody may be left, either, who may have written rows of the tenant before that.
 * @returns whether that was so in time.
 */
async function onEveryNode(site: Site, tenant: string, says: string, alone: boolean, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
  const copy = await site.ownCopy("tenant");
  const free = alone ? `pg_try_advisory_xact_lock(${FENCE_LOCK}, ${BUCKET}) AND ` : "";
  const command = `SELECT (${free}EXISTS (SELECT FROM ${copy} AS known WHERE known.tenant = asked.tenant AND ${says}))::text FROM (SELECT ${escapeLiteral(tenant)}::text AS tenant) AS asked`;
  const done = new Set<number>();
  for (const until = performance.now() + timeoutMs; ; await delay(LOOK_MS)) {
    const { rows } = await site.coordinator.query<{ nodeid: number; success: boolean; result: string }>("SELECT nodeid, success, result FROM run_command_on_all_nodes($1)", [command]);
    for (const { nodeid, success, result } of rows) if (success && result === "true") done.add(nodeid);
    if (rows.length > 0 && rows.every(({ nodeid }) => done.has(nodeid))) return true;
    if (performance.now() > until) return false;
    signal?.throwIfAborted();
  }
}
