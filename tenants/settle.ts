import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { decide } from "./handover";
import { deleteLeftovers, dropPublications } from "./leftovers";
import { newestRecord } from "./newestRecord";
import { recordsOf, writeRecords, type RecordChange, type TenantRecord } from "./record";
import type { Site } from "./site";
import { TenantError } from "./tenantError";

/** The class of the advisory lock that a mover holds on the coordinator of every cluster that answers. */
const MOVER_LOCK = 7778;

/** Routers hear of the new home well within; a read that was on its way to the old one still finds its rows. */
const GRACE_MS = 500;

/** How a tenant stands after it was settled. */
export interface Settled {
  readonly tenant: string;
  readonly home: string;
  readonly epoch: number;
  /** `kept`: the move was given up; `taken`: it was finished; `cleaned`: only leftovers were there. */
  readonly outcome: "kept" | "taken" | "cleaned";
  /** Clusters that did not answer and may still have leftovers. */
  readonly unreached: readonly string[];
}

/** Somebody else has settled a move meanwhile, and may be moving the tenant again. */
export class OvertakenError extends TenantError {}

/** A name for a move. */
export function newMove(): string {
  return randomBytes(8).toString("hex");
}

/** What {@link lockMovers} got. */
export interface MoverLocks {
  /** The tenants whose locks it has; another run has those of the others. */
  readonly tenants: readonly string[];
  readonly unlock: () => Promise<void>;
}

/** Takes the locks of the tenants' mover on every cluster, those that it gives to and cleans as well, for as long as the sessions live. */
export async function lockMovers(sites: readonly Site[], tenants: readonly string[]): Promise<MoverLocks> {
  const unlockOn = (site: Site, some: readonly string[]): Promise<unknown> => site.coordinator.query(`SELECT pg_advisory_unlock(${MOVER_LOCK}, hashtext(tenant)) FROM unnest($1::text[]) AS tenant`, [some]);
  let locked = tenants;
  for (const [index, site] of sites.entries()) {
    const { rows } = await site.coordinator.query<{ tenant: string; mine: boolean }>(`SELECT tenant, pg_try_advisory_lock(${MOVER_LOCK}, hashtext(tenant)) AS mine FROM unnest($1::text[]) AS tenant`, [locked]);
    const mine = new Set(rows.filter((row) => row.mine).map(({ tenant }) => tenant));
    const others = locked.filter((tenant) => !mine.has(tenant));
    locked = locked.filter((tenant) => mine.has(tenant));
    if (others.length > 0) await Promise.all(sites.slice(0, index).map((before) => unlockOn(before, others)));
  }
  return { tenants: locked, unlock: async () => void (await Promise.allSettled(sites.map((site) => unlockOn(site, locked)))) };
}

/** The tenants whose move did not end, or whose leftovers are still there, as the clusters that answer say. */
export async function unsettledTenants(sites: readonly Site[]): Promise<string[]> {
  const answers = await Promise.all(sites.map(({ coordinator }) => coordinator.query<{ tenant: string }>("SELECT tenant FROM tenancy.tenant WHERE move IS NOT NULL OR state <> 'settled'")));
  return [...new Set(answers.flatMap(({ rows }) => rows.map(({ tenant }) => tenant)))].sort();
}

/** What {@link settleAll} did. */
export interface SettledAll {
  readonly settled: readonly Settled[];
  /** Tenants that are not settled, each with the reason. */
  readonly failed: ReadonlyMap<string, Error>;
}

/**
 * Ends a move that stopped half-way: gives it up where it is not decided, finishes it where it is. It may be run at any time, by anybody, again and again; a mover that is still there stops by itself.
 *
 * @param sites the clusters that answer.
 * @param names all clusters of the stack.
 * @param own the only move that is to be settled. @default whatever move it is
 * @throws {@link TenantError} if a cluster that it cannot go on without does not answer; {@link OvertakenError} if no record names `own`.
 */
export async function settle(sites: readonly Site[], names: readonly string[], tenant: string, own?: string): Promise<Settled> {
  const { settled: [one], failed } = await settleAll(sites, names, [tenant], own);
  if (one === undefined) throw failed.get(tenant) as Error;
  return one;
}

/** Records by tenant, of each cluster. */
type Known = ReadonlyMap<string, Map<string, TenantRecord>>;

/** A tenant that a cluster was giving away. */
interface Given {
  readonly tenant: string;
  readonly giver: Site;
  readonly epoch: number;
  readonly move: string;
  readonly target: string;
  /** The home that a later record tells; undefined where there is none, and it has to be decided. */
  readonly later: { readonly home: string; readonly epoch: number } | undefined;
}

/** As {@link settle}, of many tenants at once: each by its own records, and none of them held up by what is in the way of another. */
export async function settleAll(sites: readonly Site[], names: readonly string[], tenants: readonly string[], own?: string): Promise<SettledAll> {
  const known: Known = new Map(await Promise.all(sites.map(async (site) => [site.name, await recordsOf(site, tenants)] as const)));
  const unreached = names.filter((name) => !sites.some((site) => site.name === name));
  const [failed, ended, given] = [new Map<string, Error>(), [] as Omit<Settled, "unreached">[], [] as Given[]];
  for (const tenant of tenants) {
    try {
      const records = recordsAbout(known, tenant);
      if (own !== undefined && ![...records.values()].some(({ move }) => move === own)) throw new OvertakenError(`Somebody else has settled tenant ${tenant} meanwhile. Look where it lives: npm run tenant -- locate ${tenant}`);
      const standing = standingOf(sites, records, tenant);
      if ("giver" in standing) given.push(standing);
      else ended.push(standing);
    } catch (error) {
      failed.set(tenant, error as Error);
    }
  }
  for (const [giver, some] of grouped(given, ({ giver: site }) => site)) {
    try {
      ended.push(...(await decideAll(sites, giver, some, known, failed)));
    } catch (error) {
      for (const { tenant } of some) failed.set(tenant, error as Error);
    }
  }
  return { settled: await tidy(sites, unreached, known, ended), failed };
}

function recordsAbout(known: Known, tenant: string): Map<string, TenantRecord> {
  return new Map([...known].flatMap(([cluster, records]) => (records.has(tenant) ? [[cluster, records.get(tenant) as TenantRecord] as const] : [])));
}

/** How a tenant stands by its records. @throws {@link TenantError} if it cannot be settled now. */
function standingOf(sites: readonly Site[], records: ReadonlyMap<string, TenantRecord>, tenant: string): Given | Omit<Settled, "unreached"> {
  const giver = sites.find((site) => isGiving(records.get(site.name), site.name));
  const newest = newestRecord(tenant, records);
  if (newest === undefined) throw new TenantError(`No cluster that answers knows a move of tenant ${tenant}`);
  if (giver === undefined) {
    if (newest.state !== "settled" && !sites.some(({ name }) => name === newest.home)) {
      throw new TenantError(`Cluster ${newest.home}, which gives tenant ${tenant} away, does not answer, and only it knows whether it did. Bring it back and run npm run tenant -- recover`);
    }
    return { tenant, home: newest.home, epoch: newest.epoch, outcome: "cleaned" };
  }
  const { epoch, move, target } = records.get(giver.name) as TenantRecord & { move: string; target: string };
  return { tenant, giver, epoch, move, target, later: newest.epoch > epoch ? newest : undefined };
}

/** Decides the moves of tenants that a cluster was giving away, where they are not, and opens each where it lives. @param failed gets those for whom that cannot be done. */
async function decideAll(sites: readonly Site[], giver: Site, given: readonly Given[], known: Known, failed: Map<string, Error>): Promise<Omit<Settled, "unreached">[]> {
  const move = newMove();
  // Where another cluster has a later epoch it was decided, or it would not have, whatever became of the row that decided it.
  const wanted = new Map(given.map(({ tenant, epoch, later }) => [tenant, { epoch, move, taker: later === undefined || later.home === giver.name ? null : later.home }]));
  const decided = await decide(giver.coordinator, wanted);
  const ended: Omit<Settled, "unreached">[] = given.flatMap(({ tenant, later }) => (later === undefined ? [] : [{ tenant, home: later.home, epoch: later.epoch, outcome: later.home === giver.name ? "kept" : "taken" }]));
  const opening = given.flatMap((one) => {
    const { tenant, epoch, target, later } = one;
    if (later !== undefined) return [];
    const { epoch: last, taker } = decided.get(tenant) ?? { epoch: undefined, taker: null };
    const home = taker !== null ? target : giver.name;
    const opener = sites.find(({ name }) => name === home);
    if (last !== epoch) failed.set(tenant, new TenantError(`Tenant ${tenant} is being settled by somebody else. Look again: npm run tenant -- locate ${tenant}`));
    else if (opener === undefined) failed.set(tenant, new TenantError(`Tenant ${tenant} was given to cluster ${home}, which does not answer. It opens there once it does: npm run tenant -- recover`));
    else return [{ ...one, opener, outcome: taker !== null ? ("taken" as const) : ("kept" as const) }];
    return [];
  });
  for (const [opener, some] of grouped(opening, (one) => one.opener)) {
    const records = known.get(opener.name) as Map<string, TenantRecord>;
    for (const [under, together] of grouped(some, (one) => one.move)) {
      const changes = together.map(({ tenant, epoch }) => ({ tenant, home: opener.name, epoch: epoch + 1, state: "settled" as const, pinned: records.get(tenant)?.pinned === true }));
      const written = await writeRecords(opener.coordinator, changes, [under]);
      for (const { tenant, ...change } of changes) if (written.has(tenant)) records.set(tenant, { ...change, target: null, move: null });
      ended.push(...together.map(({ tenant, epoch, outcome }) => ({ tenant, home: opener.name, epoch: epoch + 1, outcome })));
    }
  }
  for (const [under, some] of grouped(opening, (one) => one.move)) await dropPublications(giver, some.map(({ tenant }) => tenant), under);
  return ended;
}

/** Brings every cluster's copies up to date, and cleans those that are not a tenant's home. What fails is told, and cleaned another time. */
async function tidy(sites: readonly Site[], unreached: readonly string[], known: Known, ended: readonly Omit<Settled, "unreached">[]): Promise<Settled[]> {
  const left = await Promise.all(
    sites.map(async (site) => {
      const missed = new Set<string>();
      const records = known.get(site.name) as Map<string, TenantRecord>;
      for (const [move, some] of grouped(ended, ({ tenant }) => records.get(tenant)?.move ?? undefined)) {
        // What was not begun is not done either.
        await tidyOne(site, records, move, some, missed).catch(() => some.forEach(({ tenant }) => missed.add(tenant)));
      }
      return { name: site.name, missed };
    }),
  );
  return ended.map((settled) => ({ ...settled, unreached: [...unreached, ...left.flatMap(({ name, missed }) => (missed.has(settled.tenant) ? [name] : []))] }));
}

/** Tidies one cluster up, of tenants whose records there name one move, or none. @param missed gets the tenants of which something is left. */
async function tidyOne(site: Site, records: ReadonlyMap<string, TenantRecord>, move: string | undefined, some: readonly Omit<Settled, "unreached">[], missed: Set<string>): Promise<void> {
  const moves = move === undefined ? [] : [move];
  const settled = ({ tenant, home, epoch }: Omit<Settled, "unreached">): RecordChange => ({ tenant, home, epoch, state: "settled" });
  const leaves = ({ home }: Omit<Settled, "unreached">): boolean => move !== undefined && home !== site.name;
  const leaving = some.filter(leaves);
  const changes = some.filter((one) => !leaves(one)).map((one) => ({ ...settled(one), pinned: site.name === one.home && records.get(one.tenant)?.pinned === true }));
  await writeRecords(site.coordinator, changes.filter((change) => !says(records.get(change.tenant), change)), moves);
  if (move === undefined || leaving.length === 0) return;
  const cleaning = newMove();
  const marked = await writeRecords(site.coordinator, leaving.map((one) => ({ ...settled(one), move: cleaning })), moves);
  const mine = leaving.filter(({ tenant }) => marked.has(tenant));
  if (mine.length === 0) return;
  if (mine.some(({ outcome }) => outcome !== "kept")) await delay(GRACE_MS);
  const tenants = mine.map(({ tenant }) => tenant);
  await dropPublications(site, tenants, move);
  const cleaned = new Set(await deleteLeftovers(site, tenants, cleaning));
  await writeRecords(site.coordinator, mine.filter(({ tenant }) => cleaned.has(tenant)).map(settled), [cleaning]);
  for (const tenant of tenants) if (!cleaned.has(tenant)) missed.add(tenant);
}

/** Whether a record says already what is to be written. */
function says(record: TenantRecord | undefined, { home, epoch, pinned }: RecordChange): boolean {
  return record !== undefined && record.home === home && record.epoch === epoch && record.state === "settled" && record.target === null && record.move === null && record.pinned === (pinned === true);
}

/** Things that have the same key together, in their order. */
function grouped<Key, Thing>(things: readonly Thing[], keyOf: (thing: Thing) => Key): Map<Key, Thing[]> {
  const groups = new Map<Key, Thing[]>();
  for (const thing of things) {
    const group = groups.get(keyOf(thing));
    if (group === undefined) groups.set(keyOf(thing), [thing]);
    else group.push(thing);
  }
  return groups;
}

function isGiving(record: TenantRecord | undefined, cluster: string): boolean {
  return record !== undefined && record.home === cluster && record.target !== null && record.state !== "settled" && record.move !== null;
}
