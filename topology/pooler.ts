import type { Limits } from "../config/settings";
import type { ContainerPlan } from "./plan";

/** What decides the plan of a pooler in front of a PostgreSQL that HAProxy leads to. */
export interface PoolerOptions {
  /** Where the pooler finds the leader on the network, such as `HAProxy.inside`. */
  readonly server: { readonly host: string; readonly port: number };
  /** Port on the machine. @default 6432 */
  readonly port?: number;
  /** Connections to the leader for each pair of user and database. @default 20 */
  readonly poolSize?: number;
  /** Connections of clients that are taken at once. @default 1000 */
  readonly maxClientConnections?: number;
  /** Address that the port binds. @default 127.0.0.1 */
  readonly bindAddress?: string;
  /** Put before the container's name. @default none */
  readonly prefix?: string;
  /** Limits of the container. @default none */
  readonly limits?: Limits;
}

/** The image that PgBouncer is put on, unless `images.pgbouncer` names one that has it. */
export const PGBOUNCER_BASE = "debian:trixie-slim";
/** The scripts that a pooler starts and pauses with, relative to the project. */
export const POOLER_START = "assets/pgbouncer/start.sh";
export const POOLER_PAUSE = "assets/pgbouncer/pause.sh";

const PORT = 6432;
const DIRECTORY = "/etc/pgbouncer";
/** Memory of the container: what the start script writes there is on no disk. */
const SECRETS = "/dev/shm/pgbouncer";

/** Runs inside a pooler's container, with the seconds that running transactions have to end: see assets/pgbouncer/pause.sh. */
export const PAUSE_COMMAND = ["sh", `${DIRECTORY}/pause.sh`] as const;

/** Plans a PgBouncer; `start` and `pause` are the texts of its scripts. */
export function planPooler(name: string, options: PoolerOptions, { start, pause }: { readonly start: string; readonly pause: string }): ContainerPlan {
  const { server, port = 6432, bindAddress = "127.0.0.1", prefix = "", limits = {} } = options;
  return {
    name: `${prefix}${name}`,
    role: "pooler",
    held: true,
    entrypoint: ["sh", `${DIRECTORY}/start.sh`],
    user: "postgres",
    // For psql in the container; PgBouncer has its own. The password comes beside them, as a secret.
    environment: { PGHOST: server.host, PGPORT: String(server.port), PGUSER: "postgres", PGDATABASE: "postgres" },
    files: [
      { path: `${DIRECTORY}/pgbouncer.ini`, content: pgbouncerConfiguration(options) },
      { path: `${DIRECTORY}/start.sh`, content: start },
      { path: `${DIRECTORY}/pause.sh`, content: pause },
    ],
    ports: [{ internal: PORT, external: port, ip: bindAddress }],
    limits,
    healthCheck: { command: ["pg_isready", "-q", "-h", "127.0.0.1", "-p", String(PORT), "-U", "postgres"], intervalSeconds: 10, timeoutSeconds: 3, retries: 3, startPeriodSeconds: 5 },
    // Running transactions end first; SIGTERM would wait until the last client has left.
    stopSignal: "SIGINT",
    stopGraceSeconds: 10,
  };
}

/**
 * pgbouncer.ini. There is no `tcp_user_timeout`: it would also end a client that is slow to read, and a COPY that waits
 * for a lock. There is no `server_fast_close`: in transaction mode every server is closed after its transaction anyway.
 */
export function pgbouncerConfiguration({ server, poolSize = 20, maxClientConnections = 1000 }: Pick<PoolerOptions, "server" | "poolSize" | "maxClientConnections">): string {
  return `[databases]
; Every database. Roles that are not in the userlist are looked up in PostgreSQL.
* = host=${server.host} port=${server.port} auth_user=postgres

[pgbouncer]
listen_addr = *
listen_port = ${PORT}
; The console is reached through this socket, by the user that PgBouncer runs as: from inside the container only.
unix_socket_dir = ${SECRETS}
; A client's attempt that finds the queue full is repeated by its kernel after a second.
listen_backlog = 1024

pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = ${maxClientConnections}
; Statements that drivers prepare are prepared again where a transaction comes to another connection.
max_prepared_statements = 200
; JDBC sends the first. Without the second PgBouncer before 1.26.1 can be made to spin by anybody (CVE-2026-107349).
ignore_startup_parameters = extra_float_digits, options

auth_type = scram-sha-256
auth_file = ${SECRETS}/userlist.txt
auth_dbname = postgres
auth_query = SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin

; Certificates that nobody signed, as everywhere in the stack. PostgreSQL without Citus has none: prefer.
server_tls_sslmode = prefer
client_tls_sslmode = allow
client_tls_key_file = ${SECRETS}/server.key
client_tls_cert_file = ${SECRETS}/server.crt

; While a new leader is elected: attempts are short and frequent, and statements wait as long as an election takes with a lease left to expire.
server_connect_timeout = 1
server_login_retry = 0.2
query_wait_timeout = 30
; A connection that has rested is tried before it is used: what is between may have forgotten it.
server_check_delay = 5
; A backend's caches of plans and of shards grow with its age. Both stay below HAProxy's time-out of an hour.
server_lifetime = 1800
server_idle_timeout = 600
; A peer that vanished without a word is noticed after 8 s.
tcp_keepalive = 1
tcp_keepidle = 5
tcp_keepintvl = 1
tcp_keepcnt = 3
; HAProxy's address is another one after a replacement; while it restarts, Docker knows no address at all.
dns_max_ttl = 1
dns_nxdomain_ttl = 1

; A line for each health check would bury the others.
log_connections = 0
log_disconnections = 0
log_stats = 0
`;
}
