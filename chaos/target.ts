import { containersOf, type CitusClusterPlan, type ContainerPlan, type StackPlan } from "../topology/plan";

/** A stack as the harness works on it. */
export interface Target {
  readonly stack: string;
  readonly plan: StackPlan;
  readonly clusters: readonly ClusterTarget[];
  /** Whether Docker runs on this machine, so that its processes can be ended from outside. */
  readonly local: boolean;
}

/** One Citus cluster of it, and where its clients connect. The URIs hold the password. */
export interface ClusterTarget {
  readonly name: string;
  readonly plan: CitusClusterPlan;
  readonly uri: string;
  /** Whether it is a Patroni group without Citus. @default false */
  readonly plain?: boolean;
  /** Reads from standbys; absent where there are none. */
  readonly standbysUri?: string;
}

/**
 * The clusters of a stack that clients can reach.
 *
 * @param uris where each cluster's coordinator is.
 * @param standbysUri where reads from standbys go, if there are any.
 */
export function clusterTargets({ clusters }: StackPlan, uris: readonly { readonly cluster: string; readonly uri: string }[], standbysUri?: string): ClusterTarget[] {
  return uris.flatMap(({ cluster, uri }) => {
    const plan = clusters.find(({ name }) => name === cluster);
    return plan === undefined ? [] : [{ name: cluster, plan, uri, ...(standbysUri !== undefined && { standbysUri }) }];
  });
}

/** How many workers a cluster has: a group counts as one. */
export function workerCount({ workerGroups = [] }: StackPlan, cluster: CitusClusterPlan): number {
  return cluster.workers.length + workerGroups.length;
}

/** The containers of a stack that guard its workers, if it has some. */
export function guards(plan: StackPlan): readonly ContainerPlan[] {
  return containersOf(plan).filter(({ role }) => role === "guard");
}
