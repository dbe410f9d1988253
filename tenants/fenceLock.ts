import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "pg";
import type { TenantRecord } from "./record";
import type { Site } from "./site";

/** The class of the advisory locks that writers hold until their transaction ends; the bucket of the tenant is the other half. */
export const FENCE_LOCK = 7777;

/** Tenants share their lock, and the generation that old snapshots trip over, with about one in so many. */
export const BUCKETS = 1024;

/** The bucket of a tenant, as SQL: `tenant` is the tenant. */
export const BUCKET = `(hashtextextended(tenant, 0) & ${BUCKETS - 1})::int`;

/**
 * Waits until a node has a move's records of tenants in its own copy, and no transaction is left there that may have written their rows before. A commit does not say that the copy is there: Citus only warns where a node has
 * prepared its part and could not be told to commit it, and brings that about seconds later. It asks again and again instead of queueing for the locks, so that nobody waits behind it, and no circle of waiting can close.
 *
 * @param record what the copy has to say.
 * @returns the tenants whose writers were gone in time.
 */
export async function writersAreGone(site: Site, node: string, tenants: readonly string[], { move, state }: { readonly move: string; readonly state: TenantRecord["state"] }, timeoutMs: number): Promise<Set<string>> {
  const [session, copy] = await Promise.all([site.node(node), site.ownCopy("tenant")]);
  const [gone, until] = [new Set<string>(), performance.now() + timeoutMs];
  for (let left = tenants; ; ) {
    const { rows } = await session.query<{ tenant: string }>(
      `SELECT tenant FROM (SELECT tenant, pg_try_advisory_xact_lock(${FENCE_LOCK}, ${BUCKET}) AS free FROM unnest($1::text[]) AS tenant) AS asked
       WHERE free AND tenant IN (SELECT known.tenant FROM ${copy} AS known WHERE known.tenant = ANY ($1::text[]) AND move = $2 AND state = $3)`,
      [left, move, state],
    );
    for (const { tenant } of rows) gone.add(tenant);
    left = left.filter((tenant) => !gone.has(tenant));
    if (left.length === 0 || performance.now() > until) return gone;
    await delay(1);
  }
}

/** The tenants whose bucket's generation a transaction with an old snapshot holds on some node. */
export async function bucketsInUse(site: Site, tenants: readonly string[]): Promise<Set<string>> {
  const copy = await site.ownCopy("generation");
  const { rows: nodes } = await site.coordinator.query<{ node: string }>("SELECT nodename || ':' || nodeport AS node FROM pg_dist_node WHERE isactive AND shouldhaveshards");
  const used = await Promise.all(
    nodes.map(async ({ node }) => {
      const { rows } = await (await site.node(node)).query<{ tenant: string }>(
        `WITH free AS MATERIALIZED (SELECT bucket FROM ${copy} WHERE bucket = ANY (ARRAY(SELECT ${BUCKET} FROM unnest($1::text[]) AS tenant)) FOR UPDATE SKIP LOCKED)
         SELECT tenant FROM unnest($1::text[]) AS tenant WHERE ${BUCKET} NOT IN (SELECT bucket FROM free)`,
        [tenants],
      );
      return rows.map(({ tenant }) => tenant);
    }),
  );
  return new Set(used.flat());
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
