import { setTimeout as delay } from "node:timers/promises";
import { holdersOf } from "./lockHolders";
import type { Site } from "./site";
import { TenantError } from "./tenantError";

/** The class of the advisory lock of who spreads tenants, on coordinators. */
const REBALANCE_LOCK = 7791;
const LOOK_MS = 100;

/** How long a run that was killed may take to end. */
const GONE_MS = 5000;

/**
 * Keeps a second rebalance or drain from beginning, as long as the sessions on the coordinators live. It tells people who are in each other's way, and no more: a run may stand still and outlive its sessions, and what it writes
 * then is refused by the ring (`changeRing`).
 *
 * @throws {@link TenantError} if another is at work.
 */
export async function refuseSecond(sites: readonly Site[], patienceMs = GONE_MS): Promise<void> {
  const until = performance.now() + patienceMs;
  // In one order, so that of two that begin at once one begins.
  for (const site of [...sites].sort((one, other) => (one.name < other.name ? -1 : 1))) {
    await site.coordinator.query("SET idle_session_timeout = 0");
    for (; ; await delay(LOOK_MS)) {
      const { rows: [lock] } = await site.coordinator.query<{ mine: boolean }>(`SELECT pg_try_advisory_lock(${REBALANCE_LOCK}, 0) AS mine`);
      if (lock?.mine === true) break;
      const holders = await holdersOf(site, REBALANCE_LOCK, 0);
      if (holders !== undefined && performance.now() > until) throw new TenantError(`Another rebalance or drain is at work (${holders} on the coordinator of cluster ${site.name}). Run this again when it has ended, or end it first: what it has done stays`);
    }
  }
}
