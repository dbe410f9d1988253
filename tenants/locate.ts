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
 * @throws {@link TenantError} if it cannot be a tenant.
 */
export async function locateTenant(sites: readonly Site[], id: string): Promise<Location> {
  const tenant = await canonicalTenant(sites[0] as Site, id);
  const records = (await Promise.all(sites.map((site) => recordOf(site, tenant)))).filter((record) => record !== undefined);
  const newest = records.sort((one, other) => other.epoch - one.epoch)[0];
  if (newest !== undefined) {
    const { home, epoch, pinned } = newest;
    // Only the home knows whether it is closed; a copy elsewhere is as old as the beginning of the move.
    const { state, target } = records.find((record) => record.epoch === epoch && record.state === "closed") ?? newest;
    return { tenant, home, epoch, by: "lookup", state, pinned, ...(target !== null && { target }) };
  }
  const ring = await newestRing(sites);
  return { tenant, home: (await winnersOf(sites[0] as Site, [tenant], ring.clusters)).get(tenant) as string, epoch: 0, by: "hash", state: "settled", pinned: false };
}
