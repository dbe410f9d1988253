import { readFileSync } from "node:fs";
import * as path from "node:path";
import { describe, expect, test } from "vitest";
import { PAUSE_COMMAND, pgbouncerConfiguration, planPooler, POOLER_PAUSE, POOLER_START } from "../../../topology/pooler";

const server = { host: "haproxy", port: 5000 };
const scripts = { start: "start it", pause: "pause it" };
const text = (file: string): string => readFileSync(path.join(__dirname, "../../..", file), "utf8");

/** The settings of a section of pgbouncer.ini. */
function section(configuration: string, name: string): Record<string, string> {
  const lines = configuration.split(/^(?=\[)/m).find((part) => part.startsWith(`[${name}]`))?.split("\n").slice(1) ?? [];
  const settings = lines.filter((line) => line !== "" && !line.startsWith(";"));
  return Object.fromEntries(settings.map((line) => [line.slice(0, line.indexOf(" = ")), line.slice(line.indexOf(" = ") + 3)]));
}

describe("pgbouncer.ini", () => {
  const configuration = pgbouncerConfiguration({ server });

  test("leads every database to the leader, and looks up roles there", () => {
    expect(section(configuration, "databases")).toEqual({ "*": "host=haproxy port=5000 auth_user=postgres" });
  });

  test("is exactly this", () => {
    expect(section(configuration, "pgbouncer")).toEqual({
      listen_addr: "*",
      listen_port: "6432",
      unix_socket_dir: "/dev/shm/pgbouncer",
      listen_backlog: "1024",
      pool_mode: "transaction",
      default_pool_size: "20",
      max_client_conn: "1000",
      max_prepared_statements: "200",
      ignore_startup_parameters: "extra_float_digits, options",
      auth_type: "scram-sha-256",
      auth_file: "/dev/shm/pgbouncer/userlist.txt",
      auth_dbname: "postgres",
      auth_query: "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin",
      server_tls_sslmode: "prefer",
      client_tls_sslmode: "allow",
      client_tls_key_file: "/dev/shm/pgbouncer/server.key",
      client_tls_cert_file: "/dev/shm/pgbouncer/server.crt",
      server_connect_timeout: "1",
      server_login_retry: "0.2",
      query_wait_timeout: "30",
      server_check_delay: "5",
      server_lifetime: "1800",
      server_idle_timeout: "600",
      tcp_keepalive: "1",
      tcp_keepidle: "5",
      tcp_keepintvl: "1",
      tcp_keepcnt: "3",
      dns_max_ttl: "1",
      dns_nxdomain_ttl: "1",
      log_connections: "0",
      log_disconnections: "0",
      log_stats: "0",
    });
  });

  test("gives nobody the console over the network", () => {
    expect(configuration).not.toMatch(/^(admin_users|stats_users)/m);
  });

  test("takes the sizes that it is given", () => {
    const sized = section(pgbouncerConfiguration({ server, poolSize: 7, maxClientConnections: 70 }), "pgbouncer");
    expect(sized).toMatchObject({ default_pool_size: "7", max_client_conn: "70" });
  });
});

describe("a pooler", () => {
  const plan = planPooler("pooler", { server }, scripts);

  test("has its files, one port on this machine only, and no password", () => {
    expect(plan).toEqual({
      name: "pooler",
      role: "pooler",
      held: true,
      entrypoint: ["sh", "/etc/pgbouncer/start.sh"],
      user: "postgres",
      environment: { PGHOST: "haproxy", PGPORT: "5000", PGUSER: "postgres", PGDATABASE: "postgres" },
      files: [
        { path: "/etc/pgbouncer/pgbouncer.ini", content: pgbouncerConfiguration({ server }) },
        { path: "/etc/pgbouncer/start.sh", content: "start it" },
        { path: "/etc/pgbouncer/pause.sh", content: "pause it" },
      ],
      ports: [{ internal: 6432, external: 6432, ip: "127.0.0.1" }],
      limits: {},
      healthCheck: { command: ["pg_isready", "-q", "-h", "127.0.0.1", "-p", "6432", "-U", "postgres"], intervalSeconds: 10, timeoutSeconds: 3, retries: 3, startPeriodSeconds: 5 },
      stopSignal: "SIGINT",
      stopGraceSeconds: 10,
    });
  });

  test("publishes where it is told to", () => {
    const { name, ports, limits } = planPooler("pooler", { server, port: 16432, bindAddress: "0.0.0.0", prefix: "test-", limits: { cpus: 0.5 } }, scripts);
    expect({ name, ports, limits }).toEqual({ name: "test-pooler", ports: [{ internal: 6432, external: 16432, ip: "0.0.0.0" }], limits: { cpus: 0.5 } });
  });

  test("is paused by a script that it has", () => {
    expect(plan.files.map((file) => file.path)).toContain(PAUSE_COMMAND.at(-1));
  });
});

describe("the scripts", () => {
  test("writes its secrets for nobody else, where the configuration looks for them, and keeps the password from PgBouncer's environment", () => {
    const start = text(POOLER_START);
    expect(start).toMatch(/umask 077[^]*mkdir -p \/dev\/shm\/pgbouncer\ncd \/dev\/shm\/pgbouncer\n[^]*>userlist\.txt[^]*unset PGPASSWORD\nexec pgbouncer/);
  });

  test("a pause is over before its clients lose patience", () => {
    const pause = text(POOLER_PAUSE);
    const seconds = [5, Number(/timeout (\d+) cat/.exec(pause)?.[1]), Number(/date \+%s\) \+ (\d+)/.exec(pause)?.[1]), 2];
    const patience = Number(section(pgbouncerConfiguration({ server }), "pgbouncer")["query_wait_timeout"]);
    expect(seconds.reduce((sum, part) => sum + part, 0)).toBeLessThan(patience);
  });
});
