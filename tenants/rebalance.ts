import type { ClusterAccess } from "./clusterAccess";
import { refuseHindered } from "./hindrances";
import { moveTenant, openSites } from "./move";
import { planMoves, type PlannedMove } from "./plan";
import { changeRing, pruneRecords } from "./ring";
import { messageOf } from "./site";
import { TenantError } from "./tenantError";

/** What a rebalance tells while it works. */
export interface RebalanceProgress {
  /** Tenants that are to be moved, and those that were. */
  readonly planned: number;
  readonly moved: number;
  /** Bytes of them. */
  readonly plannedBytes: number;
  readonly movedBytes: number;
}

/** What a rebalance did. */
export interface RebalanceReport {
  readonly moved: number;
  readonly movedBytes: number;
  /** The longest that a tenant took no writes, in milliseconds. */
  readonly longestClosedMs: number;
  /** Tenants that could not be moved, each with the reason; they are where they were. */
  readonly failed: readonly { readonly tenant: string; readonly reason: string }[];
}

/** Enough to keep both sides busy; more would only make each tenant's last step wait. */
const MOVES_AT_ONCE = 4;

/**
 * Brings every tenant to where a ring of clusters puts it: changes the ring, then moves one tenant after the other while they are used. Stopped half-way, it goes on where it was.
 *
 * @param clusters all clusters: those of the ring, and those that are to be empty afterwards.
 * @param ring the clusters that share the tenants from now on.
 * @throws {@link TenantError} if a cluster does not answer.
 */
export async function rebalance(clusters: readonly ClusterAccess[], ring: readonly string[], progress: (state: RebalanceProgress) => void, signal?: AbortSignal): Promise<RebalanceReport> {
  const sites = await openSites(clusters, "citus-sharding rebalance", clusters.map(({ name }) => name));
  let moves: PlannedMove[];
  try {
    await refuseHindered(sites);
    await changeRing(sites, ring);
    moves = await planMoves(sites, ring);
  } finally {
    for (const site of sites) site.close();
  }
  const plannedBytes = moves.reduce((sum, { bytes }) => sum + bytes, 0);
  let [moved, movedBytes, longestClosedMs] = [0, 0, 0];
  const failed: { tenant: string; reason: string }[] = [];
  const tell = (): void => progress({ planned: moves.length, moved, plannedBytes, movedBytes });
  tell();
  const queue = moves.values();
  const stopped = (): boolean => signal?.aborted === true;
  const moveOne = async ({ tenant, to, bytes }: PlannedMove, onTold: () => void): Promise<void> => {
    try {
      const { closedMs } = await moveTenant(clusters, tenant, to, { byRing: true, ...(signal !== undefined && { signal }), onStep: (step) => void (step === "told" && onTold()) });
      moved += 1;
      movedBytes += bytes;
      longestClosedMs = Math.max(longestClosedMs, closedMs);
    } catch (error) {
      if (!stopped()) failed.push({ tenant, reason: messageOf(error) });
    }
    tell();
  };
  const work = async (): Promise<void> => {
    let cleaning: Promise<void> = Promise.resolve();
    for (const move of queue) {
      if (stopped()) break;
      const last = cleaning;
      // From then on there is little to do but to wait and to clean up, beside the next move.
      await new Promise<void>((resolve) => {
        cleaning = moveOne(move, resolve).finally(resolve);
      });
      await last;
    }
    await cleaning;
  };
  await Promise.all(Array.from({ length: Math.min(MOVES_AT_ONCE, moves.length) }, work));
  if (stopped()) throw new TenantError(`Stopped after ${moved} of ${moves.length} tenants. Run it again to go on`);
  const all = await openSites(clusters, "citus-sharding rebalance", clusters.map(({ name }) => name));
  try {
    await pruneRecords(all);
  } finally {
    for (const site of all) site.close();
  }
  return { moved, movedBytes, longestClosedMs, failed };
}
