import { escapeLiteral } from "pg";
import { Breather } from "./breather";
import { writersAreGone } from "./fenceLock";
import { writeAs, type Site } from "./site";
import { nodesOf, tenantShards, tenantTables } from "./tenantTables";
import { TenantError } from "./tenantError";

/** Small enough to hold nobody up, large enough to be quick. */
const ROWS_AT_ONCE = 2000;
/** About as much work as so many bytes of a copy. */
const BYTES_PER_ROW = 100;

/** How long the end of a mover that was given up may take on a worker. */
const END_TIMEOUT_MS = 10_000;

/**
 * Deletes a tenant's rows from a cluster that is not its home, on every copy of its shards.
 *
 * @param move the move that the cluster's record names, by which the fence lets the deletion through.
 * @returns rows that were there, of one copy.
 */
export async function deleteLeftovers(site: Site, tenant: string, move: string): Promise<number> {
  const shards = await tenantShards(site, await tenantTables(site), tenant);
  const counts = await Promise.all(
    nodesOf(shards).map(async (name) => {
      const session = await site.node(name);
      await writeAs(session, move);
      if (!(await writersAreGone(site, name, tenant, { move, state: "settled" }, END_TIMEOUT_MS))) {
        throw new TenantError(`A transaction on ${name} of cluster ${site.name} still writes tenant ${tenant} after ${END_TIMEOUT_MS / 1000} s, or the node was not told of the move. End it, and run npm run tenant -- recover`);
      }
      const breather = new Breather();
      let rows = 0;
      for (const { table, relation, placements } of shards) {
        if (!placements.some(({ node }) => node === name)) continue;
        for (let deleted = ROWS_AT_ONCE; deleted === ROWS_AT_ONCE; rows += deleted) {
          const some = `SELECT ctid FROM ${relation} WHERE ${table.column} = ${escapeLiteral(tenant)} LIMIT ${ROWS_AT_ONCE}`;
          deleted = (await session.query(`DELETE FROM ${relation} WHERE ctid = ANY (ARRAY(${some}))`)).rowCount ?? 0;
          await breather.breathe(deleted * BYTES_PER_ROW);
        }
      }
      return rows;
    }),
  );
  return Math.max(0, ...counts);
}

/** The publication of a move, on the worker that it reads from. */
export function publicationOf(move: string): string {
  return `tenancy_${move}`;
}

/** Drops what a move left on the workers that it may have read from. */
export async function dropPublications(site: Site, tenant: string, move: string): Promise<void> {
  const shards = await tenantShards(site, await tenantTables(site), tenant);
  await Promise.all(nodesOf(shards).map(async (name) => (await site.node(name)).query(`DROP PUBLICATION IF EXISTS ${publicationOf(move)}`)));
}
