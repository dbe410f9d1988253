import { stringify } from "yaml";
import type { Limits } from "../config/settings";
import { dataDirectory } from "./dataDirectory";
import { databaseParameters, type Parameters } from "./parameters";
import { POSTGRES_PORT, type ContainerPlan, type PatroniPlan, type PatroniSpec } from "./plan";

/** What decides a Patroni group's plan. */
export interface PatroniOptions {
  /** Number of members: one leader, the others standbys. @default 3 */
  readonly members?: number;
  /** Patroni's name of the cluster in etcd. @default the component's name */
  readonly scope?: string;
  /** The Citus group that the members form; 0 is the coordinator. @default none: PostgreSQL without Citus */
  readonly citus?: {
    readonly group: number;
    readonly shardCount: number;
    readonly replicationFactor: number;
    /** Members of the coordinator's group, for a worker's group to tell whom it has promoted. @default none: Patroni tells it, seconds later */
    readonly coordinators?: readonly string[];
  };
  /** Whether each member's holder revokes the lease of a member whose processes are gone. Without it a lease of 20 s has to expire. @default true */
  readonly fencer?: boolean;
  /** PostgreSQL parameters. @default none beside the product's */
  readonly parameters?: Parameters;
  /** Libraries to preload beside the product's. @default none */
  readonly preloadLibraries?: readonly string[];
  /** PostgreSQL's major version in the image. @default 17 */
  readonly postgresMajor?: number;
  /** Put before every name. @default none */
  readonly prefix?: string;
  /** Limits of each member. @default none */
  readonly limits?: Limits;
}

/** The port of Patroni's REST API inside the network. */
export const REST_PORT = 8008;
const DIRECTORY = "/etc/patroni";
const NAMESPACE = "/service";

/** A standby that is away for long keeps no more of the leader's disk than this, and is copied anew when it comes back later; without it, the log that waits for it would fill the disk. */
const SLOT_PARAMETERS: Parameters = { max_slot_wal_keep_size: "8GB" };

/** The path in etcd under which Patroni keeps a scope; with Citus, each group has a path of its own under it. */
export function patroniPath(scope: string): string {
  return `${NAMESPACE}/${scope}`;
}

/** The path of the script that a worker group's member runs when it is promoted, relative to the project. */
export const PROMOTED = "assets/patroni/promoted.sh";

/** Plans a Patroni group: members `<name>-1`, `<name>-2`, … over the etcd cluster at `etcdHosts`; `promoted` is the text of {@link PROMOTED}. */
export function planPatroni(name: string, etcdHosts: readonly string[], options: PatroniOptions = {}, promoted = ""): PatroniPlan {
  const { members = 3, prefix = "", scope = `${prefix}${name}`, citus } = options;
  if (members < 1) throw new Error(`PatroniGroup ${name}: members is ${members}; it must be at least 1`);
  const names = Array.from({ length: members }, (_, index) => `${prefix}${name}-${index + 1}`);
  const setup: PatroniSpec = {
    kind: "patroni",
    scope,
    ...(citus !== undefined && { citusGroup: citus.group }),
    members: names.map((member) => ({ host: member, port: POSTGRES_PORT, container: member })),
    dynamicConfiguration: dynamicConfiguration(),
    parameters: databaseParameters({
      ...(citus !== undefined && { citus }),
      ...(options.preloadLibraries !== undefined && { preloadLibraries: options.preloadLibraries }),
      overrides: [SLOT_PARAMETERS, options.parameters ?? {}],
    }),
    timeoutSeconds: 300,
  };
  return { name: `${prefix}${name}`, members: names.map((member) => planMember(member, scope, etcdHosts, promoted, setup, options)), setup };
}

/** Patroni's settings that live in etcd, where a failover keeps them; the PostgreSQL parameters come beside them. */
function dynamicConfiguration(): Record<string, unknown> {
  return {
    ttl: 20, // The lowest that Patroni takes.
    loop_wait: 1,
    retry_timeout: 3,
    // /sync decides who may lead. A bound on lag would keep standbys from it that have all that was acknowledged, while a bulk load is far ahead of them.
    maximum_lag_on_failover: 2 ** 50,
    // A crashed leader fails over instead of being restarted: a standby is ready sooner.
    primary_start_timeout: 0,
    // In seconds. A process that does not end, because it is frozen or waits for something that does not come, would keep a leader that hands over between the two for ever.
    primary_stop_timeout: 20,
    synchronous_mode: "quorum",
    synchronous_node_count: 1,
    // The leader goes on while etcd is away, as long as it reaches every member.
    failsafe_mode: true,
    postgresql: {
      use_pg_rewind: true,
      use_slots: true,
      pg_hba: ["local all all trust", "host replication replicator all scram-sha-256", "host all all all scram-sha-256"],
    },
  };
}

function planMember(name: string, scope: string, etcdHosts: readonly string[], promoted: string, setup: PatroniSpec, options: PatroniOptions): ContainerPlan {
  const { postgresMajor = 17, citus, fencer = true, limits = {} } = options;
  const coordinators = citus?.coordinators ?? [];
  const path = citus === undefined ? patroniPath(scope) : `${patroniPath(scope)}/${citus.group}`;
  const { mount, pgdata } = dataDirectory(postgresMajor);
  const patroni = {
    scope,
    namespace: NAMESPACE,
    name,
    restapi: { listen: `0.0.0.0:${REST_PORT}`, connect_address: `${name}:${REST_PORT}` },
    etcd3: { hosts: etcdHosts },
    ...(citus !== undefined && { citus: { database: "postgres", group: citus.group } }),
    postgresql: {
      listen: `0.0.0.0:${POSTGRES_PORT}`,
      connect_address: `${name}:${POSTGRES_PORT}`,
      // Patroni renames a data directory that it replaces, so it must not be the mount itself.
      data_dir: pgdata === mount ? `${mount}/pgdata` : pgdata,
      bin_dir: `/usr/lib/postgresql/${postgresMajor}/bin`,
      pgpass: "/tmp/pgpass",
      // Without it the first standby waits for a spread checkpoint, up to a minute.
      basebackup: [{ checkpoint: "fast" }],
      ...(coordinators.length > 0 && { callbacks: { on_role_change: `bash ${DIRECTORY}/promoted.sh ${citus?.group} ${name} ${coordinators.join(" ")} --` } }),
    },
  };
  const { postgresql, ...dcs } = setup.dynamicConfiguration;
  const bootstrap = {
    bootstrap: {
      dcs: { ...dcs, postgresql: { ...(postgresql as object), parameters: setup.parameters } },
      initdb: [{ encoding: "UTF8" }, { locale: "C.UTF-8" }, "data-checksums"],
    },
  };
  return {
    name,
    role: citus === undefined ? "member" : citus.group === 0 ? "coordinator" : "worker",
    held: true,
    ...(fencer && { fencer: { path, etcdHosts } }),
    entrypoint: ["patroni"],
    command: [DIRECTORY],
    user: "postgres",
    environment: {
      // patronictl then needs no options.
      PATRONICTL_CONFIG_FILE: `${DIRECTORY}/patroni.yml`,
      PATRONI_SUPERUSER_USERNAME: "postgres",
      PATRONI_REPLICATION_USERNAME: "replicator",
      PATRONI_REWIND_USERNAME: "rewinder",
    },
    files: [
      // Patroni reads every file of its directory that ends in .yml or .yaml.
      { path: `${DIRECTORY}/patroni.yml`, content: stringify(patroni, { lineWidth: 0 }) },
      ...(coordinators.length > 0 ? [{ path: `${DIRECTORY}/promoted.sh`, content: promoted }] : []),
      { path: `${DIRECTORY}/bootstrap.yml`, content: stringify(bootstrap), firstBoot: true },
    ],
    volume: { name: `${name}-data`, path: mount },
    ports: [],
    limits: { shm: "256 MB", ...limits },
    healthCheck: { command: ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"], intervalSeconds: 5, timeoutSeconds: 3, retries: 3, startPeriodSeconds: 60 },
    // SIGINT, the image's own, would end Patroni without a clean hand-over.
    stopSignal: "SIGTERM",
    stopGraceSeconds: 60,
  };
}
