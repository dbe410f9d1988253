import type { Work } from "./clients";
import type { SchemaChange } from "./history";
import type { Recorder } from "./recorder";
import type { ClusterTarget } from "./target";
import { transact } from "./transact";

/** What happens to a table, one change after the other; every third of the first stays as it is before the last. */
const CHANGES: readonly { readonly change: SchemaChange; readonly column?: string }[] = [
  { change: "create" },
  { change: "add column", column: "first" },
  { change: "add column", column: "second" },
  { change: "drop column", column: "first" },
  { change: "drop" },
];
const TABLES_PER_KEPT = 3;
/** So many stay, and no more: a worker that comes back has each of them copied to it. */
const KEPT_TABLES = 4;
const SHARDS = 4;

/** Creates, alters and drops distributed tables of its own, a change at a time. After a change that was not acknowledged it begins with another table. */
export function schemaClient(client: number, cluster: ClusterTarget, recorder: Recorder): Work {
  let [number, step] = [1, 0];
  return {
    uri: cluster.uri,
    endpoint: "leader",
    async request(session) {
      const { change, column } = CHANGES[step] ?? { change: "create" };
      const table = `${CHANGED_PREFIX}${number}`;
      const at = recorder.now();
      const { outcome, error } = await transact(session, statements(`chaos.${table}`, change, column));
      recorder.record({ type: "schema", client, table: changedTable(cluster, table), change, ...(column !== undefined && { column }), at, ms: recorder.since(at), outcome, ...(error !== undefined && { error }) });
      const last = number % TABLES_PER_KEPT === 0 && number <= TABLES_PER_KEPT * KEPT_TABLES ? CHANGES.length - 1 : CHANGES.length;
      step += 1;
      if (outcome !== "ok" || step === last) [number, step] = [number + 1, 0];
      return outcome === "ok";
    },
  };
}

/** What the names of tables begin with that a client changes. */
export const CHANGED_PREFIX = "changed_";

/** The name of such a table in the history. */
export function changedTable({ name }: Pick<ClusterTarget, "name">, table: string): string {
  return `${name}:${table}`;
}

function statements(table: string, change: SchemaChange, column = ""): string[] {
  switch (change) {
    case "create":
      return [`CREATE TABLE ${table} (key bigint, value text)`, `SELECT create_distributed_table('${table}', 'key', colocate_with := 'none', shard_count := ${SHARDS})`];
    case "add column":
      return [`ALTER TABLE ${table} ADD COLUMN ${column} text`];
    case "drop column":
      return [`ALTER TABLE ${table} DROP COLUMN ${column}`];
    case "drop":
      return [`DROP TABLE ${table}`];
  }
}
