import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "pg";
import type { TenantRecord } from "./record";
import type { Site } from "./site";

/** The class of the advisory locks that writers hold until their transaction ends; the bucket of the tenant is the other half. */
export const FENCE_LOCK = 7777;

/** Tenants share their lock, and the generation that old snapshots trip over, with about one in so many. */
export const BUCKETS = 1024;

/** The bucket of a tenant, as SQL: `$1` is the tenant. */
export const BUCKET = `(hashtextextended($1, 0) & ${BUCKETS - 1})::int`;

/**
 * Waits until a node has a move's record of a tenant in its own copy, and no transaction is left there that may have written the tenant's rows before. A commit does not say that the copy is there: Citus only warns where a
 * node has prepared its part and could not be told to commit it, and brings that about seconds later. It asks again and again instead of queueing for the lock, so that nobody waits behind it, and no circle of waiting can close.
 *
 * @param record what the copy has to say.
 * @returns whether they were gone in time.
 */
export async function writersAreGone(site: Site, node: string, tenant: string, { move, state }: { readonly move: string; readonly state: TenantRecord["state"] }, timeoutMs: number): Promise<boolean> {
  const [session, copy] = await Promise.all([site.node(node), site.ownCopy("tenant")]);
  return eventually(session, `SELECT (pg_try_advisory_xact_lock(${FENCE_LOCK}, ${BUCKET}) AND EXISTS (SELECT FROM ${copy} WHERE tenant = $1 AND move = $2 AND state = $3))::text AS done`, [tenant, move, state], timeoutMs, 1);
}

/** Asks a node again and again until a statement says that it is `done`. @returns whether it did in time. */
export async function eventually(session: Client, statement: string, values: readonly unknown[], timeoutMs: number, intervalMs: number): Promise<boolean> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const { rows } = await session.query<{ done: string }>(statement, [...values]);
    if (rows[0]?.done === "true") return true;
    if (performance.now() > until) return false;
    await delay(intervalMs);
  }
}
