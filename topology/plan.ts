import type { Limits } from "../config/settings";

/*
 * The vocabulary of plans: plain data that says what will exist, before anything does. Components turn it into
 * resources, set-up programs reconcile live clusters to it, the command line reads it.
 */

/** What a container is for. */
export type Role = "coordinator" | "worker" | "member" | "etcd" | "haproxy" | "pooler" | "guard" | "keeper";

/** The port that PostgreSQL listens on in every database member. */
export const POSTGRES_PORT = 5432;

/** A port that a container publishes on the machine. */
export interface PortPlan {
  /** The port inside the container. */
  readonly internal: number;
  /** The port on the machine. */
  readonly external: number;
  /** The address on the machine. */
  readonly ip: string;
}

/** A file that is put into a container before it starts. */
export interface FilePlan {
  /** Absolute path in the container. */
  readonly path: string;
  readonly content: string;
  /**
   * The file is read only while a data directory is being created; from then on the set-up keeps the live settings.
   * A change of such a file leaves the container alone.
   */
  readonly firstBoot?: boolean;
  /** The set-up puts a change of the file into the running container, and has it read. A change of it leaves the container alone. */
  readonly live?: boolean;
}

/** A check that Docker runs inside a container. */
export interface HealthCheckPlan {
  readonly command: readonly string[];
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly retries: number;
  readonly startPeriodSeconds: number;
}

/** What a holder needs to know to fence its member. */
export interface FencerPlan {
  /** The path of the member's group in etcd: `/service/citusap/0`. */
  readonly path: string;
  /** Host and client port of each etcd member. */
  readonly etcdHosts: readonly string[];
}

/** What a holder needs to know to be the door of its member. */
export interface DoorPlan {
  /** The cluster's own coordinator: the guard beside it is asked. */
  readonly coordinator: string;
}

/** One container as it should be. */
export interface ContainerPlan {
  /** The container's name, its host name and its alias on the network. */
  readonly name: string;
  readonly role: Role;
  /** What others connect to gets a holder, which owns its address and its PID namespace. */
  readonly held: boolean;
  /** Its holder fences it: revokes its lease once nothing of it can run any more. Only for members of a Patroni group. */
  readonly fencer?: FencerPlan;
  /** Its holder lets clients in from outside the network only while a guard says that it is in step. Only for plain workers that publish a port. */
  readonly door?: DoorPlan;
  /** A database member whose holder's network namespace the container shares, by its name; not set: it has an address of its own. */
  readonly joins?: string;
  /**
   * The path of Docker's socket on the engine's machine, for a container that may use Docker, and so is root there. It has nothing else: no
   * network, no capability, and no file system that it could write to but `/run`.
   */
  readonly dockerSocket?: string;
  /** Linux capabilities beside Docker's own, such as `CAP_NET_ADMIN`. */
  readonly capabilities?: readonly string[];
  /** Not set: the image's own. */
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly user?: string;
  /** Without secrets: those are added by the component that knows them. */
  readonly environment: Readonly<Record<string, string>>;
  readonly files: readonly FilePlan[];
  /** The volume that keeps the container's data, and where it is mounted. */
  readonly volume?: { readonly name: string; readonly path: string };
  readonly ports: readonly PortPlan[];
  readonly limits: Limits;
  readonly healthCheck: HealthCheckPlan;
  /** The signal that ends the container gracefully. */
  readonly stopSignal: "SIGINT" | "SIGTERM" | "SIGUSR1";
  /** How long a graceful stop may take, in seconds, before Docker kills the container. */
  readonly stopGraceSeconds: number;
}

/** A database member as the set-up reaches it: by its address on the network, and by its container for a restart. */
export interface NodeAddress {
  /** Host name on the network. */
  readonly host: string;
  readonly port: number;
  /** The container of the member (not of its holder). */
  readonly container: string;
}

/**
 * The Citus group of the first worker that is a Patroni group. Citus numbers plain workers from 1: with numbers of their
 * own, workers of both kinds stand side by side while shards move from one kind to the other.
 */
export const FIRST_GROUP = 101;

/** A worker that is a Patroni group. */
export interface WorkerGroup {
  readonly name: string;
  /** The number that Citus and Patroni know it by, from {@link FIRST_GROUP}. */
  readonly group: number;
  readonly members: readonly NodeAddress[];
}

/** Where this machine reaches PostgreSQL. The password comes in `PGPASSWORD`, never in a plan. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** What the set-up of a Patroni group brings about. */
export interface PatroniSpec {
  readonly kind: "patroni";
  /** Patroni's scope, the name of the group in messages. */
  readonly scope: string;
  /** The Citus group, where the members belong to one. Patroni's tools then ask for it. */
  readonly citusGroup?: number;
  readonly members: readonly NodeAddress[];
  /** Patroni's dynamic configuration, without the PostgreSQL parameters. */
  readonly dynamicConfiguration: Readonly<Record<string, unknown>>;
  /** All PostgreSQL parameters of the dynamic configuration; one that is not here is taken out. */
  readonly parameters: Readonly<Record<string, string>>;
  /** How long the whole set-up may take. */
  readonly timeoutSeconds: number;
}

/** What the set-up of a Citus cluster brings about. */
export interface CitusSpec {
  readonly kind: "citus";
  /** The cluster's name in messages. */
  readonly cluster: string;
  /** The coordinator as this machine reaches it. */
  readonly endpoint: Endpoint;
  /**
   * The coordinator's own container. Absent where a Patroni group is the coordinator: Patroni then registers it,
   * creates the extension and keeps its parameters.
   */
  readonly coordinator?: NodeAddress;
  /** Plain workers, which the set-up registers. */
  readonly workers: readonly NodeAddress[];
  /** Workers that are Patroni groups: Patroni registers the leader of each, and keeps its parameters. */
  readonly workerGroups: readonly WorkerGroup[];
  /** Where a Patroni group is the coordinator: the path of Patroni's groups in etcd, and etcd's containers. */
  readonly patroni?: { readonly path: string; readonly etcd: readonly string[] };
  readonly shardCount: number;
  readonly replicationFactor: number;
  /** Parameters of the coordinator; one that is set live and not here is reset. Empty where Patroni is the coordinator. */
  readonly coordinatorParameters: Readonly<Record<string, string>>;
  /** Parameters of each worker; one that is set live and not here is reset. */
  readonly workerParameters: Readonly<Record<string, string>>;
  readonly extensions: readonly string[];
  readonly schema: {
    /** Idempotent SQL that creates the tables. */
    readonly sql: string;
    /** Tables to distribute, colocated, each with its distribution column. */
    readonly tables: Readonly<Record<string, string>>;
    /** Who is no superuser sees and writes the rows of one tenant alone. Not set: false. */
    readonly rowSecurity?: boolean;
  };
  /** Writes of tenants whose home is another cluster are refused. Not set: there is no other. */
  readonly fence?: boolean;
  readonly timeoutSeconds: number;
}

/** A cluster that shares tenants with others. */
export interface TenancyMember {
  readonly name: string;
  readonly endpoint: Endpoint;
  /** Its share of the tenants. */
  readonly weight: number;
  /** Where it is; not set: nobody said. */
  readonly region?: string;
}

/** What the set-up across the clusters of a stack brings about: they agree on which tenants are whose. */
export interface TenancySpec {
  readonly kind: "tenancy";
  readonly clusters: readonly TenancyMember[];
  readonly timeoutSeconds: number;
}

/** What the set-up of an etcd cluster brings about: every member of the plan is a healthy member, and no other. */
export interface EtcdSpec {
  readonly kind: "etcd";
  /** The cluster's name in messages. */
  readonly cluster: string;
  readonly members: readonly EtcdMember[];
  readonly timeoutSeconds: number;
}

/** One member of an etcd cluster. */
export interface EtcdMember {
  /** The member's name in etcd, its container's name and its host name on the network. */
  readonly name: string;
  /** How the other members reach it. */
  readonly peerUrl: string;
  /** etcd's configuration; the set-up adds the data directory and the members to begin with. */
  readonly configuration: Readonly<Record<string, string | boolean>>;
}

/** What the set-up of an HAProxy brings about: the process that takes connections has this configuration. */
export interface HAProxySpec {
  readonly kind: "haproxy";
  readonly container: string;
  /** The configuration and what it loads, all in one folder. */
  readonly files: readonly FilePlan[];
  /** What the process answers on the statistics' port for the path `/configuration` once it has read them. */
  readonly digest: string;
  readonly timeoutSeconds: number;
}

/** The containers of which one at a time may be away, and how it is known that the others are whole. */
export type TurnGroup =
  | { readonly kind: "patroni"; readonly scope: string; readonly members: readonly NodeAddress[] }
  | { readonly kind: "etcd"; readonly cluster: string; readonly members: readonly EtcdMember[] }
  | {
      /** Nodes of a Citus cluster that are in no Patroni group. */
      readonly kind: "citus";
      readonly cluster: string;
      /** The containers of which one is the coordinator; empty where it is not known. */
      readonly coordinators: readonly string[];
      readonly workers: readonly NodeAddress[];
      /** The containers of the guards, which bring back a worker that is taken out of service; empty where shards have no copies, or no guard is wanted. */
      readonly guards: readonly string[];
    }
  /** Containers that need each other in nothing: each has to be healthy, as Docker sees it. */
  | { readonly kind: "containers"; readonly containers: readonly string[] };

/** What is waited for, and done, before one container of a group is replaced. */
export interface TurnSpec {
  readonly kind: "turn";
  /** The container that is about to be replaced. */
  readonly container: string;
  readonly group: TurnGroup;
  /** How long all of it may take. */
  readonly timeoutSeconds: number;
}

/** What a set-up program reads on its standard input. */
export type SetupSpec = EtcdSpec | PatroniSpec | CitusSpec | TenancySpec | HAProxySpec | TurnSpec;

/** One Citus cluster of a stack. */
export interface CitusClusterPlan {
  readonly name: string;
  /** The coordinator's own container; absent where a Patroni group is the coordinator. */
  readonly coordinator?: ContainerPlan;
  readonly workers: readonly ContainerPlan[];
  /** One beside each container that is or may become the coordinator; empty where the shards have one placement, or no guard is wanted. */
  readonly guards: readonly ContainerPlan[];
  readonly setup: CitusSpec;
}

/** A Patroni group. */
export interface PatroniPlan {
  /** The group's name: `coord`, `worker1`. Its members are `coord-1`, `coord-2`, … */
  readonly name: string;
  readonly members: readonly ContainerPlan[];
  readonly setup: PatroniSpec;
}

/** An HAProxy. */
export interface HAProxyPlan extends ContainerPlan {
  readonly setup: HAProxySpec;
}

/** An etcd cluster. */
export interface EtcdPlan {
  readonly members: readonly ContainerPlan[];
  /** Host and client port of each member. */
  readonly hosts: readonly string[];
  readonly setup: EtcdSpec;
}

/** A whole stack. */
export interface StackPlan {
  readonly topology: "active-active" | "active-passive";
  /** The Docker network's name. */
  readonly network: string;
  readonly clusters: readonly CitusClusterPlan[];
  /** How the clusters share the tenants; absent where there is one cluster for all, or no fence. */
  readonly tenancy?: TenancySpec;
  /** Absent in active-active. */
  readonly etcd?: EtcdPlan;
  /** Absent in active-active. */
  readonly coordinators?: PatroniPlan;
  /** The worker groups that are Patroni groups; absent where workers are plain. */
  readonly workerGroups?: readonly PatroniPlan[];
  /** Absent in active-active. */
  readonly haproxy?: HAProxyPlan;
  /** Absent in active-active, and unless the settings ask for it. */
  readonly pooler?: ContainerPlan;
  /** Absent where nobody wants it. */
  readonly keeper?: ContainerPlan;
}

/** Every container of a stack that runs a program of its own (holders are left out). */
export function containersOf(plan: StackPlan): ContainerPlan[] {
  return [
    ...(plan.etcd?.members ?? []),
    ...patroniGroups(plan).flatMap(({ members }) => members),
    ...plan.clusters.flatMap(({ coordinator, workers, guards }) => [...(coordinator === undefined ? [] : [coordinator]), ...workers, ...guards]),
    ...(plan.haproxy === undefined ? [] : [plan.haproxy]),
    ...(plan.pooler === undefined ? [] : [plan.pooler]),
    ...(plan.keeper === undefined ? [] : [plan.keeper]),
  ];
}

/** The Patroni groups of a stack, the coordinators' first. */
export function patroniGroups({ coordinators, workerGroups = [] }: Pick<StackPlan, "coordinators" | "workerGroups">): PatroniPlan[] {
  return [...(coordinators === undefined ? [] : [coordinators]), ...workerGroups];
}

/** The container that holds a database member's address and PID namespace. */
export function holderName(member: string): string {
  return `${member}-holder`;
}

/** The label that carries a container's stack, `organization/project/stack` as Pulumi names it. */
export const STACK_LABEL = "io.citus-sharding.stack";

/** A variable of the program's environment, "true" where nothing of the stack exists yet: then nothing is replaced, and everything may be made at once. */
export const FIRST_UPDATE = "CITUS_FIRST_UPDATE";

/** The label that carries a digest of what a container and its holder are made of, secrets left out. */
export const MADE_OF_LABEL = "io.citus-sharding.made-of";

/** The label that carries what a container is for: a {@link Role} or `holder`. */
export const ROLE_LABEL = "io.citus-sharding.role";
