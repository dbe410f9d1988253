import { docker, EXEC_TIMEOUT_MS } from "./docker";

/** A table of the user's, spread over workers, copied to all of them or on the coordinator alone; or a whole database of theirs beside the one that Citus is in. */
export interface UserTable {
  readonly name: string;
  /** Whether it has rows, which is known for sure. Another database counts as if it had. */
  readonly filled: boolean;
  /** About how many rows it has, as PostgreSQL's statistics count them; absent for a database. */
  readonly estimatedRows?: number;
  /** Bytes of all placements, with indexes. */
  readonly bytes: number;
}

/** Schemas of the product's own: the probe, the tenants' homes, and what the harnesses write to. */
const OWN_SCHEMAS = ["sharding", "tenancy", "chaos", "bench_fence"];

/**
 * Each column of each row that the later statements give is a statement in its turn: two lines a table, or database. They are two because Citus takes a
 * statement that reads a distributed table to the workers, where it would not find the functions of the other. Temporary tables and materialized views
 * without content cannot be read, so they are left out; and so are shards that are placed on the coordinator.
 */
const TABLES = `SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END;
SELECT format('SELECT count(*) FROM (SELECT 1 FROM %s LIMIT 1) AS one', relation),
  CASE WHEN is_citus THEN
    format('SELECT json_build_object(''name'', %L, ''estimatedRows'', (SELECT coalesce(sum(result::numeric), 0) FROM run_command_on_shards(%L, %L) WHERE success), ''bytes'', citus_total_relation_size(%L))',
      relation, relation, 'SELECT n_live_tup FROM pg_stat_all_tables WHERE relid = ''%s''::regclass', relation)
  ELSE
    format('SELECT json_build_object(''name'', %L, ''estimatedRows'', coalesce(sum(pg_stat_get_live_tuples(relid)), 0), ''bytes'', sum(pg_total_relation_size(relid))) FROM (SELECT relid FROM pg_partition_tree(%L) UNION SELECT %L::regclass) AS parts',
      relation, relation, relation)
  END
FROM (
  SELECT format('%I.%I', nspname, relname) AS relation, logicalrelid IS NOT NULL AS is_citus
  FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace LEFT JOIN pg_dist_partition ON logicalrelid = pg_class.oid
  WHERE NOT relispartition AND nspname NOT IN ('pg_catalog', 'information_schema', ${OWN_SCHEMAS.map((schema) => `'${schema}'`).join(", ")}) AND (
    logicalrelid IS NOT NULL OR relkind IN ('r', 'p', 'm') AND relpersistence <> 't' AND relispopulated AND NOT relation_is_a_known_shard(pg_class.oid)
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'))
  ORDER BY 1) AS own \\gexec
SELECT 'SELECT 1', format('SELECT json_build_object(''name'', %L, ''bytes'', pg_database_size(%L::name))', 'database ' || quote_ident(datname), datname)
FROM pg_database WHERE NOT datistemplate AND datname <> current_database() ORDER BY datname \\gexec
`;

/** What psql prints in a container of a database, as its superuser over the socket, which needs no password; undefined if it fails. */
export async function psqlIn(container: string, sql: string): Promise<string | undefined> {
  const { code, stdout } = await docker(["exec", "--interactive", container, "psql", "-U", "postgres", "-d", "postgres", "-XqAt", "-v", "ON_ERROR_STOP=1"], sql, EXEC_TIMEOUT_MS);
  return code === 0 ? stdout : undefined;
}

/**
 * The user's tables and other databases of a Citus cluster; undefined if no coordinator answers, or a table cannot be read.
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
