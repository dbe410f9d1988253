import type { TurnGroup } from "../../topology/plan";
import { Deadline } from "../deadline";
import { inspected } from "../docker";
import { handOver, maintenanceRefusal, type PatroniGroup } from "../patroniGroup";
import { isInService, isLeader, isRunningPrimary, isSynchronous, PatroniRest, type PatroniCluster, type PatroniState } from "../patroniRest";
import type { Report } from "../report";
import { BROKEN_SECONDS, DOWN_SECONDS, PATIENCE_SECONDS, type Group, type Verdict } from "./group";

/** A Patroni group as it is, with the member that is about to be replaced. */
export interface PatroniView {
  readonly member: string;
  /** The planned members that there are, in the order in which they are replaced. */
  readonly planned: readonly string[];
  /** Those of them whose containers run, and do not end again and again. */
  readonly running: ReadonlySet<string>;
  /** What Patroni tells of the group; undefined if no member answers, or etcd does not. */
  readonly cluster: PatroniCluster | undefined;
  /** What each planned member tells of itself; absent if it does not answer. */
  readonly states: ReadonlyMap<string, PatroniState>;
}

/** What there is to do: `handOver` to another member, in front of what every group may ask for. */
export type PatroniVerdict = Exclude<Verdict, { kind: "act" }> | { readonly kind: "handOver"; readonly to: string };

/**
 * Whether a member of a Patroni group may be replaced: every other one is in service, and would be waited for by a commit
 * or leads. So at most one member is away, and a leader that dies meanwhile is followed without a loss.
 */
export function judgePatroni({ member, planned, running, cluster, states }: PatroniView): PatroniVerdict {
  const others = planned.filter((name) => name !== member);
  const find = (name: string): PatroniCluster["members"][number] | undefined => cluster?.members.find((candidate) => candidate.name === name);
  const isUp = (name: string): boolean => states.get(name)?.state === "running" && isInService(find(name) ?? { role: "replica", state: "unknown" });
  if (others.length === 0) return { kind: "go" };
  const leader = cluster?.members.find((candidate) => isLeader(candidate) && isInService(candidate));
  const wait = (name: string, because: string): PatroniVerdict => ({ kind: "wait", member: name, because, limitSeconds: PATIENCE_SECONDS });
  const failsafe = planned.find((name) => states.get(name)?.failsafe_mode_is_active === true);
  const waitForEtcd = (name: string): PatroniVerdict => wait(name, "goes by its leader's word, because etcd was away");
  if (leader === undefined) {
    // Without etcd Patroni tells nothing of a group, which may serve all the same.
    const primary = planned.find((name) => isRunningPrimary(states.get(name) ?? { role: "uninitialized", state: "unknown" }));
    if (primary !== undefined) return wait(primary, "leads, but etcd does not tell of its group");
    if (failsafe !== undefined) return waitForEtcd(failsafe);
    const silent = states.size > 0 ? undefined : planned.find((name) => running.has(name));
    if (silent !== undefined) return wait(silent, "does not answer, nor does another of its group (stop those that never will, with docker stop, and they are replaced)");
    return { kind: "repair", because: "nobody leads its group", afterSeconds: DOWN_SECONDS };
  }
  if (!isUp(member)) return { kind: "repair", because: "it is not in service", afterSeconds: BROKEN_SECONDS };
  for (const name of others) {
    const entry = find(name);
    if (!isUp(name)) return wait(name, `is not in service (Patroni says ${entry === undefined ? "nothing of it" : `${entry.role}, ${entry.state}`})`);
    if (entry !== undefined && !isLeader(entry) && !isSynchronous(entry)) return wait(name, "follows, but commits do not wait for it yet");
  }
  if (failsafe !== undefined) return waitForEtcd(failsafe);
  if (leader.name !== member) return { kind: "go" };
  // One that has been replaced already, so that no second hand-over follows; before the first, the one that is last.
  const [first, last] = [planned[0], planned.at(-1)];
  return { kind: "handOver", to: (member === first ? last : first) as string };
}

/** What Docker is asked of a container, and {@link isRunning} judges. */
const RUN = "{{.State.Status}} {{.RestartCount}} {{.State.StartedAt}}";

/** Whether a container runs: one that Docker has started anew, because it had ended, only once it has run for as long as a group has to be down. */
export function isRunning(run: string, now: number): boolean {
  const [status, restarts, startedAt = ""] = run.split(" ");
  return status === "running" && (restarts === "0" || now - Date.parse(startedAt) > DOWN_SECONDS * 1000);
}

/** A live Patroni group, of which `member` is about to be replaced. */
export function patroniGroup(member: string, { scope, members }: Extract<TurnGroup, { kind: "patroni" }>, report: Report): Group {
  const view = async (): Promise<PatroniView> => {
    const containers = await Promise.all(members.map(async ({ container }) => ({ name: container, state: await inspected("container", RUN, [container]) })));
    const there = containers.filter(({ state }) => state !== "");
    const planned = there.map(({ name }) => name);
    const running = new Set(there.flatMap(({ name, state }) => (isRunning(state, Date.now()) ? [name] : [])));
    const rest = new PatroniRest(planned);
    const [cluster, ...states] = await Promise.all([rest.cluster(), ...planned.map((container) => rest.state(container))]);
    const known = planned.flatMap((name, index): [string, PatroniState][] => (states[index] === undefined ? [] : [[name, states[index]]]));
    return { member, planned, running, cluster, states: new Map(known) };
  };
  return {
    async look() {
      const seen = await view();
      if (seen.cluster?.pause === true) throw maintenanceRefusal([scope], [member], `docker exec ${member} patronictl resume`);
      const verdict = judgePatroni(seen);
      if (verdict.kind !== "handOver") return verdict;
      const { to } = verdict;
      const standbys = seen.cluster?.members.filter(({ name }) => name === to) ?? [];
      const leader = seen.cluster?.members.find(isLeader);
      const group: PatroniGroup = { spec: { scope, members }, rest: new PatroniRest(seen.planned), deadline: new Deadline(PATIENCE_SECONDS), report };
      return {
        kind: "act",
        doing: `handing the lead from ${member} to ${to}`,
        act: async () => {
          if (leader !== undefined) await handOver(group, leader, standbys);
        },
      };
    },
  };
}
