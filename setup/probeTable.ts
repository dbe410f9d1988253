import type { Coordinator } from "./coordinator";
import { distribute } from "./distribution";
import { writeEveryShard } from "./probe";
import type { Report } from "./report";
import { SetupError } from "./setupError";

/** Creates the probe's table, colocated with a distributed table; one of another kind, left from an earlier schema, gives way. */
export async function ensureProbe(coordinator: Coordinator, table: string, report: Report): Promise<void> {
  const { type, column, present, fitting } = await coordinator.row<{ type: string; column: string; present: boolean; fitting: boolean }>(
    `SELECT format_type(atttypid, atttypmod) || CASE WHEN attcollation IN (0, typcollation) THEN '' ELSE ' COLLATE ' || attcollation::regcollation END AS type,
       attname AS column, probe IS NOT NULL AS present,
       EXISTS (SELECT FROM pg_dist_partition p WHERE p.logicalrelid = probe AND p.colocationid = d.colocationid) AS fitting
     FROM pg_dist_partition d JOIN pg_attribute ON attrelid = d.logicalrelid AND attname = column_to_column_name(d.logicalrelid, partkey)
       JOIN pg_type ON pg_type.oid = atttypid, to_regclass('sharding.probe') AS probe
     WHERE d.logicalrelid = $1::text::regclass`,
    [table],
  );
  if (fitting) return;
  await coordinator.transaction(async () => {
    if (present) await coordinator.query("DROP TABLE sharding.probe");
    await coordinator.query("CREATE SCHEMA IF NOT EXISTS sharding");
    await coordinator.query(`CREATE TABLE sharding.probe (key ${type} PRIMARY KEY, written_at timestamptz NOT NULL)`);
  });
  await distribute(coordinator, "sharding.probe", "key", table, 0);
  report.did("sharding.probe", `created for writes to every shard, colocated with ${table} by ${column}`);
}

/**
 * Proves that every shard takes a write.
 *
 * @throws {@link SetupError} that names the shards that do not, and their workers.
 */
export async function proveWritable(coordinator: Coordinator, cluster: string, report: Report): Promise<void> {
  report.activity = "writing to every shard";
  const { shards, failed } = await writeEveryShard(coordinator.session);
  const [first] = failed;
  if (first === undefined) {
    report.found(cluster, `every shard took a write (${shards} shards)`);
    return;
  }
  const nodes = [...new Set(failed.flatMap((shard) => shard.nodes))].sort().join(", ");
  throw new SetupError(
    `${failed.length} of ${shards} shards of ${cluster} did not take a write, placed on ${nodes}; shard ${first.shardId}: ${first.error}. Mend that and run the update again`,
  );
}
