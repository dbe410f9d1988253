import type { Strike } from "../chaos/faults/fault";
import { killStrike } from "../chaos/faults/killStrike";
import { isInService, isLeader, patroniCluster } from "../cli/patroniCluster";
import type { Victim } from "./victims";

/**
 * The kill of a victim, ready to happen: its containers, or of a Patroni group the one that leads now. They stay dead for `deadMs` and are started again.
 *
 * @throws Error if a group has no leader.
 */
export async function aim({ containers, group }: Victim, deadMs: number): Promise<Strike> {
  return killStrike(group === undefined ? containers : [await leaderOf(group.name, containers)], { leastMs: deadMs, mostMs: deadMs });
}

async function leaderOf(group: string, containers: readonly string[]): Promise<string> {
  const leader = (await patroniCluster(containers))?.find((member) => isLeader(member) && isInService(member));
  if (leader === undefined) throw new Error(`${group} has no leader to kill`);
  return leader.name;
}
