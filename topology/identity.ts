import { postgresMajorOf } from "../config/image";
import type { PasswordKey, Settings, Topology } from "../config/settings";
import { containersOf, type Role } from "./plan";
import { planStack } from "./stack";

/** A volume that a stack keeps data in. */
export interface DataVolume {
  readonly name: string;
  /** The container that it belongs to. */
  readonly container: string;
  readonly role: Role;
  /** The Citus cluster of active-active that it belongs to. */
  readonly cluster?: string;
}

/** What decides which data a stack has: a change of it over existing data would begin anew beside that data, or on top of it. */
export interface StackIdentity {
  readonly topology: Topology;
  readonly prefix: string;
  /** Patroni's name of the cluster in etcd; active-passive only. */
  readonly scope?: string;
  /** The clusters of active-active; empty in active-passive. */
  readonly clusters: readonly string[];
  readonly postgresMajor: number;
  /** The passwords that the user gave; the others are generated. */
  readonly passwords: readonly PasswordKey[];
  readonly volumes: readonly DataVolume[];
}

/** What the program reads that looks after a stack's identity, before anything is touched. */
export interface IdentitySpec {
  /** The stack's name in Pulumi, for the commands that a sentence advises. */
  readonly stack: string;
  readonly identity: StackIdentity;
  /** The containers whose address a holder has. */
  readonly held: readonly string[];
  /** Whether the clusters refuse writes of each other's tenants, so that a cluster may be drained. */
  readonly fence: boolean;
}

/** The environment variables in which {@link IdentitySpec}'s program gets passwords, each by its key. */
export const PASSWORD_VARIABLES: Readonly<Record<PasswordKey, string>> = {
  superuserPassword: "CITUS_SUPERUSER_PASSWORD",
  replicationPassword: "CITUS_REPLICATION_PASSWORD",
  rewindPassword: "CITUS_REWIND_PASSWORD",
};

/** The identity of a stack with these settings, and these passwords given. */
export function identityOf(settings: Settings, passwords: readonly PasswordKey[]): StackIdentity {
  // Names are all that is taken from the plan, and no file decides one.
  const plan = planStack(settings, () => "");
  const { topology, prefix } = settings;
  const cluster = new Map(plan.clusters.flatMap(({ name, coordinator, workers }) => [...(coordinator === undefined ? [] : [coordinator]), ...workers].map((node) => [node.name, name] as const)));
  return {
    topology,
    prefix,
    ...(settings.topology === "active-passive" && { scope: settings.scope }),
    clusters: settings.topology === "active-active" ? Object.keys(settings.clusters) : [],
    postgresMajor: settings.postgresMajor ?? postgresMajorOf(settings.images.citus) ?? 0,
    passwords: [...passwords].sort(),
    volumes: containersOf(plan).flatMap(({ name, role, volume }) => {
      const of = settings.topology === "active-active" ? cluster.get(name) : undefined;
      return volume === undefined ? [] : [{ name: volume.name, container: name, role, ...(of !== undefined && { cluster: of }) }];
    }),
  };
}

/** The containers of a stack with these settings whose address a holder has. */
export function heldContainers(settings: Settings): string[] {
  return containersOf(planStack(settings, () => "")).flatMap(({ name, held }) => (held ? [name] : []));
}

/** Whether a volume holds a database, and not etcd's log. */
export function isDatabase({ role }: DataVolume): boolean {
  return role !== "etcd";
}
