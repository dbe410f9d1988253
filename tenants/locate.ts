import { newestRecord } from "./newestRecord";
import { recordOf, winnersOf, type TenantRecord } from "./record";
import { newestRing } from "./ring";
import type { Site } from "./site";
import { canonicalTenant } from "./tenantTables";

/** Where a tenant lives. */
export interface Location {
  readonly tenant: string;
  readonly home: string;
  readonly epoch: number;
  /** `lookup`: it moved, or is pinned; `hash`: by the ring. */
  readonly by: "lookup" | "hash";
  readonly state: TenantRecord["state"];
  readonly pinned: boolean;
  /** Where it is moving to. */
  readonly target?: string;
}

/**
 * Where a tenant lives, as the clusters that answer say.
 *
 * @param id the tenant, in any form that its column takes.
 * @throws {@link TenantError} if it cannot be a tenant, or two clusters say of themselves that they are the home.
 */
export async function locateTenant(sites: readonly Site[], id: string): Promise<Location> {
  const tenant = await canonicalTenant(sites[0] as Site, id);
  const records = await Promise.all(sites.map(async (site) => [site.name, await recordOf(site, tenant)] as const));
  const newest = newestRecord(tenant, new Map(records.flatMap(([name, record]) => (record === undefined ? [] : [[name, record]]))));
  if (newest !== undefined) {
    const { home, epoch, state, target, pinned } = newest;
    return { tenant, home, epoch, by: "lookup", state, pinned, ...(target !== null && { target }) };
  }
  const ring = await newestRing(sites);
  return { tenant, home: (await winnersOf(sites[0] as Site, [tenant], ring.clusters)).get(tenant) as string, epoch: 0, by: "hash", state: "settled", pinned: false };
}
