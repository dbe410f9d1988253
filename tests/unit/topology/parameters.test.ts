import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { alterSystem, databaseParameters } from "../../../topology/parameters";

describe("ALTER SYSTEM", () => {
  test.each<[string, string, string]>([
    ["work_mem", "8MB", `ALTER SYSTEM SET "work_mem" = '8MB'`],
    ["citus.node_connection_timeout", "5s", `ALTER SYSTEM SET "citus"."node_connection_timeout" = '5s'`],
    ["log_line_prefix", "it's %m", `ALTER SYSTEM SET "log_line_prefix" = 'it''s %m'`],
    // What PostgreSQL flags GUC_LIST_QUOTE.
    ...["shared_preload_libraries", "session_preload_libraries", "local_preload_libraries", "search_path", "temp_tablespaces", "unix_socket_directories"].map(
      (name): [string, string, string] => [name, "a, b", `ALTER SYSTEM SET "${name}" = 'a', 'b'`],
    ),
    ["shared_preload_libraries", "citus,pg_stat_statements", `ALTER SYSTEM SET "shared_preload_libraries" = 'citus', 'pg_stat_statements'`],
    ["datestyle", "ISO, MDY", `ALTER SYSTEM SET "datestyle" = 'ISO, MDY'`],
    ["session_preload_libraries", "", `ALTER SYSTEM SET "session_preload_libraries" = ''`],
  ])("of %s to %j", (name, value, statement) => {
    expect(alterSystem(name, value)).toBe(statement);
  });

  test("no value ends its literal", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("'", ";", "\\", "a", "\n", " ", '"') }), (value) => {
        const literal = alterSystem("work_mem", value).slice(`ALTER SYSTEM SET "work_mem" = `.length);
        expect(literal).toMatch(/^'([^']|'')*'$/);
        expect(literal.slice(1, -1).replaceAll("''", "'")).toBe(value);
      }),
    );
  });
});

describe("parameters of a database member", () => {
  const citus = { shardCount: 32, replicationFactor: 2 };

  test("of Citus", () => {
    expect(databaseParameters({ citus, overrides: [] })).toEqual({
      max_connections: "300",
      max_worker_processes: "16",
      wal_retrieve_retry_interval: "500ms",
      "citus.node_connection_timeout": "1s",
      "citus.recover_2pc_interval": "5s",
      "citus.shard_count": "32",
      "citus.shard_replication_factor": "2",
      shared_preload_libraries: "citus,pg_stat_statements",
      wal_level: "logical",
    });
  });

  test("of PostgreSQL without Citus", () => {
    expect(databaseParameters({ overrides: [] })).toEqual({
      max_connections: "300",
      max_worker_processes: "16",
      wal_retrieve_retry_interval: "500ms",
      shared_preload_libraries: "pg_stat_statements",
      wal_level: "logical",
    });
  });

  test("later ones win, and over the product's defaults", () => {
    const parameters = databaseParameters({ citus, overrides: [{ work_mem: "4MB", max_connections: "100" }, { work_mem: "8MB", "citus.node_connection_timeout": "1s" }] });
    expect(parameters).toMatchObject({ work_mem: "8MB", max_connections: "100", "citus.node_connection_timeout": "1s" });
  });

  test("what the product needs cannot be taken away", () => {
    const overrides = [{ wal_level: "minimal", shared_preload_libraries: "", "citus.shard_count": "1", "citus.shard_replication_factor": "9" }];
    expect(databaseParameters({ citus, overrides })).toEqual(databaseParameters({ citus, overrides: [] }));
  });

  test("citus is loaded first and nothing twice", () => {
    const { shared_preload_libraries: libraries } = databaseParameters({ citus, preloadLibraries: ["pg_cron", "citus", "pg_stat_statements"], overrides: [] });
    expect(libraries).toBe("citus,pg_stat_statements,pg_cron");
  });
});
