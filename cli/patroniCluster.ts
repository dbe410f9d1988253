import { REST_PORT } from "../topology/patroni";
import { docker } from "./docker";

/** A member of a Patroni group as the group sees it. */
export interface PatroniMember {
  readonly name: string;
  /** `leader`, `sync_standby`, `quorum_standby`, `replica`, … */
  readonly role: string;
  /** `running` for a leader, `streaming` for a standby that follows; else what it is busy with. */
  readonly state: string;
  /** How far it is behind the leader, in bytes; a text if Patroni does not know. */
  readonly lag?: number | string;
}

const ASK_TIMEOUT_MS = 5000;

/** The members of a Patroni group, asked of the first container that answers; undefined if none does. */
export async function patroniCluster(containers: readonly string[]): Promise<PatroniMember[] | undefined> {
  for (const container of containers) {
    const { code, stdout } = await docker(["exec", container, "curl", "--silent", "--max-time", "3", `http://127.0.0.1:${REST_PORT}/cluster`], ASK_TIMEOUT_MS);
    if (code !== 0) continue;
    const { members } = JSON.parse(stdout) as { members?: PatroniMember[] };
    if (members !== undefined && members.length > 0) return members;
  }
  return undefined;
}

/** Whether a member leads, or follows the leader. */
export function isInService({ role, state }: PatroniMember): boolean {
  return isLeader({ role }) ? state === "running" : state === "streaming";
}

export function isLeader({ role }: Pick<PatroniMember, "role">): boolean {
  return role === "leader" || role === "master";
}

/** Hands the leadership over to a standby, in order. False if Patroni refuses: then a restart hands it over. */
export async function switchOver(leader: string, candidate: string): Promise<boolean> {
  const body = JSON.stringify({ leader, candidate });
  const ask = ["exec", leader, "curl", "--silent", "--fail", "--max-time", "60", "--request", "POST", "--data", body, `http://127.0.0.1:${REST_PORT}/switchover`];
  return (await docker(ask, 65_000)).code === 0;
}
