import { setTimeout as delay } from "node:timers/promises";
import { BUCKETS, eventually, FENCE_LOCK } from "./fenceLock";
import { pagesOf } from "./pagesOf";
import { announceRing, horizonOf, LOCK_RECORDS, ringOf, type Ring } from "./record";
import { settledRecords } from "./settledRecords";
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
  const rings = await Promise.all(sites.map(ringOf));
  return rings.reduce((newest, ring) => (ring.version > newest.version || (ring.version === newest.version && ring.next !== null) ? ring : newest));
}

/**
 * Changes the clusters that hashing spreads tenants over. Tenants that are there stay where they are: those that the new ring gives to another cluster are pinned first, and can be moved afterwards. Only
 * a tenant that is written for the first time meanwhile, and that the change concerns, has to wait for a moment. A change that stopped half-way is finished by the next.
 *
 * @param sites all clusters of the old ring and the new.
 * @param clusters the clusters of the new ring.
 * @returns how many tenants were pinned.
 * @throws {@link TenantError} if a cluster is missing.
 */
export async function changeRing(sites: readonly Site[], clusters: readonly string[], pinned: (tenants: number) => void = () => undefined): Promise<number> {
  const next = [...clusters].sort();
  const ring = await newestRing(sites);
  const missing = [...new Set([...ring.clusters, ...next])].filter((name) => !sites.some((site) => site.name === name));
  if (missing.length > 0) throw new TenantError(`The ring cannot be changed while ${missing.join(", ")} does not answer. Bring it back first`);
  // Pins are everywhere before the first cluster has the new ring, so that the others only have to get it, too.
  const behind = (await Promise.all(sites.map(async (site) => ({ site, known: await ringOf(site) })))).filter(({ known }) => known.version < ring.version);
  await Promise.all(behind.map(({ site }) => setRing(site, ring)));
  if (ring.next === null && String(ring.clusters) === String(next)) return 0;
  if (ring.next !== null && String(ring.next) !== String(next)) {
    throw new TenantError(`A change of the ring to ${ring.next.join(", ")} stopped half-way. Finish that first: npm run tenant -- rebalance, or drain, as it was begun`);
  }
  let count = 0;
  const epoch = Math.max(1, (await horizonOf(sites)) + 1);
  const pin = async (): Promise<void> => {
    for (const site of sites) {
      count += await pinTenants(site, sites, ring.clusters, next, epoch);
      pinned(count);
    }
  };
  await pin();
  const changing = { version: ring.version, clusters: ring.clusters, next };
  await Promise.all(sites.map((site) => setRing(site, changing)));
  await Promise.all(sites.map((site) => drain(site, changing)));
  await pin();
  await shareRecords(sites);
  await Promise.all(sites.map(refuseUntold));
  await Promise.all(sites.map((site) => setRing(site, { version: ring.version + 1, clusters: next, next: null })));
  return count;
}

/** Pins the tenants that are on a cluster by the old ring and would not be by the new. */
async function pinTenants(site: Site, sites: readonly Site[], clusters: readonly string[], next: readonly string[], epoch: number): Promise<number> {
  const tables = await tenantTables(site);
  const present = tables.map(({ name, column }) => `SELECT DISTINCT ${column}::text AS tenant FROM ${name}`).join(" UNION ");
  const text = `WITH present AS MATERIALIZED (${present}), known AS MATERIALIZED (SELECT tenant FROM tenancy.tenant)
    SELECT tenant FROM present WHERE tenant NOT IN (SELECT tenant FROM known) AND tenancy.winner(tenant, $1::text[]) = $3 AND tenancy.winner(tenant, $2::text[]) <> $3`;
  let count = 0;
  for await (const rows of pagesOf<{ tenant: string }>(site, text, [clusters, next, site.name])) {
    const tenants = rows.map(({ tenant }) => tenant);
    await Promise.all(
      sites.map(({ coordinator }) =>
        coordinator.query(
          `INSERT INTO tenancy.tenant (tenant, home, epoch, state, pinned) SELECT tenant, $2, $3, 'settled', true FROM unnest($1::text[]) AS tenant
           ON CONFLICT (tenant) DO NOTHING`,
          [tenants, site.name, epoch],
        ),
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
  const found = settledRecords(sites, ({ name }) => ({ condition: "(home <> $2 OR pinned) AND home = tenancy.winner(tenant, $1::text[])", values: [ring.clusters, name] }));
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
  return count;
}

/** Takes records away from every cluster, each of which remembers their highest epoch first. */
async function forgetRecords(sites: readonly Site[], ring: Ring, some: readonly { readonly tenant: string; readonly epoch: number }[]): Promise<void> {
  const highest = some.reduce((most, { epoch }) => Math.max(most, epoch), 0);
  await Promise.all(sites.map(({ coordinator }) => coordinator.query("UPDATE tenancy.horizon SET epoch = $1 WHERE epoch < $1", [highest])));
  for (const { coordinator } of sites) {
    await coordinator.query("BEGIN");
    try {
      await coordinator.query(LOCK_RECORDS);
      const { rowCount } = await coordinator.query("SELECT FROM tenancy.ring WHERE version = $1 AND next IS NULL", [ring.version]);
      if (rowCount !== 1) throw new TenantError("The ring was changed by somebody else meanwhile. Run this again");
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

async function setRing({ name, coordinator }: Site, { version, clusters, next }: Ring): Promise<void> {
  await coordinator.query("BEGIN");
  try {
    // Transactions with an old snapshot do not see the change; this they trip over. First, because it waits for those that write: no move could open again meanwhile what it has closed.
    await coordinator.query("UPDATE tenancy.generation SET n = n + 1");
    await coordinator.query(LOCK_RECORDS);
    const { rowCount } = await coordinator.query("UPDATE tenancy.ring SET version = $1, clusters = $2, next = $3 WHERE self = $4 AND version <= $1", [version, clusters, next, name]);
    if (rowCount !== 1) throw new TenantError(`The ring of cluster ${name} was changed by somebody else meanwhile`);
    await announceRing(coordinator, version);
    await coordinator.query("COMMIT");
  } catch (error) {
    await coordinator.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
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
