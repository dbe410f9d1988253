import { isInService, isLeader, patroniCluster, type PatroniMember } from "../../cli/patroniCluster";
import { holderName, patroniGroups, type ContainerPlan, type PatroniPlan, type StackPlan } from "../../topology/plan";
import { shardsOn } from "../tables";
import { guards, type ClusterTarget } from "../target";
import type { Scene, Skipped, TargetRole } from "./fault";

/** The node that a fault hits. */
export interface Victim {
  readonly container: ContainerPlan;
  /** The container that owns its address: its holder, or itself. */
  readonly addressed: string;
  /** Its Patroni group, and how that stands; absent for a single node. */
  readonly group?: { readonly plan: PatroniPlan; readonly members: readonly PatroniMember[] };
  /** Names of the shards whose writes may stop with it. Absent: all. */
  readonly shards?: readonly string[];
}

/** A node that could be hit, before anybody asked how it stands. */
interface Candidate {
  readonly containers: readonly ContainerPlan[];
  readonly group?: PatroniPlan;
  readonly cluster?: ClusterTarget;
}

/** Whether a stack has what a role means. */
export function hasRole(plan: StackPlan, clusters: readonly ClusterTarget[], role: TargetRole): boolean {
  return role === "stack" || candidates(plan, clusters, role).length > 0;
}

/** Chooses a node of a role. */
export async function chooseVictim({ target, shards, random }: Scene, role: TargetRole): Promise<Victim | Skipped> {
  const candidate = random.pick(candidates(target.plan, target.clusters, role));
  if (candidate === undefined) return { skipped: `${target.stack} has no ${role}` };
  const { containers, group, cluster } = candidate;
  const members = group === undefined ? undefined : await patroniCluster(containers.map(({ name }) => name));
  if (group !== undefined && members === undefined) return { skipped: `no member of ${group.name} answers` };
  const fitting = members === undefined ? containers : containers.filter(({ name }) => members.some((member) => member.name === name && fits(member, role)));
  const container = random.pick(fitting);
  if (container === undefined) return { skipped: `${group?.name ?? target.stack} has no ${role} in service` };
  return {
    container,
    addressed: container.held ? holderName(container.name) : container.name,
    ...(group !== undefined && members !== undefined && { group: { plan: group, members } }),
    ...(cluster !== undefined && { shards: role === "coordinator" ? shards.filter((shard) => shard.cluster === cluster).map(({ name }) => name) : await shardsOn(shards, cluster, container.name) }),
  };
}

function fits(member: PatroniMember, role: TargetRole): boolean {
  if (!isInService(member)) return false;
  return isLeader(member) === (role === "coordinator" || role === "worker" || role === "fencer");
}

function candidates(plan: StackPlan, clusters: readonly ClusterTarget[], role: TargetRole): Candidate[] {
  const [only] = clusters;
  const groupOf = (group: PatroniPlan, cluster?: ClusterTarget): Candidate => ({ containers: group.members, group, ...(cluster !== undefined && { cluster }) });
  const single = (container: ContainerPlan, cluster?: ClusterTarget): Candidate => ({ containers: [container], ...(cluster !== undefined && { cluster }) });
  switch (role) {
    case "coordinator":
      if (plan.coordinators !== undefined) return [groupOf(plan.coordinators)];
      return clusters.flatMap((cluster) => (cluster.plan.coordinator === undefined ? [] : [single(cluster.plan.coordinator, cluster)]));
    case "worker":
      return [...(plan.workerGroups ?? []).map((group) => groupOf(group, only)), ...clusters.flatMap((cluster) => cluster.plan.workers.map((container) => single(container, cluster)))];
    case "standby":
      return plan.coordinators === undefined || plan.coordinators.members.length < 2 ? [] : [groupOf(plan.coordinators)];
    case "worker-standby":
      return (plan.workerGroups ?? []).filter(({ members }) => members.length > 1).map((group) => groupOf(group));
    case "etcd":
      return (plan.etcd?.members ?? []).map((container) => single(container));
    case "haproxy":
      return plan.haproxy === undefined ? [] : [single(plan.haproxy)];
    case "fencer":
      return patroniGroups(plan).filter(({ members }) => members.every((member) => member.fencer !== undefined)).map((group) => groupOf(group));
    case "guard":
      return guards(plan).map((container) => single(container));
    case "stack":
      return [];
  }
}
