import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { clusterOf, ringInWords } from "../router/tickets";
import { BUCKETS, eventually, FENCE_LOCK } from "./fenceLock";
import { pagesOf } from "./pagesOf";
import { quicken } from "./quicken";
import { announceRing, BEGIN, horizonOf, LOCK_RECORDS, OvertakenRingError, ringOf, writeByRing, type Ring } from "./record";
import { recordsByTenant } from "./recordsByTenant";
import { shareRecords } from "./shareRecords";
import type { Site } from "./site";
import { TenantError } from "./tenantError";
import { tenantTables } from "./tenantTables";

/** How long transactions may hold the change of a ring up. */
const DRAIN_MS = 30_000;

/** Few enough for one statement, many enough to be quick. */
const RECORDS_AT_ONCE = 10_000;

/** The newest ring of the clusters. */
export async function newestRing(sites: readonly Site[]): Promise<Ring> {
  return newestOf(await Promise.all(sites.map(ringOf)));
}

function newestOf(rings: readonly Ring[]): Ring {
  return rings.reduce((newest, ring) => (isOlder(newest, ring) ? ring : newest));
}

/** Whether a ring comes before another: that of a version before the change of it. */
function isOlder(one: Ring, other: Ring): boolean {
  return one.version < other.version || (one.version === other.version && one.next === null && other.next !== null);
}

/**
 * Changes the clusters that hashing spreads tenants over, or their weights. Tenants that are there stay where they are: those that the new ring gives to another cluster are pinned first, and can be moved afterwards. Only
 * a tenant that is written for the first time meanwhile, and that the change concerns, has to wait for a moment. A change that stopped half-way is finished by the next run, which gives it a version of its own.
 *
 * So a change is one run's: what is written by it is written where the cluster still has that version and that change. A run that stood still while another went on writes nothing any more, and whatever it had written before is shared by the other.
 *
 * @param sites all clusters of the old ring and the new.
 * @param clusters the tickets of the clusters of the new ring (`ticketsOf`).
 * @returns how many tenants were pinned.
 * @throws {@link TenantError} if a cluster is missing, or has a fence that knows no weights; {@link OvertakenRingError} if another run has changed the ring meanwhile.
 */
export async function changeRing(sites: readonly Site[], clusters: readonly string[], pinned: (tenants: number) => void = () => undefined): Promise<number> {
  const next = [...clusters].sort();
  const known = await Promise.all(sites.map(async (site) => ({ site, ring: await ringOf(site) })));
  const ring = newestOf(known.map((one) => one.ring));
  const missing = [...new Set([...ring.clusters, ...next].map(clusterOf))].filter((name) => !sites.some((site) => site.name === name));
  if (missing.length > 0) throw new TenantError(`The ring cannot be changed while ${missing.join(", ")} does not answer. Bring it back first`);
  // Pins are everywhere before the first cluster has the new ring, so that the others only have to get it, too.
  const behind = known.filter((one) => isOlder(one.ring, ring));
  await Promise.all(behind.map(({ site }) => setRing(site, ring)));
  if (behind.length > 0) await quicken(sites);
  if (ring.next === null && String(ring.clusters) === String(next)) return 0;
  if (ring.next !== null && String(ring.next) !== String(next)) {
    throw new TenantError(`A change of the ring to ${ringInWords(ring.next)} stopped half-way. Finish that first: npm run tenant -- rebalance, or drain, as it was begun`);
  }
  if (next.some((ticket) => clusterOf(ticket) !== ticket)) await Promise.all(sites.map(refuseWeightless));
  let count = 0;
  const pin = async (by: Ring): Promise<void> => {
    const epoch = Math.max(1, (await horizonOf(sites)) + 1);
    for (const site of sites) {
      count += await pinTenants(site, sites, by, next, epoch);
      pinned(count);
    }
  };
  const changing = { version: ring.next === null ? ring.version : ring.version + 1, clusters: ring.clusters, next };
  if (ring.next === null) await pin(ring);
  await replaceRing(sites, ring, changing);
  // Those that came since the change stopped wait for this, and not for everybody who writes.
  if (ring.next !== null) await pin(changing);
  await Promise.all(sites.map((site) => drain(site, changing)));
  await pin(changing);
  await shareRecords(sites, changing);
  await Promise.all(sites.map(refuseUntold));
  await replaceRing(sites, changing, { version: changing.version + 1, clusters: next, next: null });
  await quicken(sites);
  return count;
}

/** @throws {@link TenantError} if a cluster's fence takes a ticket for a cluster's name. */
async function refuseWeightless({ name, coordinator }: Site): Promise<void> {
  const { rows } = await coordinator.query<{ winner: string }>("SELECT tenancy.winner('1', '{a#1}') AS winner");
  if (rows[0]?.winner !== "a") throw new TenantError(`Cluster ${name} has the fence of an older version, which knows no weights. Run npm run up`);
}

/** Pins the tenants that are on a cluster by the old ring and would not be by the new. @throws {@link OvertakenRingError} */
async function pinTenants(site: Site, sites: readonly Site[], ring: Ring, next: readonly string[], epoch: number): Promise<number> {
  const tables = await tenantTables(site);
  const present = tables.map(({ name, column }) => `SELECT DISTINCT ${column}::text AS tenant FROM ${name}`).join(" UNION ");
  const text = `WITH present AS MATERIALIZED (${present}), known AS MATERIALIZED (SELECT tenant FROM tenancy.tenant)
    SELECT tenant FROM present WHERE tenant NOT IN (SELECT tenant FROM known) AND tenancy.winner(tenant, $1::text[]) = $3 AND tenancy.winner(tenant, $2::text[]) <> $3`;
  let count = 0;
  for await (const rows of pagesOf<{ tenant: string }>(site, text, [ring.clusters, next, site.name])) {
    const tenants = rows.map(({ tenant }) => tenant);
    await Promise.all(
      sites.map((one) =>
        writeByRing(one, ring, (horizon) => {
          // Records were forgotten since the epoch was chosen, and what comes late of these may be in a later one.
          if (epoch <= horizon) throw new OvertakenRingError(one.name);
          return one.coordinator.query(
            `INSERT INTO tenancy.tenant (tenant, home, epoch, state, pinned) SELECT tenant, $2, $3, 'settled', true FROM unnest($1::text[]) AS tenant
             ON CONFLICT (tenant) DO NOTHING`,
            [tenants, site.name, epoch],
          );
        }),
      ),
    );
    count += tenants.length;
  }
  return count;
}

/**
 * Takes away the records that say what the hash says, on every cluster: they would be read by every router for ever. Who was moved by hand keeps its record, which has it stay where it is when the ring changes. All have to agree, so that no older one comes to light; and each remembers the highest epoch of
 * them first, so that what was written before does not pass for news.
 *
 * @param sites all clusters.
 * @returns how many tenants have a record no more.
 */
export async function pruneRecords(sites: readonly Site[]): Promise<number> {
  const rings = await Promise.all(sites.map(ringOf));
  const [ring] = rings as [Ring];
  if (rings.some(({ version, next }) => version !== ring.version || next !== null)) return 0;
  // Its home knows whether it was moved by hand; of others' records that says nothing.
  const found = recordsByTenant(sites, ({ name }) => ({ condition: "state = 'settled' AND move IS NULL AND (home <> $2 OR pinned) AND home = tenancy.winner(tenant, $1::text[])", values: [ring.clusters, name] }));
  let [count, some] = [0, [] as { tenant: string; epoch: number }[]];
  const prune = async (): Promise<void> => {
    if (some.length > 0) await forgetRecords(sites, ring, some);
    count += some.length;
    some = [];
  };
  for await (const { tenant, records } of found) {
    const [one] = records.values();
    if (one === undefined || records.size < sites.length || !records.has(one.home) || [...records.values()].some(({ home, epoch }) => home !== one.home || epoch !== one.epoch)) continue;
    some.push({ tenant, epoch: one.epoch });
    if (some.length === RECORDS_AT_ONCE) await prune();
  }
  await prune();
  if (count > 0) await quicken(sites);
  return count;
}

/** Takes records away from every cluster, each of which remembers their highest epoch first. */
async function forgetRecords(sites: readonly Site[], ring: Ring, some: readonly { readonly tenant: string; readonly epoch: number }[]): Promise<void> {
  const highest = some.reduce((most, { epoch }) => Math.max(most, epoch), 0);
  await Promise.all(sites.map(({ coordinator }) => coordinator.query("UPDATE tenancy.horizon SET epoch = $1 WHERE epoch < $1", [highest])));
  for (const { name, coordinator } of sites) {
    await coordinator.query(BEGIN);
    try {
      await coordinator.query(LOCK_RECORDS);
      const { rowCount } = await coordinator.query("SELECT FROM tenancy.ring WHERE version = $1 AND next IS NULL", [ring.version]);
      if (rowCount !== 1) throw new OvertakenRingError(name);
      await coordinator.query("DELETE FROM tenancy.tenant t USING unnest($1::text[], $2::bigint[]) AS gone (tenant, epoch) WHERE t.tenant = gone.tenant AND t.epoch = gone.epoch AND t.state = 'settled' AND t.move IS NULL", [
        some.map(({ tenant }) => tenant),
        some.map(({ epoch }) => epoch),
      ]);
      await coordinator.query("COMMIT");
    } catch (error) {
      await coordinator.query("ROLLBACK").catch(() => undefined);
      throw error;
    }
  }
}

/**
 * Changes the ring of every cluster. Of two that would do that at once one cluster takes one, the same for all who change that ring; only then the others get it.
 *
 * @param from what that cluster has. The others may be behind.
 */
async function replaceRing(sites: readonly Site[], from: Ring, to: Ring): Promise<void> {
  const decider = sites.find(({ name }) => name === clusterOf(from.clusters[0] as string)) as Site;
  await setRing(decider, to, from);
  await Promise.all(sites.filter((site) => site !== decider).map((site) => setRing(site, to)));
}

/** Writes a cluster's ring. @param from the only one that it may have up to then. @default any older one, or the same already @throws {@link OvertakenRingError} if it has another. */
async function setRing(site: Site, to: Ring, from?: Ring): Promise<void> {
  const { name, coordinator } = site;
  await coordinator.query(BEGIN);
  try {
    // Transactions with an old snapshot do not see the change; this they trip over. First, because it waits for those that write: no move could open again meanwhile what it has closed.
    await coordinator.query("UPDATE tenancy.generation SET n = n + 1");
    await coordinator.query(LOCK_RECORDS);
    const known = await ringOf(site);
    const isThere = from === undefined && isDeepStrictEqual(known, to);
    if (!isThere && !(from === undefined ? isOlder(known, to) : isDeepStrictEqual(known, from))) throw new OvertakenRingError(name);
    // An update has every node look closer at its writes, also one that meets no row or is rolled back.
    if (!isThere) {
      await coordinator.query("UPDATE tenancy.ring SET version = $1, clusters = $2, next = $3 WHERE self = $4", [to.version, to.clusters, to.next, name]);
      await announceRing(coordinator, to.version);
    }
    await coordinator.query("COMMIT");
  } catch (error) {
    await coordinator.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
}

/** @param clusters the tickets of the ring that tenants are being moved by. @throws {@link OvertakenRingError} if clusters have another by now, or change it. */
export async function refuseOtherRing(sites: readonly Site[], clusters: readonly string[]): Promise<void> {
  const wanted = [...clusters].sort();
  await Promise.all(
    sites.map(async (site) => {
      const ring = await ringOf(site);
      if (ring.next !== null || !isDeepStrictEqual(ring.clusters, wanted)) throw new OvertakenRingError(site.name);
    }),
  );
}

/** Waits until every node has the ring in its own copy, and no transaction is left there that looked at the one before. */
async function drain(site: Site, { version, clusters, next }: Ring): Promise<void> {
  const copy = await site.ownCopy("ring");
  const told = `SELECT EXISTS (SELECT FROM ${copy} WHERE version = $1 AND clusters = $2::text[] AND next = $3::text[])::text AS done`;
  await Promise.all(
    (await nodesOf(site)).map(async (node) => {
      const session = await site.node(node);
      if (!(await eventually(session, told, [version, clusters, next], DRAIN_MS, 20))) throw new TenantError(`${node} of cluster ${site.name} has not got the change of the ring after ${DRAIN_MS / 1000} s. Run this again`);
      const until = performance.now() + DRAIN_MS;
      for (let held = Array.from({ length: BUCKETS }, (_, bucket) => bucket); held.length > 0; await delay(5)) {
        if (performance.now() > until) throw new TenantError(`A transaction on ${node} of cluster ${site.name} has written for more than ${DRAIN_MS / 1000} s. End it and run this again`);
        const { rows: busy } = await session.query<{ bucket: string }>(`SELECT bucket FROM unnest($1::int[]) AS bucket WHERE NOT pg_try_advisory_xact_lock(${FENCE_LOCK}, bucket)`, [held]);
        held = busy.map(({ bucket }) => Number(bucket));
      }
    }),
  );
}

/** @throws {@link TenantError} if a node has not got every record in its own copy after a while: by the new ring it would take tenants that are pinned elsewhere. */
async function refuseUntold(site: Site): Promise<void> {
  const copy = await site.ownCopy("tenant");
  // Moves go on meanwhile, so that both sides are asked again.
  const digest = (table: string): string => `SELECT count(*) || ' ' || coalesce(sum(hashtextextended(tenant || ' ' || home, epoch)), 0) AS digest FROM ${table}`;
  await Promise.all(
    (await nodesOf(site)).map(async (node) => {
      const session = await site.node(node);
      const until = performance.now() + DRAIN_MS;
      for (;;) {
        const { rows: [known] } = await site.coordinator.query<{ digest: string }>(digest("tenancy.tenant"));
        const { rows: [copied] } = await session.query<{ digest: string }>(digest(copy));
        if (known?.digest === copied?.digest) return;
        if (performance.now() > until) throw new TenantError(`${node} of cluster ${site.name} has not got every record of a tenant after ${DRAIN_MS / 1000} s. Run this again`);
        await delay(50);
      }
    }),
  );
}

async function nodesOf({ coordinator }: Site): Promise<string[]> {
  const { rows } = await coordinator.query<{ node: string }>("SELECT nodename || ':' || nodeport AS node FROM pg_dist_node WHERE isactive AND shouldhaveshards");
  return rows.map(({ node }) => node);
}
