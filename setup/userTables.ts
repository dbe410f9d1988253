import { docker, EXEC_TIMEOUT_MS } from "./docker";

/** A table of the user's that is spread over workers, or copied to all of them. */
export interface UserTable {
  readonly name: string;
  /** Whether it has rows, which is known for sure. */
  readonly filled: boolean;
  /** About how many rows it has, as PostgreSQL's statistics count them. */
  readonly estimatedRows: number;
  /** Bytes of all placements, with indexes. */
  readonly bytes: number;
}

/** Schemas of the product's own: the probe, the tenants' homes, and what the harnesses write to. */
const OWN_SCHEMAS = ["sharding", "tenancy", "chaos", "bench_fence"];

/**
 * Each column of each row that the second statement gives is a statement in its turn: two lines a table. They are two because Citus takes a
 * statement that reads a distributed table to the workers, where it would not find the functions of the other.
 */
const TABLES = `SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END;
SELECT format('SELECT count(*) FROM (SELECT 1 FROM %s LIMIT 1) AS one', relation),
  format('SELECT json_build_object(''name'', %L, ''estimatedRows'', (SELECT coalesce(sum(result::numeric), 0) FROM run_command_on_shards(%L, %L) WHERE success), ''bytes'', citus_total_relation_size(%L))',
  relation, relation, 'SELECT n_live_tup FROM pg_stat_all_tables WHERE relid = ''%s''::regclass', relation)
FROM (
  SELECT format('%I.%I', nspname, relname) AS relation
  FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
  WHERE (partmethod = 'h' OR partmethod = 'n') AND NOT relispartition AND nspname NOT IN (${OWN_SCHEMAS.map((schema) => `'${schema}'`).join(", ")}) ORDER BY 1) AS own \\gexec
`;

/** What psql prints in a container of a database, as its superuser over the socket, which needs no password; undefined if it fails. */
export async function psqlIn(container: string, sql: string): Promise<string | undefined> {
  const { code, stdout } = await docker(["exec", "--interactive", container, "psql", "-U", "postgres", "-d", "postgres", "-XqAt", "-v", "ON_ERROR_STOP=1"], sql, EXEC_TIMEOUT_MS);
  return code === 0 ? stdout : undefined;
}

/**
 * The user's tables of a Citus cluster; undefined if no coordinator answers, or a table cannot be read.
 *
 * @param coordinators the containers of which one is the coordinator.
 */
export async function userTables(coordinators: readonly string[]): Promise<UserTable[] | undefined> {
  const answers = await Promise.all(coordinators.map((container) => psqlIn(container, TABLES)));
  const answer = answers.find((text) => text?.startsWith("primary")) ?? answers.find((text) => text !== undefined);
  return answer === undefined ? undefined : tablesIn(answer);
}

/** The tables in what {@link TABLES} printed. */
export function tablesIn(printed: string): UserTable[] {
  const [, ...lines] = printed.split("\n");
  return lines.flatMap((line, index) => (index % 2 === 0 ? [] : [{ ...(JSON.parse(line) as Omit<UserTable, "filled">), filled: lines[index - 1] !== "0" }]));
}
