import { isNewer } from "../router/isNewer";
import { BUCKET } from "./fenceLock";
import { writeByRing, type Ring } from "./record";
import { recordsByTenant, type ComparedRecord } from "./recordsByTenant";
import type { Site } from "./site";

/** Few enough for one statement, many enough to be quick. */
const RECORDS_AT_ONCE = 10_000;

/** Digests read every record. */
const DIGEST_MS = 600_000;

/**
 * Brings every record to the clusters that missed it: by the new ring one of them may be where the tenant would live without it. Of a tenant that moves only the two know, until it has.
 *
 * @param ring the clusters', which is being changed.
 * @throws {@link OvertakenRingError} if that is over.
 */
export async function shareRecords(sites: readonly Site[], ring: Ring): Promise<void> {
  const buckets = await differingBuckets(sites);
  if (buckets.length === 0) return;
  const behind = new Map(sites.map((site) => [site, [] as Newer[]]));
  for await (const { tenant, records } of recordsByTenant(sites, () => ({ condition: `${BUCKET} = ANY ($1::int[])`, values: [buckets] }))) {
    const newest = [...records].map(([cluster, record]) => ({ cluster, tenant, ...record })).reduce((known, one) => (isNewer(one, known) ? one : known));
    for (const [site, some] of behind) {
      if ((records.get(site.name)?.epoch ?? -1) >= newest.epoch) continue;
      some.push(newest);
      if (some.length === RECORDS_AT_ONCE) await bringRecords(site, ring, some.splice(0));
    }
  }
  await Promise.all([...behind].map(([site, some]) => bringRecords(site, ring, some)));
}

/** The buckets of whose tenants clusters know different things. */
async function differingBuckets(sites: readonly Site[]): Promise<number[]> {
  const text = "SELECT bucket, records || ' ' || digest AS digest FROM tenancy.digests($1)";
  const values = [sites.map(({ name }) => name)];
  const said = await Promise.all(
    sites.map(async ({ coordinator }) => {
      const { rows } = await coordinator.query<{ bucket: number; digest: string }>({ text, values, query_timeout: DIGEST_MS } as never);
      return new Map(rows.map(({ bucket, digest }) => [bucket, digest]));
    }),
  );
  const all = [...new Set(said.flatMap((digests) => [...digests.keys()]))];
  return all.filter((bucket) => said.some((digests) => digests.get(bucket) !== said[0]?.get(bucket)));
}

/** A record that a cluster has missed. */
type Newer = ComparedRecord & { readonly tenant: string };

async function bringRecords(site: Site, ring: Ring, some: readonly Newer[]): Promise<void> {
  if (some.length === 0) return;
  // Whatever the horizon: who was moved by hand long ago may be in an epoch below it, and still has its record elsewhere.
  await writeByRing(site, ring, () =>
    site.coordinator.query(
      `INSERT INTO tenancy.tenant AS known (tenant, home, epoch, state, pinned) SELECT tenant, home, epoch, 'settled', pinned FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[]) AS newer (tenant, home, epoch, pinned)
       ON CONFLICT (tenant) DO UPDATE SET home = excluded.home, epoch = excluded.epoch, pinned = excluded.pinned WHERE known.epoch < excluded.epoch AND known.move IS NULL AND known.state = 'settled'`,
      [some.map(({ tenant }) => tenant), some.map(({ home }) => home), some.map(({ epoch }) => epoch), some.map(({ pinned }) => pinned)],
    ),
  );
}
