import { toMilliseconds } from "./duration";
import { lossyParameters } from "./durability";
import { isGuarded } from "./guarded";
import { membersOf } from "./names";
import type { Danger } from "./safety";
import type { ActiveActiveSettings, ActivePassiveSettings, Settings } from "./settings";

/** How long writes wait at most when something happens, as far as it is known. */
export interface Bound {
  /** What happens. */
  readonly fault: string;
  /** The longest time between two acknowledged writes of a shard, in seconds. */
  readonly seconds: number;
}

/**
 * What is known of this product's write gaps: the 95th percentile of what docs/availability.md measured, rounded up, on one
 * machine of two processors; the group of two and the lease come from single runs. A slower or busier machine takes longer, so
 * an objective needs a margin.
 */
export const BOUNDS = {
  coordinatorKill: { fault: "a killed coordinator", seconds: 0.9 },
  coordinatorSwitchover: { fault: "a switchover of the coordinators", seconds: 1.3 },
  coordinatorFreeze: { fault: "a frozen coordinator", seconds: 1.7 },
  workerKill: { fault: "a killed member of a worker group", seconds: 1 },
  workerSwitchover: { fault: "a switchover of a worker group", seconds: 1.5 },
  workerCrash: { fault: "a crash of PostgreSQL in a worker group", seconds: 1.8 },
  workerFreeze: { fault: "a frozen member of a worker group", seconds: 2.1 },
  /** The new leader of a group of two waits about 2 s for the old one, which was its only synchronous standby. */
  workerOfTwo: { fault: "a killed member of a worker group of two", seconds: 3.8 },
  guardedWorker: { fault: "a dead or frozen worker that the guard takes out", seconds: 1.7 },
  lease: { fault: "a killed leader whose lease has to expire", seconds: 22 },
} as const satisfies Readonly<Record<string, Bound>>;

/** Fewer members leave nobody to take over without a wait after the first failure. */
const ENOUGH_MEMBERS = 3;

/** What in the settings cannot meet the objectives that they set: the objective, and which key would have to be otherwise. */
export function objectiveProblems(settings: Settings): Danger[] {
  const { rto, rpo } = settings.objectives;
  const unmet = rto === undefined ? [] : unmetInTime(settings, toMilliseconds(rto) / 1000).map((reason) => ({ key: "objectives.rto", consequence: `${rto} cannot be met: ${reason}` }));
  const lossy = rpo === undefined ? [] : lossyChoices(settings).map((reason) => ({ key: "objectives.rpo", consequence: `${rpo} cannot be met: ${reason}` }));
  return [...unmet, ...lossy];
}

/** Why writes can wait for longer than `seconds`. */
function unmetInTime(settings: Settings, seconds: number): string[] {
  const own = settings.topology === "active-passive" ? unmetByMembers(settings, seconds) : unmetByClusters(settings);
  return [...own, ...unmetByWorkers(settings, seconds), ...unmetByBounds(settings, seconds)];
}

function unmetByMembers({ coordinators, etcdMembers, fencer }: ActivePassiveSettings, seconds: number): string[] {
  return [
    ...(coordinators === 1 ? [`coordinators is 1, so a dead coordinator costs writes until it is back. Set coordinators to ${ENOUGH_MEMBERS}.`] : []),
    ...(coordinators === 2 ? [`coordinators is 2, so after the first failure nobody can take over from the one that is left. Set coordinators to ${ENOUGH_MEMBERS}.`] : []),
    ...(etcdMembers === 1 ? ["etcdMembers is 1, and without that one no standby takes over. Set etcdMembers to 3."] : []),
    ...(!fencer && seconds < BOUNDS.lease.seconds ? [`fencer is false, so the lease of a killed leader has to expire, which takes up to ${BOUNDS.lease.seconds} s. Set fencer to true.`] : []),
  ];
}

function unmetByClusters({ clusters }: ActiveActiveSettings): string[] {
  const names = Object.keys(clusters);
  const whose = names.length === 1 ? `the coordinator of ${names.join("")} has no standby` : `the coordinators of ${names.join(", ")} have no standbys`;
  return [`in active-active ${whose}, so a dead one costs its cluster's writes until it is back. Use topology active-passive, or leave objectives.rto out.`];
}

function unmetByWorkers(settings: Settings, seconds: number): string[] {
  const { replicationFactor } = settings;
  const members = groupMembers(settings);
  const groups = settings.topology === "active-passive" ? `workers to {"members": ${ENOUGH_MEMBERS}}, or ` : "";
  if (members >= ENOUGH_MEMBERS) return [];
  if (members === 2) {
    return seconds < BOUNDS.workerOfTwo.seconds ? [`workers.members is 2, so writes wait about 2 s for the old leader when a group fails over, ${BOUNDS.workerOfTwo.seconds} s in all. Set workers.members to ${ENOUGH_MEMBERS}.`] : [];
  }
  if (replicationFactor === 1) {
    return [`workers are plain and replicationFactor is 1, so a dead worker costs the writes of its shards until it is back. Set ${groups}replicationFactor to 2 and guard to true.`];
  }
  return isGuarded(settings) ? [] : [`replicationFactor is ${replicationFactor} without the guard, so a write to a shard with a dead placement fails until the worker is back. Set ${groups}guard to true.`];
}

/** Faults that are known to take longer than `seconds` even with what the settings have against them. */
function unmetByBounds(settings: Settings, seconds: number): string[] {
  const { coordinatorKill, coordinatorSwitchover, coordinatorFreeze, workerKill, workerSwitchover, workerCrash, workerFreeze, guardedWorker } = BOUNDS;
  const hasStandbys = settings.topology === "active-passive" && settings.coordinators > 1;
  const bounds: readonly Bound[] = [
    ...(hasStandbys ? [coordinatorKill, coordinatorSwitchover, coordinatorFreeze] : []),
    ...(groupMembers(settings) >= ENOUGH_MEMBERS ? [workerKill, workerSwitchover, workerCrash, workerFreeze] : []),
    ...(groupMembers(settings) === 1 && isGuarded(settings) ? [guardedWorker] : []),
  ];
  const longer = bounds.filter((bound) => bound.seconds > seconds);
  if (longer.length === 0) return [];
  const most = Math.max(...longer.map((bound) => bound.seconds));
  return [`writes were seen to wait longer for ${longer.map((bound) => `${bound.fault} (${bound.seconds} s)`).join(", ")}. Set objectives.rto to more than ${most} s.`];
}

/** Why a write that was acknowledged can be lost. */
function lossyChoices(settings: Settings): string[] {
  return [
    ...lossyParameters(settings).map(({ key, value }) => `${key} is ${value}, so writes are acknowledged before they are safe. Remove it.`),
    ...(settings.topology === "active-passive" && settings.coordinators === 2
      ? [`coordinators is 2, so after the first failure no standby has what is acknowledged, and a second one can lose it. Set coordinators to ${ENOUGH_MEMBERS}.`]
      : []),
    ...(groupMembers(settings) === 2 ? [`workers.members is 2, so after the first failure no standby has what is acknowledged, and a second one can lose it. Set workers.members to ${ENOUGH_MEMBERS}.`] : []),
  ];
}

/** Members of each worker; active-active has plain workers only. */
function groupMembers(settings: Settings): number {
  return settings.topology === "active-passive" ? membersOf(settings) : 1;
}
