import { PatroniRest, type PatroniCluster } from "../../setup/patroniRest";
import { requireDocker } from "../docker";
import { Failure } from "../failure";
import { inspectContainers } from "../live";
import { listed } from "../print";
import type { Group, HighlyAvailable } from "./groups";

/** A group as Patroni has it now. */
export interface LiveGroup extends Group {
  readonly rest: PatroniRest;
  readonly cluster: PatroniCluster;
}

/**
 * What Patroni says of groups, asked of those of their members that run; undefined for a group in which none answers.
 *
 * @throws {@link Failure} if the stack is not up.
 */
export async function askGroups({ name }: Pick<HighlyAvailable, "name">, groups: readonly Group[]): Promise<{ group: Group; live: LiveGroup | undefined }[]> {
  await requireDocker();
  const containers = await inspectContainers(groups.flatMap(({ members }) => members));
  if (containers.length === 0) throw new Failure(`${name} is not up: npm run up -- ${name}`);
  const statuses = new Map(containers.map((container) => [container.name, container.status]));
  return Promise.all(
    groups.map(async (group) => {
      const rest = new PatroniRest(group.members.filter((member) => statuses.get(member) === "running"));
      const cluster = await rest.cluster();
      return { group, live: cluster && { ...group, rest, cluster: withContainers(cluster, group, statuses) } };
    }),
  );
}

/** A group in which members whose containers do not run have that for their state: Patroni believes in them until their lease expires. */
export function withContainers(cluster: PatroniCluster, { members: planned }: Pick<Group, "members">, statuses: ReadonlyMap<string, string>): PatroniCluster {
  const members = cluster.members.map((member) => {
    const status = planned.includes(member.name) ? (statuses.get(member.name) ?? "missing") : "running";
    return status === "running" ? member : { ...member, state: `container ${status}` };
  });
  return { ...cluster, members };
}

/** Like {@link askGroups}, of groups that are needed. */
export async function requireGroups(stack: Pick<HighlyAvailable, "name">, groups: readonly Group[]): Promise<LiveGroup[]> {
  return (await askGroups(stack, groups)).map(({ group, live }) => {
    if (live !== undefined) return live;
    throw new Failure(`No member of ${group.name} answers: ${listed(group.members)}. npm run restart -- ${stack.name} brings them back.`);
  });
}

/** Like {@link requireGroups}, of one group. */
export async function requireGroup(stack: Pick<HighlyAvailable, "name">, group: Group): Promise<LiveGroup> {
  const [live] = await requireGroups(stack, [group]);
  return live as LiveGroup;
}
