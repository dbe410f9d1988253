import { PatroniRest, type PatroniMember } from "../setup/patroniRest";

export { isInService, isLeader, type PatroniMember } from "../setup/patroniRest";

const SWITCHOVER_SECONDS = 60;

/** The members of a Patroni group, asked of the first container that answers; undefined if none does. */
export function patroniCluster(containers: readonly string[]): Promise<readonly PatroniMember[] | undefined> {
  return new PatroniRest(containers).members();
}

/** Hands the leadership over to a standby, in order. False if Patroni refuses: then a restart hands it over. */
export async function switchOver(leader: string, candidate: string): Promise<boolean> {
  return new PatroniRest([leader]).switchover(leader, candidate, SWITCHOVER_SECONDS).then(
    () => true,
    () => false,
  );
}
