import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "pg";

/** The class of the advisory locks that writers hold until their transaction ends; the bucket of the tenant is the other half. */
const FENCE_LOCK = 7777;

/** Tenants share their lock, and the generation that old snapshots trip over, with about one in so many. */
const BUCKETS = 1024;

/** The bucket of a tenant, as SQL: `$1` is the tenant. */
export const BUCKET = `(hashtextextended($1, 0) & ${BUCKETS - 1})::int`;

/**
 * Waits until no transaction is left that may have written the tenant's rows on a worker before it was closed. It asks again and again instead of queueing for the lock, so that nobody waits behind it,
 * and no circle of waiting can close.
 *
 * @returns whether they were gone in time.
 */
export async function writersAreGone(worker: Client, tenant: string, timeoutMs: number): Promise<boolean> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const { rows } = await worker.query<{ free: string }>(`SELECT pg_try_advisory_xact_lock(${FENCE_LOCK}, ${BUCKET})::text AS free`, [tenant]);
    if (rows[0]?.free === "true") return true;
    if (performance.now() > until) return false;
    await delay(1);
  }
}
