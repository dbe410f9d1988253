import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { decide } from "./handover";
import { deleteLeftovers, dropPublications } from "./leftovers";
import { recordOf, writeRecord, type TenantRecord } from "./record";
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

/** Takes the lock of the tenant's mover on every cluster, those that it gives to and cleans as well, for as long as the sessions live. @returns what unlocks them again; undefined if another run has one of them. */
export async function lockMover(sites: readonly Site[], tenant: string): Promise<(() => Promise<void>) | undefined> {
  const locked: Site[] = [];
  const unlock = async (): Promise<void> => {
    await Promise.allSettled(locked.map(({ coordinator }) => coordinator.query(`SELECT pg_advisory_unlock(${MOVER_LOCK}, hashtext($1))`, [tenant])));
  };
  for (const site of sites) {
    const { rows } = await site.coordinator.query<{ mine: boolean }>(`SELECT pg_try_advisory_lock(${MOVER_LOCK}, hashtext($1)) AS mine`, [tenant]);
    if (rows[0]?.mine !== true) {
      await unlock();
      return undefined;
    }
    locked.push(site);
  }
  return unlock;
}

/** The tenants whose move did not end, or whose leftovers are still there, as the clusters that answer say. */
export async function unsettledTenants(sites: readonly Site[]): Promise<string[]> {
  const answers = await Promise.all(sites.map(({ coordinator }) => coordinator.query<{ tenant: string }>("SELECT tenant FROM tenancy.tenant WHERE move IS NOT NULL OR state <> 'settled'")));
  return [...new Set(answers.flatMap(({ rows }) => rows.map(({ tenant }) => tenant)))].sort();
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
  const records = new Map<string, TenantRecord>();
  for (const site of sites) {
    const record = await recordOf(site, tenant);
    if (record !== undefined) records.set(site.name, record);
  }
  if (own !== undefined && ![...records.values()].some(({ move }) => move === own)) throw new OvertakenError(`Somebody else has settled tenant ${tenant} meanwhile. Look where it lives: npm run tenant -- locate ${tenant}`);
  const unreached = names.filter((name) => !sites.some((site) => site.name === name));
  const giver = sites.find((site) => isGiving(records.get(site.name), site.name));
  const known = newestRecord(tenant, records);
  if (known === undefined) throw new TenantError(`No cluster that answers knows a move of tenant ${tenant}`);
  if (giver === undefined) {
    if (known.state !== "settled" && !sites.some(({ name }) => name === known.home)) {
      throw new TenantError(`Cluster ${known.home}, which gives tenant ${tenant} away, does not answer, and only it knows whether it did. Bring it back and run npm run tenant -- recover`);
    }
    return tidy(sites, unreached, records, { tenant, home: known.home, epoch: known.epoch, outcome: "cleaned" });
  }
  const { epoch, move, target } = records.get(giver.name) as TenantRecord & { move: string; target: string };
  if (known.epoch > epoch) {
    // It was decided, or another cluster would not have the next epoch, whatever became of the row that decided it.
    const taker = known.home === giver.name ? null : known.home;
    await decide(giver.coordinator, tenant, { epoch, move: newMove(), taker });
    return tidy(sites, unreached, records, { tenant, home: known.home, epoch: known.epoch, outcome: taker === null ? "kept" : "taken" });
  }
  const decided = await decide(giver.coordinator, tenant, { epoch, move: newMove(), taker: null });
  if (decided.epoch !== epoch) throw new TenantError(`Tenant ${tenant} is being settled by somebody else. Look again: npm run tenant -- locate ${tenant}`);
  const taken = decided.taker !== null;
  const home = taken ? target : giver.name;
  const opener = sites.find(({ name }) => name === home);
  if (opener === undefined) throw new TenantError(`Tenant ${tenant} was given to cluster ${home}, which does not answer. It opens there once it does: npm run tenant -- recover`);
  await writeRecord(opener.coordinator, { tenant, home, epoch: epoch + 1, state: "settled", pinned: records.get(home)?.pinned === true }, [move]);
  await dropPublications(giver, tenant, move);
  return tidy(sites, unreached, records, { tenant, home, epoch: epoch + 1, outcome: taken ? "taken" : "kept" });
}

/**
 * The record with the highest epoch; of several, that of the home itself.
 *
 * @throws {@link TenantError} if two clusters say of themselves that they are the home.
 */
export function newestRecord(tenant: string, records: ReadonlyMap<string, TenantRecord>): TenantRecord | undefined {
  const epoch = Math.max(...[...records.values()].map((record) => record.epoch));
  const newest = [...records].filter(([, record]) => record.epoch === epoch);
  const [[first, record] = [], [second] = []] = newest.filter(([cluster, { home }]) => home === cluster);
  if (second !== undefined) {
    throw new TenantError(`Clusters ${first} and ${second} both say that tenant ${tenant} lives there since epoch ${epoch}: one of them came back with older data. Nothing was changed. Look which rows are right, and delete the record of the other from its tenancy.tenant`);
  }
  return record ?? newest[0]?.[1];
}

/** Brings every cluster's copy up to date, and cleans those that are not the tenant's home. One that fails is told, and cleaned another time. */
async function tidy(sites: readonly Site[], unreached: readonly string[], records: ReadonlyMap<string, TenantRecord>, settled: Omit<Settled, "unreached">): Promise<Settled> {
  const { tenant, home, epoch } = settled;
  const tidyOne = async (site: Site): Promise<void> => {
    const known = records.get(site.name);
    const move = known?.move ?? undefined;
    const moves = move === undefined ? [] : [move];
    const pinned = site.name === home && known?.pinned === true;
    if (site.name === home || move === undefined) {
      await writeRecord(site.coordinator, { tenant, home, epoch, state: "settled", pinned }, moves);
      return;
    }
    const cleaning = newMove();
    if (!(await writeRecord(site.coordinator, { tenant, home, epoch, state: "settled", move: cleaning }, moves))) return;
    if (settled.outcome !== "kept") await delay(GRACE_MS);
    await dropPublications(site, tenant, move);
    await deleteLeftovers(site, tenant, cleaning);
    await writeRecord(site.coordinator, { tenant, home, epoch, state: "settled" }, [cleaning]);
  };
  const outcomes = await Promise.allSettled(sites.map(tidyOne));
  const failed = sites.filter((_, index) => outcomes[index]?.status === "rejected").map(({ name }) => name);
  return { ...settled, unreached: [...unreached, ...failed] };
}

function isGiving(record: TenantRecord | undefined, cluster: string): boolean {
  return record !== undefined && record.home === cluster && record.target !== null && record.state !== "settled" && record.move !== null;
}
