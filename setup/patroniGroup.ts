import type { PatroniSpec } from "../topology/plan";
import type { Deadline } from "./deadline";
import { containerState } from "./docker";
import { isInService, isLeader, isSynchronous, type PatroniMember, type PatroniRest } from "./patroniRest";
import type { Report } from "./report";
import { SetupError } from "./setupError";

/** A live Patroni group that something is done to: what it should be, how it is reached, until when, and who is told. */
export interface PatroniGroup {
  readonly spec: Pick<PatroniSpec, "scope" | "members">;
  readonly rest: PatroniRest;
  readonly deadline: Deadline;
  readonly report: Report;
  /** Not set: nothing is done around a switchover. */
  readonly aroundSwitchover?: AroundSwitchover;
}

/** Makes a switchover happen, with something before and after it: a pooler can hold its clients' statements meanwhile. */
export type AroundSwitchover = (switchover: () => Promise<void>) => Promise<void>;

/** A switchover at most, in seconds. */
const SWITCHOVER_SECONDS = 120;
const FAILSAFE_POLL_MS = 500;

/** Waits until one member leads and all the others stream, and gives them, the leader first. */
export async function waitForMembers({ spec, rest, deadline, report }: PatroniGroup): Promise<[PatroniMember, ...PatroniMember[]]> {
  report.activity = `waiting for a leader and ${spec.members.length - 1} streaming standbys of ${spec.scope}`;
  let seen: readonly PatroniMember[] | undefined;
  return deadline.poll(
    async () => {
      seen = await rest.members();
      return seen && ready(seen, spec);
    },
    async () => {
      const late = spec.members.find(({ host }) => !isReady(seen?.find(({ name }) => name === host)));
      const { container = "", host = spec.scope } = late ?? {};
      const state = seen?.find(({ name }) => name === host);
      return `${host} did not become a ${state?.role === "leader" ? "running leader" : "leader or a streaming standby"} within ${deadline.seconds} s: ${await containerState(container)}, and Patroni says ${
        state === undefined ? "nothing of it" : `${state.role}, ${state.state}`
      }. Look at docker logs ${container}, then run the update again`;
    },
  );
}

/**
 * Waits until every member goes by etcd. Where etcd was away a moment ago, standbys still go by their leader's word, and one
 * that was handed the lead would not take it before that has run out, while nobody takes writes.
 */
export async function waitForEtcdsWord(rest: PatroniRest, deadline: Deadline, doing: (activity: string) => void): Promise<void> {
  let waits: readonly string[] = [];
  await deadline.poll(
    async () => {
      waits = await rest.inFailsafeMode();
      if (waits.length > 0) doing(`waiting until ${waits.join(" and ")} ${waits.length === 1 ? "goes" : "go"} by etcd again, which was away`);
      return waits.length === 0 ? true : undefined;
    },
    () => `${waits.join(" and ")} ${waits.length === 1 ? "goes" : "go"} by the leader's word and not by etcd after ${deadline.seconds} s, so nothing was handed over. Look whether every member of etcd runs, then try again`,
    FAILSAFE_POLL_MS,
  );
}

/** The members, the leader first, if the group is as planned; undefined if it is not yet. */
export function ready(members: readonly PatroniMember[], { members: planned }: Pick<PatroniSpec, "members">): [PatroniMember, ...PatroniMember[]] | undefined {
  const [leader, ...more] = members.filter(isLeader);
  const complete = planned.every(({ host }) => isReady(members.find(({ name }) => name === host)));
  if (leader === undefined || more.length > 0 || !complete || leader.state !== "running") return undefined;
  return [leader, ...members.filter((member) => member !== leader)];
}

/** Hands the lead to a planned standby, of those that stream a synchronous one first; gives its name. */
export async function handOver({ spec, rest, deadline, report, aroundSwitchover = (switchover) => switchover() }: PatroniGroup, leader: PatroniMember, standbys: readonly PatroniMember[]): Promise<string> {
  const candidates = standbys.filter((member) => isPlanned(spec, member) && isInService(member));
  const candidate = candidates.find(isSynchronous) ?? candidates[0];
  if (candidate === undefined) throw new SetupError(`${leader.name} has no streaming standby to hand the lead to. Wait until one streams (docker exec ${leader.name} patronictl list) and run the update again`);
  await waitForEtcdsWord(rest, deadline, (activity) => (report.activity = activity));
  report.activity = `handing the lead from ${leader.name} to ${candidate.name}`;
  await aroundSwitchover(() => rest.switchover(leader.name, candidate.name, SWITCHOVER_SECONDS));
  report.did(candidate.name, `leads now, after ${leader.name}`);
  return candidate.name;
}

/** Why members that would be stopped are not, while their groups are in maintenance mode; `resume` is the command that ends it. */
export function maintenanceRefusal(groups: readonly string[], members: readonly string[], resume: string): SetupError {
  return new SetupError(
    `${groups.join(", ")} ${groups.length === 1 ? "is" : "are"} in maintenance mode, in which Patroni starts no PostgreSQL: ${members.join(", ")} would not come back. End it (${resume}) and run the update again`,
  );
}

/** Whether a member belongs to the plan. */
export function isPlanned({ members }: Pick<PatroniSpec, "members">, { name }: Pick<PatroniMember, "name">): boolean {
  return members.some(({ host }) => host === name);
}

function isReady(member: PatroniMember | undefined): boolean {
  return member !== undefined && isInService(member);
}
