import type { Duration } from "../config/duration";
import { clusterWorkerNames, workerPorts } from "../config/names";
import type { Limits } from "../config/settings";
import { dataDirectory } from "./dataDirectory";
import { DOOR_PORT } from "./door";
import { planGuard } from "./guard";
import { alterSystem, databaseParameters, type Parameters } from "./parameters";
import { POSTGRES_PORT, type CitusClusterPlan, type ContainerPlan, type Endpoint, type NodeAddress, type PortPlan, type Role } from "./plan";

/** What decides a Citus cluster's plan. */
export interface CitusOptions {
  /** Plain workers: a count, named `worker_<name>1`, …, or their names. @default 3, or none with `workerGroups` */
  readonly workers?: number | readonly string[];
  /** Workers that are Patroni groups over the coordinator's etcd and scope, each with its Citus group and its members. @default none */
  readonly workerGroups?: readonly { readonly name: string; readonly group: number; readonly members: readonly string[] }[];
  /**
   * Where this machine reaches the coordinator, if something else provides it, such as a Patroni group with
   * `citus: { group: 0 }` behind HAProxy. @default the cluster has a coordinator of its own, `coord_<name>`
   */
  readonly coordinator?: Pick<Endpoint, "host" | "port"> & {
    /** The containers of which one is the coordinator: each gets a guard. @default none, and there is no guard */
    readonly members?: readonly string[];
  };
  /** Where worker groups are: the path of Patroni's groups in etcd, and etcd's containers. @default none */
  readonly patroni?: { readonly path: string; readonly etcd: readonly string[] };
  /** Port of the cluster's own coordinator on this machine; workers follow on the ports after it. @default no port is published, and the set-up needs one */
  readonly port?: number;
  /** Address that the ports bind. @default 127.0.0.1 */
  readonly bindAddress?: string;
  /** Shards of a distributed table. @default 32 */
  readonly shardCount?: number;
  /** Placements of each shard. @default 1 */
  readonly replicationFactor?: number;
  /** Whether a guard beside the coordinator takes dead workers out of service and brings them back, where shards have several placements. @default true */
  readonly guard?: boolean;
  /** How long the guard waits for a worker that answers that it recovers from a crash, before it takes it out of service. @default 30 s */
  readonly guardPatience?: Duration;
  /** PostgreSQL and Citus parameters of all nodes. @default none beside the product's */
  readonly parameters?: Parameters;
  /** Parameters of the cluster's own coordinator, winning over `parameters`. @default none */
  readonly coordinatorParameters?: Parameters;
  /** Parameters of workers, winning over `parameters`. @default none */
  readonly workerParameters?: Parameters;
  /** Libraries to preload beside the product's. @default none */
  readonly preloadLibraries?: readonly string[];
  /** SQL that creates the tables, idempotent, the tables to distribute with their columns, and whether a role that is no superuser sees rows of one tenant alone. @default no tables */
  readonly schema?: { readonly sql: string; readonly tables: Readonly<Record<string, string>>; readonly rowSecurity?: boolean };
  /** Whether writes of tenants whose home is another cluster are refused, which needs a ring: see `TenancySpec`. @default false */
  readonly fence?: boolean;
  /** PostgreSQL's major version in the image. @default 17 */
  readonly postgresMajor?: number;
  /** Put before every name. @default none */
  readonly prefix?: string;
  /** Limits of the coordinator and of each worker. @default none */
  readonly limits?: { readonly coordinator?: Limits; readonly worker?: Limits };
}

/** Plans a Citus cluster: its own coordinator unless something else provides one, workers, and their set-up. */
export function planCitus(name: string, options: CitusOptions = {}): CitusClusterPlan {
  const { workerGroups = [], workers = workerGroups.length > 0 ? [] : 3, shardCount = 32, replicationFactor = 1, prefix = "", bindAddress = "127.0.0.1", port } = options;
  const { parameters = {}, coordinatorParameters = {}, workerParameters = {}, preloadLibraries = [], limits = {} } = options;
  const own = options.coordinator === undefined;
  const { host, port: outside } = options.coordinator ?? { host: reachable(bindAddress), port };
  const endpoint = outside === undefined ? undefined : { host, port: outside };
  if (endpoint === undefined) {
    throw new Error(`CitusCluster ${name}: port is not set; the set-up reaches the coordinator through a published port, for example 5432`);
  }
  const workerNames = clusterWorkerNames(name, workers);
  const nodes = workerNames.length + workerGroups.length;
  if (replicationFactor > nodes) throw new Error(`CitusCluster ${name}: replicationFactor is ${replicationFactor}, but there are ${nodes} workers; use at most as many`);
  const citus = { shardCount, replicationFactor };
  const ofCoordinator = databaseParameters({ citus, preloadLibraries, overrides: [parameters, coordinatorParameters] });
  const ofWorkers = databaseParameters({ citus, preloadLibraries, overrides: [parameters, workerParameters] });
  const postgresMajor = options.postgresMajor ?? 17;
  const workerPublished = port === undefined ? [] : workerPorts(workerNames, port);
  const publish = (external: number | undefined, internal = POSTGRES_PORT): PortPlan[] => (external === undefined ? [] : [{ internal, external, ip: bindAddress }]);

  const coordinator = own ? planNode(`${prefix}coord_${name}`, "coordinator", ofCoordinator, publish(port), limits.coordinator, postgresMajor) : undefined;
  const guards = options.guard === false || replicationFactor === 1 ? [] : guardPlans(options.guardPatience ?? "30 s", name, prefix, coordinator?.name, options.coordinator?.members);
  const workerPlans = workerNames.map((worker, index): ContainerPlan => {
    const external = workerPublished[index];
    const door = external !== undefined && coordinator !== undefined && guards.length > 0 ? { coordinator: coordinator.name } : undefined;
    return {
      ...planNode(`${prefix}${worker}`, "worker", ofWorkers, publish(external, door === undefined ? POSTGRES_PORT : DOOR_PORT), limits.worker, postgresMajor),
      ...(door && { door }),
    };
  });
  return {
    name,
    ...(coordinator !== undefined && { coordinator }),
    workers: workerPlans,
    guards,
    setup: {
      kind: "citus",
      cluster: `${prefix}${name}`,
      endpoint: { ...endpoint, user: "postgres", database: "postgres" },
      ...(coordinator !== undefined && { coordinator: address(coordinator) }),
      workers: workerPlans.map(address),
      workerGroups: workerGroups.map(({ members, ...group }) => ({ ...group, members: members.map((member) => address({ name: member })) })),
      ...(options.patroni !== undefined && { patroni: options.patroni }),
      ...citus,
      coordinatorParameters: own ? ofCoordinator : {},
      workerParameters: ofWorkers,
      extensions: ["pg_stat_statements"],
      schema: options.schema ?? { sql: "", tables: {} },
      ...(options.fence === true && { fence: true }),
      timeoutSeconds: 600,
    },
  };
}

/** The address of this machine that reaches a port bound to `bindAddress`. */
export function reachable(bindAddress: string): string {
  if (bindAddress === "0.0.0.0") return "127.0.0.1";
  return bindAddress === "::" ? "::1" : bindAddress;
}

/** A cluster with a coordinator of its own has one guard, one with a group of them has a guard for each. */
function guardPlans(patience: Duration, name: string, prefix: string, own: string | undefined, members: readonly string[] = []): ContainerPlan[] {
  if (own !== undefined) return [planGuard(`${prefix}guard_${name}`, own, patience)];
  return members.map((member, index) => planGuard(`${prefix}guard-${index + 1}`, member, patience));
}

function address({ name }: Pick<ContainerPlan, "name">): NodeAddress {
  return { host: name, port: POSTGRES_PORT, container: name };
}

function planNode(name: string, role: Role, parameters: Parameters, ports: readonly PortPlan[], limits: Limits | undefined, postgresMajor: number): ContainerPlan {
  const { mount, pgdata } = dataDirectory(postgresMajor);
  const statements = Object.entries(parameters).map(([parameter, value]) => `${alterSystem(parameter, value)};\n`);
  return {
    name,
    role,
    held: true,
    environment: { PGDATA: pgdata },
    // The image's entrypoint runs it once, in a fresh data directory, before it creates the extension.
    files: [{ path: "/docker-entrypoint-initdb.d/000-parameters.sql", content: statements.join(""), firstBoot: true }],
    volume: { name: `${name}-data`, path: mount },
    ports,
    limits: { shm: "256 MB", ...limits },
    // Over TCP: the server that the entrypoint runs while it initialises listens on the socket only.
    healthCheck: { command: ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"], intervalSeconds: 5, timeoutSeconds: 3, retries: 3, startPeriodSeconds: 60 },
    stopSignal: "SIGINT",
    stopGraceSeconds: 60,
  };
}
