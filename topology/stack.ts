import { isFenced } from "../config/fenced";
import { isGuarded } from "../config/guarded";
import { areGroups, clusterPorts, keeperName, workerNames } from "../config/names";
import { postgresMajorOf } from "../config/image";
import type { ActiveActiveSettings, ActivePassiveSettings, Settings } from "../config/settings";
import { planCitus, reachable, type CitusOptions } from "./citus";
import { planEtcd, type EtcdOptions } from "./etcd";
import { INSIDE, planHAProxy, type HAProxyOptions, type HAProxyTasks } from "./haproxy";
import { planKeeper } from "./keeper";
import { patroniPath, planPatroni, PROMOTED, type PatroniOptions } from "./patroni";
import { FIRST_GROUP, type CitusClusterPlan, type StackPlan, type TenancySpec } from "./plan";
import { planPooler, POOLER_PAUSE, POOLER_START, type PoolerOptions } from "./pooler";

/** Files that a plan is made with: their text, by their path relative to the project. */
export type ReadFile = (path: string) => string;

/** The Lua tasks that HAProxy loads. */
export function haproxyTasks(read: ReadFile): HAProxyTasks {
  return { cutSessions: read("assets/haproxy/cut.lua"), followGuard: read("assets/haproxy/instep.lua") };
}

/** The Citus clusters of an active-active stack, by name: what the component and the plan are made from. */
export function activeActiveParts(settings: ActiveActiveSettings, read: ReadFile): { network: string; clusters: Record<string, CitusOptions> } {
  const ports = clusterPorts(settings.clusters);
  const clusters = Object.entries(settings.clusters).map(([name, { workers }]): [string, CitusOptions] => [
    name,
    { ...citusOptions(settings, read), workers, port: ports[name] as number, fence: isFenced(settings) },
  ]);
  return { network: `${settings.prefix}citus-active-active`, clusters: Object.fromEntries(clusters) };
}

/** How the clusters of a stack come to agree on which tenants are whose. */
export function planTenancy({ clusters: settings }: Pick<ActiveActiveSettings, "clusters">, clusters: readonly Pick<CitusClusterPlan, "name" | "setup">[]): TenancySpec {
  const members = clusters.map(({ name, setup }) => {
    const { weight = 1, region } = settings[name] ?? {};
    return { name, endpoint: setup.endpoint, weight, ...(region !== undefined && { region }) };
  });
  return { kind: "tenancy", clusters: members, timeoutSeconds: 120 };
}

/** The parts of an active-passive stack, each with its component's name. */
export interface ActivePassiveParts {
  readonly network: string;
  readonly etcd: { readonly name: string; readonly options: EtcdOptions };
  readonly coordinators: { readonly name: string; readonly options: PatroniOptions };
  /** Empty where workers are plain. */
  readonly workerGroups: readonly { readonly name: string; readonly options: PatroniOptions }[];
  readonly haproxy: { readonly name: string; readonly options: Omit<HAProxyOptions, "members"> };
  /** Absent unless the settings ask for it. */
  readonly pooler?: { readonly name: string; readonly options: PoolerOptions };
  readonly cluster: { readonly name: string; readonly options: CitusOptions };
}

/** The parts of an active-passive stack: what the components and the plan are made from. */
export function activePassiveParts(settings: ActivePassiveSettings, read: ReadFile): ActivePassiveParts {
  const { prefix, scope, bindAddress, shardCount, replicationFactor, fencer, limits, ports, pooler, standbyLag, workers } = settings;
  const shared = { scope, prefix, fencer, preloadLibraries: settings.preloadLibraries, postgresMajor: postgresMajor(settings) };
  const membersOf = (name: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${prefix}${name}-${index + 1}`);
  const groups = areGroups(workers) ? workerNames(workers.groups, "worker").map((name, index) => ({ name, group: FIRST_GROUP + index, count: workers.members })) : [];
  const plain = areGroups(workers) ? [] : workerNames(workers, "worker");
  return {
    network: `${prefix}citus-active-passive`,
    etcd: { name: "etcd", options: { members: settings.etcdMembers, prefix, limits: limits.etcd } },
    coordinators: {
      name: "coord",
      options: {
        ...shared,
        members: settings.coordinators,
        citus: { group: 0, shardCount, replicationFactor },
        parameters: { ...settings.parameters, ...settings.coordinatorParameters },
        limits: limits.coordinator,
      },
    },
    workerGroups: groups.map(({ name, group, count }) => ({
      name,
      options: {
        ...shared,
        members: count,
        citus: { group, shardCount, replicationFactor, coordinators: membersOf("coord", settings.coordinators) },
        parameters: { ...settings.parameters, ...settings.workerParameters },
        limits: limits.worker,
      },
    })),
    haproxy: {
      name: "haproxy",
      options: {
        workers: { plain: plain.map((name) => `${prefix}${name}`), guarded: isGuarded(settings), groups: groups.map(({ name, count }) => ({ name, members: membersOf(name, count) })) },
        standbyLag,
        leaderPort: ports.leader,
        standbysPort: ports.standbys,
        nodesPort: ports.nodes,
        statisticsPort: ports.statistics,
        bindAddress,
        prefix,
        limits: limits.haproxy,
      },
    },
    ...(pooler !== false && {
      pooler: {
        name: "pooler",
        options: { ...pooler, server: { host: `${prefix}haproxy`, port: INSIDE.leader }, port: ports.pooler, bindAddress, prefix, limits: limits.pooler },
      },
    }),
    cluster: {
      name: scope,
      options: {
        ...citusOptions(settings, read),
        workers: plain,
        workerGroups: groups.map(({ name, group, count }) => ({ name, group, members: membersOf(name, count) })),
        patroni: { path: patroniPath(scope), etcd: membersOf("etcd", settings.etcdMembers) },
        coordinator: { host: reachable(bindAddress), port: ports.leader, ...(plain.length > 0 && { members: membersOf("coord", settings.coordinators) }) },
      },
    },
  };
}

/** Plans a whole stack from its settings. `read` gives the text of a project file. */
export function planStack(settings: Settings, read: ReadFile): StackPlan {
  if (settings.topology === "active-active") {
    const { network, clusters } = activeActiveParts(settings, read);
    const plans = Object.entries(clusters).map(([name, options]) => planCitus(name, options));
    return { topology: settings.topology, network, clusters: plans, ...(isFenced(settings) && { tenancy: planTenancy(settings, plans) }), ...keeperOf(settings) };
  }
  const parts = activePassiveParts(settings, read);
  const etcd = planEtcd(parts.etcd.name, parts.etcd.options);
  const promoted = read(PROMOTED);
  const coordinators = planPatroni(parts.coordinators.name, etcd.hosts, parts.coordinators.options, promoted);
  const members = coordinators.members.map(({ name }) => name);
  return {
    topology: settings.topology,
    network: parts.network,
    etcd,
    coordinators,
    ...(parts.workerGroups.length > 0 && { workerGroups: parts.workerGroups.map(({ name, options }) => planPatroni(name, etcd.hosts, options, promoted)) }),
    haproxy: planHAProxy(parts.haproxy.name, { ...parts.haproxy.options, members }, haproxyTasks(read)),
    ...(parts.pooler !== undefined && { pooler: planPooler(parts.pooler.name, parts.pooler.options, { start: read(POOLER_START), pause: read(POOLER_PAUSE) }) }),
    clusters: [planCitus(parts.cluster.name, parts.cluster.options)],
    ...keeperOf(settings),
  };
}

function keeperOf(settings: Settings): Pick<StackPlan, "keeper"> {
  return settings.keeper ? { keeper: planKeeper(keeperName(settings.topology), settings) } : {};
}

function citusOptions(settings: Settings, read: ReadFile): CitusOptions {
  const { prefix, bindAddress, shardCount, replicationFactor, guard, guardPatience, parameters, coordinatorParameters, workerParameters, preloadLibraries, schema, limits } = settings;
  return {
    prefix,
    bindAddress,
    shardCount,
    replicationFactor,
    guard,
    guardPatience,
    parameters,
    coordinatorParameters,
    workerParameters,
    preloadLibraries,
    schema: { sql: read(schema.file), tables: schema.tables, ...(schema.rowSecurity && { rowSecurity: true }) },
    postgresMajor: postgresMajor(settings),
    limits: { coordinator: limits.coordinator, worker: limits.worker },
  };
}

/** The PostgreSQL major of a stack's database image; the settings' rules have made sure that one is known. */
function postgresMajor(settings: Settings): number {
  const major = settings.postgresMajor ?? postgresMajorOf(settings.images.citus);
  if (major === undefined) throw new Error(`postgresMajor is not set, and the tag of ${settings.images.citus} does not tell it`);
  return major;
}
