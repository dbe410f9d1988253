import type { Client } from "pg";
import { anyOf } from "./anyOf";
import { Breather } from "./breather";
import { writersAreGone } from "./fenceLock";
import { writeAs, type Site } from "./site";
import { nodesOf, shardGroups, tenantTables, type ShardGroup } from "./tenantTables";

/** Small enough to hold nobody up, large enough to be quick. */
const ROWS_AT_ONCE = 2000;
/** About as much work as so many bytes of a copy. */
const BYTES_PER_ROW = 100;

/** How long the end of a mover that was given up may take on a worker, and how long all wait for those that take long. */
const END_TIMEOUT_MS = 10_000;
const TOGETHER_MS = 200;

/**
 * Deletes the rows of tenants from a cluster that is not their home, on every copy of their shards.
 *
 * @param move the move that the cluster's records name, by which the fence lets the deletion through.
 * @returns the tenants of which nothing is left. Of the others a transaction still writes on a worker after a while, or the worker was not told of the move.
 */
export async function deleteLeftovers(site: Site, tenants: readonly string[], move: string): Promise<string[]> {
  const groups = await shardGroups(site, await tenantTables(site), tenants);
  const nodes = new Set(groups.flatMap(({ shards }) => nodesOf(shards)));
  const cleaned = await Promise.all(
    [...nodes].map(async (name) => {
      const here = groups.filter(({ shards }) => nodesOf(shards).includes(name));
      const session = await site.node(name);
      await writeAs(session, move);
      const [breather, done, wanted] = [new Breather(), new Set<string>(), here.flatMap((group) => group.tenants)];
      for (const timeoutMs of [TOGETHER_MS, END_TIMEOUT_MS]) {
        const left = wanted.filter((tenant) => !done.has(tenant));
        if (left.length === 0) break;
        const gone = await writersAreGone(site, name, left, { move, state: "settled" }, timeoutMs);
        for (const { tenants: together, shards } of here) await deleteRows(session, name, { tenants: together.filter((tenant) => gone.has(tenant)), shards }, breather);
        for (const tenant of gone) done.add(tenant);
      }
      return new Set(wanted.filter((tenant) => !done.has(tenant)));
    }),
  );
  return tenants.filter((tenant) => !cleaned.some((left) => left.has(tenant)));
}

/** Deletes rows in parts. */
async function deleteRows(session: Client, node: string, { tenants, shards }: ShardGroup, breather: Breather): Promise<void> {
  if (tenants.length === 0) return;
  for (const { table, relation, placements } of shards) {
    if (!placements.some((placement) => placement.node === node)) continue;
    for (let deleted = ROWS_AT_ONCE; deleted === ROWS_AT_ONCE; ) {
      const some = `SELECT ctid FROM ${relation} WHERE ${anyOf(table.column, tenants)} LIMIT ${ROWS_AT_ONCE}`;
      deleted = (await session.query(`DELETE FROM ${relation} WHERE ctid = ANY (ARRAY(${some}))`)).rowCount ?? 0;
      await breather.breathe(deleted * BYTES_PER_ROW);
    }
  }
}

/** The publication of a move, on the worker that it reads from. */
export function publicationOf(move: string): string {
  return `tenancy_${move}`;
}

/** Drops what a move of tenants left on the workers that it may have read from. */
export async function dropPublications(site: Site, tenants: readonly string[], move: string): Promise<void> {
  const groups = await shardGroups(site, await tenantTables(site), tenants);
  const nodes = new Set(groups.flatMap(({ shards }) => nodesOf(shards)));
  await Promise.all([...nodes].map(async (name) => (await site.node(name)).query(`DROP PUBLICATION IF EXISTS ${publicationOf(move)}`)));
}
