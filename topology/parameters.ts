/** PostgreSQL parameters by name, values as in postgresql.conf without quotes. */
export type Parameters = Readonly<Record<string, string>>;

/** Parameters whose value is a list of names. ALTER SYSTEM takes each name on its own, or stores the list as one name. */
const NAME_LISTS = new Set(["shared_preload_libraries", "session_preload_libraries", "local_preload_libraries", "search_path", "temp_tablespaces", "unix_socket_directories"]);

/** The statement that sets a parameter for good: `ALTER SYSTEM SET "work_mem" = '8MB'`. */
export function alterSystem(name: string, value: string): string {
  const values = NAME_LISTS.has(name) ? value.split(",").map((item) => item.trim()) : [value];
  const quotedName = name.split(".").map((part) => `"${part}"`).join(".");
  return `ALTER SYSTEM SET ${quotedName} = ${values.map((item) => `'${item.replaceAll("'", "''")}'`).join(", ")}`;
}

/** What decides the parameters of a database member. */
export interface DatabaseParameterOptions {
  /** Citus's own settings; absent for PostgreSQL without Citus. */
  readonly citus?: { readonly shardCount: number; readonly replicationFactor: number };
  readonly preloadLibraries?: readonly string[];
  /** What the user set, later ones winning. */
  readonly overrides: readonly Parameters[];
}

/** All parameters of a database member: what the product needs, its defaults, what the user set. */
export function databaseParameters({ citus, preloadLibraries = [], overrides }: DatabaseParameterOptions): Record<string, string> {
  const libraries = [...(citus === undefined ? [] : ["citus"]), "pg_stat_statements", ...preloadLibraries];
  return {
    max_connections: "300",
    // Shard moves copy by logical replication; each takes workers beside those of parallel queries.
    max_worker_processes: "16",
    // A standby that lost its leader asks the next one soon; the default is 5 s.
    wal_retrieve_retry_interval: "500ms",
    ...(citus !== undefined && {
      // A worker that is gone should cost a statement a second, not Citus's default of 30 s.
      "citus.node_connection_timeout": "1s",
      // Rows of a two-phase commit whose coordinator died stay locked this long; the default is a minute.
      "citus.recover_2pc_interval": "5s",
    }),
    ...overrides.reduce((merged, parameters) => ({ ...merged, ...parameters }), {}),
    ...(citus !== undefined && {
      "citus.shard_count": String(citus.shardCount),
      "citus.shard_replication_factor": String(citus.replicationFactor),
    }),
    // citus has to come first: https://docs.citusdata.com/en/stable/installation/multi_node_debian.html
    shared_preload_libraries: [...new Set(libraries)].join(","),
    // Shards move online by logical replication.
    wal_level: "logical",
  };
}
