import { handOver, waitForMembers, type PatroniGroup } from "./patroniGroup";
import { isInService, isPending, type PatroniMember } from "./patroniRest";
import { SetupError } from "./setupError";

/** A restart of one member at most, in seconds. */
const RESTART_SECONDS = 120;
/** Twice: first standbys and a switchover; what a standby takes only after its leader did, in the second. */
const RESTART_ROUNDS = 2;

/** Parameters that the leader logs, for standbys to have at least as much: https://www.postgresql.org/docs/17/hot-standby.html#HOT-STANDBY-ADMIN */
const FOLLOWED = new Set(["max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction"]);

/** Restarts members that have a restart pending: standbys one by one, then the leader after it has handed over. */
export async function restartWherePending(group: PatroniGroup): Promise<void> {
  const lowered = (await waitForMembers(group)).every(isLowered);
  for (let round = lowered ? RESTART_ROUNDS : 1; round <= RESTART_ROUNDS; round += 1) {
    // In the second round the leader goes first: a standby cannot have less than its leader of what the leader logs.
    await rollingRestart(group, isPending, round > 1);
    if (!(await waitForMembers(group)).some(isPending)) return;
  }
  const pending = (await waitForMembers(group)).find(isPending);
  if (pending === undefined) return;
  const { name, pending_restart_reason = {} } = pending;
  throw new SetupError(`${name} still waits for a restart (${Object.keys(pending_restart_reason).join(", ")}). Restart it (docker exec ${name} patronictl restart ${group.spec.scope} ${name} --force) and run the update again`);
}

/**
 * Restarts PostgreSQL of the members that `isDue` says, each in service again before the next goes: standbys, then the
 * leader, which hands over to one of them, because PostgreSQL of a leader that hands over starts anew as a standby. With
 * `leaderFirst`, or without a standby, the leader restarts in its place.
 */
export async function rollingRestart(group: PatroniGroup, isDue: (member: PatroniMember) => boolean, leaderFirst = false): Promise<void> {
  const [leader, ...standbys] = await waitForMembers(group);
  if (leaderFirst) await restart(group, leader.name, isDue);
  for (const { name } of standbys) await restart(group, name, isDue);
  if (leaderFirst) return;
  const [current, ...followers] = await waitForMembers(group);
  if (current.name !== leader.name || !isDue(current)) return;
  if (followers.some(isInService)) await handOver(group, current, followers);
  else await restart(group, current.name, isDue);
}

async function restart(group: PatroniGroup, name: string, isDue: (member: PatroniMember) => boolean): Promise<void> {
  const member = (await waitForMembers(group)).find((candidate) => candidate.name === name);
  if (member === undefined || !isDue(member)) return;
  group.report.activity = `restarting ${name}`;
  await group.rest.restart(name, RESTART_SECONDS);
  group.report.did(name, `restarted${reasonFor(member)}`);
}

function reasonFor({ pending_restart_reason = {}, ...member }: PatroniMember): string {
  return isPending(member) ? ` for ${Object.keys(pending_restart_reason).join(", ") || "a changed parameter"}` : "";
}

/** Whether all that waits for a restart is less of what a standby must not have less of than its leader: then the leader has to go first. */
export function isLowered({ pending_restart_reason = {} }: PatroniMember): boolean {
  const changes = Object.entries(pending_restart_reason);
  return changes.length > 0 && changes.every(([name, { old_value, new_value }]) => FOLLOWED.has(name) && Number(new_value) < Number(old_value));
}
