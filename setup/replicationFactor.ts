import { leaveToCleanup } from "../topology/citusCleanup";
import type { CitusSpec } from "../topology/plan";
import type { Coordinator } from "./coordinator";
import { markRebalance } from "./rebalance";
import { SPREAD } from "./registry";
import type { Report } from "./report";

/** Tables that are colocated, and so have one replication factor. */
interface ColocatedTables {
  readonly colocationId: number;
  readonly tables: readonly string[];
  /** Placements that each shard should have so far. */
  readonly factor: number;
  /** Foreign keys of the tables, which Citus takes only where shards have one placement. */
  readonly foreignKeys: readonly string[];
}

/**
 * Gives the tables of the plan, and those colocated with them, the plan's replication factor, online: no statement sees
 * more than the moment that the metadata takes to reach every node. Citus has no function for it; its catalogue says
 * what a table is, and the copies that are missing then are made like any others, while shards are written to.
 */
export async function reconcileReplicationFactor(coordinator: Coordinator, { schema, replicationFactor }: CitusSpec, report: Report): Promise<void> {
  report.activity = "comparing replication factors";
  const differing = await coordinator.query<ColocatedTables>(
    `SELECT d.colocationid AS "colocationId", replicationfactor AS factor, array_agg(d.logicalrelid::text ORDER BY d.logicalrelid::text) AS tables,
       ARRAY(SELECT conname::text FROM pg_constraint f JOIN pg_dist_partition own ON own.logicalrelid = f.conrelid
             WHERE f.contype = 'f' AND own.colocationid = d.colocationid ORDER BY 1) AS "foreignKeys"
     FROM pg_dist_partition d JOIN pg_dist_colocation c ON c.colocationid = d.colocationid
     WHERE d.partmethod = 'h' AND replicationfactor <> $2
       AND EXISTS (SELECT FROM pg_dist_partition named WHERE named.colocationid = d.colocationid AND named.logicalrelid = ANY (SELECT to_regclass(quote_ident(name)) FROM unnest($1::text[]) AS name))
     GROUP BY d.colocationid, replicationfactor ORDER BY 1`,
    [Object.keys(schema.tables), replicationFactor],
  );
  for (const tables of differing) await converge(coordinator, tables, replicationFactor, report);
  if (replicationFactor > 1) await tellSingleCopies(coordinator, Object.keys(schema.tables), replicationFactor, report);
}

/** Tells of tables that are not the plan's and have one copy of each shard: no worker with one of them can be taken out of service. */
async function tellSingleCopies(coordinator: Coordinator, planned: readonly string[], wanted: number, report: Report): Promise<void> {
  const single = await coordinator.query<{ name: string; hashed: boolean; colocationId: number }>(
    `SELECT logicalrelid::text AS name, partmethod = 'h' AS hashed, colocationid AS "colocationId" FROM pg_dist_partition JOIN pg_dist_colocation USING (colocationid)
     WHERE ${SPREAD} AND replicationfactor = 1 AND NOT EXISTS (
       SELECT FROM pg_dist_partition own WHERE own.colocationid = pg_dist_partition.colocationid AND own.logicalrelid = ANY (SELECT to_regclass(quote_ident(name)) FROM unnest($1::text[]) AS name))
     ORDER BY 1`,
    [planned],
  );
  for (const { name, hashed, colocationId } of single) {
    const way =
      `UPDATE pg_dist_partition SET repmodel = 'c' WHERE colocationid = ${colocationId}; UPDATE pg_dist_colocation SET replicationfactor = ${wanted} WHERE colocationid = ${colocationId}; ` +
      "SELECT start_metadata_sync_to_all_nodes()";
    report.found(
      name,
      `one copy of each shard: a worker with one of them is not taken out of service when it dies, and writes of other tables wait for it, too${hashed ? `. If it has no foreign keys, give it copies in one transaction, and run the update again: ${way}` : ""}`,
    );
  }
}

async function converge(coordinator: Coordinator, { colocationId, tables, factor, foreignKeys }: ColocatedTables, wanted: number, report: Report): Promise<void> {
  const subject = tables.join(", ");
  if (wanted > 1 && foreignKeys.length > 0) {
    report.found(
      subject,
      `${tables.length > 1 ? "keep" : "keeps"} ${placements(factor)} of each shard, and writes to a dead worker's shards wait until it is back: Citus takes no foreign keys with copies. ` +
        `Drop ${foreignKeys.join(", ")} and run the update again, or set replicationFactor to ${factor}`,
    );
    return;
  }
  await coordinator.transaction(async () => {
    await coordinator.query("UPDATE pg_dist_partition SET repmodel = $2 WHERE colocationid = $1 AND partmethod = 'h'", [colocationId, wanted > 1 ? "c" : "s"]);
    await coordinator.query("UPDATE pg_dist_colocation SET replicationfactor = $2 WHERE colocationid = $1", [colocationId, wanted]);
    if (wanted < factor) {
      await coordinator.query(GIVE_UP_SURPLUS, [colocationId, wanted]);
      await markRebalance(coordinator);
    }
    await coordinator.query("SELECT start_metadata_sync_to_all_nodes()");
  });
  report.did(subject, `${placements(wanted)} of each shard from now on, instead of ${factor}${wanted > 1 && factor === 1 ? "; SELECT … FOR UPDATE and foreign keys are refused with copies" : ""}`);
}

/**
 * Takes placements beyond the first $2 of each shard of a colocation group ($1) out of the metadata, those on inactive
 * nodes first, and leaves the tables behind them to Citus' cleanup, as a move leaves what it has moved away. Colocated
 * shards stay together.
 */
const GIVE_UP_SURPLUS = `
  WITH ranked AS (
    SELECT placementid, p.shardid, p.groupid, logicalrelid,
      dense_rank() OVER (PARTITION BY shardminvalue ORDER BY NOT isactive, (SELECT min(first.placementid) FROM pg_dist_placement first JOIN pg_dist_shard f USING (shardid)
        JOIN pg_dist_partition fd USING (logicalrelid) WHERE fd.colocationid = d.colocationid AND f.shardminvalue = s.shardminvalue AND first.groupid = p.groupid)) AS rank
    FROM pg_dist_placement p JOIN pg_dist_shard s USING (shardid) JOIN pg_dist_partition d USING (logicalrelid) JOIN pg_dist_node n ON n.groupid = p.groupid AND noderole = 'primary'
    WHERE d.colocationid = $1 AND d.partmethod = 'h'
  ), surplus AS (
    DELETE FROM pg_dist_placement USING ranked WHERE pg_dist_placement.placementid = ranked.placementid AND rank > $2 RETURNING ranked.*
  )
  ${leaveToCleanup("shard_name(logicalrelid, shardid, false)", "groupid", "surplus")}`;

function placements(count: number): string {
  return `${count} placement${count === 1 ? "" : "s"}`;
}
