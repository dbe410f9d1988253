import type { CitusSpec } from "../topology/plan";
import type { Coordinator } from "./coordinator";
import type { Report } from "./report";
import { reason, SetupError } from "./setupError";

/** A table of the plan as it is. */
interface Table {
  readonly name: string;
  /** The distribution column that the plan asks for. */
  readonly column: string;
  readonly exists: boolean;
  readonly hasColumn: boolean;
  /** Null: local to the coordinator. Empty: distributed without a column, as a reference table is. */
  readonly distributedBy: string | null;
  readonly colocationId: number | null;
  readonly shards: number;
}

/**
 * Distributes the tables of the plan, colocated.
 *
 * @throws {@link SetupError} that names a table that does not exist, or is distributed otherwise.
 */
export async function distributeTables(coordinator: Coordinator, spec: CitusSpec, report: Report): Promise<void> {
  const names = Object.keys(spec.schema.tables);
  if (names.length === 0) return;
  report.activity = "distributing tables";
  await coordinator.query("SELECT set_config('citus.shard_replication_factor', $1, false)", [String(spec.replicationFactor)]);
  const tables = await tablesOf(coordinator, spec);
  for (const table of tables) refuse(table, tables);
  let anchor = tables.find(({ distributedBy }) => distributedBy !== null)?.name;
  for (const { name, column, distributedBy, shards } of tables) {
    if (distributedBy !== null) {
      const kept = shards === spec.shardCount ? "" : `; keeps its ${shards} shards: shardCount ${spec.shardCount} is for new tables`;
      report.found(name, `distributed by ${column} already${kept}`);
      continue;
    }
    await distribute(coordinator, name, column, anchor, spec.shardCount);
    report.did(name, `distributed by ${column}, ${count(spec.shardCount, "shard")}, ${count(spec.replicationFactor, "placement")} each`);
    anchor ??= name;
  }
}

/** Distributes a table with the shards of another, or as the first of its kind. */
export async function distribute(coordinator: Coordinator, name: string, column: string, colocateWith: string | undefined, shardCount: number): Promise<void> {
  const placed = colocateWith === undefined ? "colocate_with := 'default', shard_count := $3" : "colocate_with := $3";
  await coordinator
    .query(`SELECT create_distributed_table($1::text::regclass, $2, ${placed})`, [name, column, colocateWith ?? shardCount])
    .catch((error: unknown) => {
      throw new SetupError(`${name} cannot be distributed by ${column}: ${reason(error)}. Correct schema.tables or the schema SQL`);
    });
}

function tablesOf(coordinator: Coordinator, { schema }: CitusSpec): Promise<Table[]> {
  const [names, columns] = [Object.keys(schema.tables), Object.values(schema.tables)];
  return coordinator.query<Table>(
    `SELECT name, "column", oid IS NOT NULL AS exists, EXISTS (SELECT FROM pg_attribute WHERE attrelid = oid AND attname = "column" AND NOT attisdropped) AS "hasColumn",
       CASE WHEN partmethod = 'h' THEN column_to_column_name(d.logicalrelid, partkey) WHEN d.colocationid <> 0 THEN '' END AS "distributedBy",
       d.colocationid AS "colocationId", coalesce(shardcount, 0) AS shards
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS planned (name, "column", position), LATERAL (SELECT to_regclass(quote_ident(name)) AS oid) AS found
       LEFT JOIN pg_dist_partition d ON d.logicalrelid = oid LEFT JOIN pg_dist_colocation c ON c.colocationid = d.colocationid
     ORDER BY position`,
    [names, columns],
  );
}

function refuse({ name, column, exists, hasColumn, distributedBy, colocationId }: Table, tables: readonly Table[]): void {
  if (!exists) throw new SetupError(`The schema SQL does not create the table ${name}, which schema.tables names. Add it there, or take it out of schema.tables`);
  if (!hasColumn) throw new SetupError(`The table ${name} has no column ${column}, by which schema.tables distributes it. Correct one of them`);
  if (distributedBy === null) return;
  if (distributedBy !== column) {
    const already = distributedBy === "" ? "is a reference table" : `is distributed by ${distributedBy}`;
    throw new SetupError(
      `The table ${name} ${already}, and schema.tables distributes it by ${column}. ` +
        `Correct schema.tables, or make the table local first: SELECT undistribute_table('${name}')`,
    );
  }
  const other = tables.find((table) => table.distributedBy !== null && table.colocationId !== colocationId);
  if (other !== undefined) {
    throw new SetupError(
      `The tables ${name} and ${other.name} are distributed, but not colocated. ` +
        `Bring them together: SELECT update_distributed_table_colocation('${name}', colocate_with => '${other.name}')`,
    );
  }
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
