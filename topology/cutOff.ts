import { holderName } from "./plan";

/** What has to be known of a container to tell whether it is cut off. */
export interface Housed {
  readonly id: string;
  readonly name: string;
  /** `running`, `exited`, … as Docker says it. */
  readonly status: string;
  readonly startedAt: Date;
  /** The id of the container whose network namespace it shares; absent if it has its own. */
  readonly host?: string;
}

/**
 * Members, and their guards, whose holder was restarted alone: they run on in a network namespace that nothing leads to any more. Only a
 * restart of the member helps; Docker and Pulumi do not notice.
 */
export function cutOffMembers<Container extends Housed>(containers: readonly Container[]): Container[] {
  const holders = new Map(containers.flatMap((container): [string, Container][] => [[container.name, container], [container.id, container]]));
  return containers.filter((member) => {
    const holder = holders.get(member.host ?? holderName(member.name));
    return holder?.status === "running" && member.status === "running" && member.startedAt < holder.startedAt;
  });
}
