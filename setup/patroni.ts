import { isDeepStrictEqual } from "node:util";
import { alterSystem, type Parameters } from "../topology/parameters";
import type { PatroniSpec } from "../topology/plan";
import type { Deadline } from "./deadline";
import { containerState, docker } from "./docker";
import { PatroniRest, type PatroniMember } from "./patroniRest";
import type { Report } from "./report";
import { SetupError } from "./setupError";

/** A restart of one member, or a switchover, at most. */
const RESTART_SECONDS = 120;
/** Twice: first standbys and a switchover; what a standby takes only after its leader did, in the second. */
const RESTART_ROUNDS = 2;

/** Parameters that the leader logs, for standbys to have at least as much: https://www.postgresql.org/docs/17/hot-standby.html#HOT-STANDBY-ADMIN */
const FOLLOWED = new Set(["max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction"]);

/** Brings a live Patroni group to its plan: a leader, every standby streaming, the dynamic configuration, no restart pending. */
export async function reconcilePatroni(spec: PatroniSpec, deadline: Deadline, report: Report): Promise<void> {
  const rest = new PatroniRest(spec);
  await waitForMembers(spec, rest, deadline, report);
  await leadFromThePlan(spec, rest, deadline, report);
  await reconcileConfiguration(spec, rest, deadline, report);
  await restartWherePending(spec, rest, deadline, report);
  const [leader, ...standbys] = await waitForMembers(spec, rest, deadline, report);
  report.found(spec.scope, `${leader.name} leads${standbys.length === 0 ? "" : `, ${standbys.map(({ name }) => name).join(" and ")} follow`}`);
}

/** Waits until one member leads and all the others stream, and gives them, the leader first. */
async function waitForMembers(spec: PatroniSpec, rest: PatroniRest, deadline: Deadline, report: Report): Promise<[PatroniMember, ...PatroniMember[]]> {
  report.activity = `waiting for a leader and ${spec.members.length - 1} streaming standbys of ${spec.scope}`;
  let seen: PatroniMember[] | undefined;
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

/** The members, the leader first, if the group is as planned; undefined if it is not yet. */
export function ready(members: readonly PatroniMember[], { members: planned }: Pick<PatroniSpec, "members">): [PatroniMember, ...PatroniMember[]] | undefined {
  const [leader, ...more] = members.filter(({ role }) => role === "leader");
  const complete = planned.every(({ host }) => isReady(members.find(({ name }) => name === host)));
  if (leader === undefined || more.length > 0 || !complete || leader.state !== "running") return undefined;
  return [leader, ...members.filter((member) => member !== leader)];
}

function isReady(member: PatroniMember | undefined): boolean {
  return member !== undefined && member.state === (member.role === "leader" ? "running" : "streaming");
}

/** Hands the lead over from a member that the plan has no more, before its container goes. */
async function leadFromThePlan(spec: PatroniSpec, rest: PatroniRest, deadline: Deadline, report: Report): Promise<void> {
  const [leader, ...standbys] = await waitForMembers(spec, rest, deadline, report);
  if (isPlanned(spec, leader)) return;
  await switchover(spec, rest, leader, standbys, report);
  await waitForMembers(spec, rest, deadline, report);
}

async function switchover(spec: PatroniSpec, rest: PatroniRest, leader: PatroniMember, standbys: readonly PatroniMember[], report: Report): Promise<void> {
  const candidates = standbys.filter((member) => isPlanned(spec, member) && isReady(member));
  const candidate = candidates.find(({ role }) => role !== "replica") ?? candidates[0];
  if (candidate === undefined) throw new SetupError(`${leader.name} has no streaming standby to hand the lead to. Wait until one streams (docker exec ${leader.name} patronictl list) and run the update again`);
  report.activity = `handing the lead from ${leader.name} to ${candidate.name}`;
  await rest.switchover(leader.name, candidate.name, RESTART_SECONDS);
  report.did(candidate.name, `leads now, after ${leader.name}`);
}

function isPlanned({ members }: PatroniSpec, { name }: PatroniMember): boolean {
  return members.some(({ host }) => host === name);
}

/** Brings the dynamic configuration to the plan, and waits until every member has read it. */
async function reconcileConfiguration(spec: PatroniSpec, rest: PatroniRest, deadline: Deadline, report: Report): Promise<void> {
  const [leader] = await waitForMembers(spec, rest, deadline, report);
  const live = await rest.configuration(leader.name);
  const patch = configurationPatch(live, spec);
  if (Object.keys(patch).length === 0) return;
  const changed = (patch["postgresql"] as { parameters?: Record<string, string | null> } | undefined)?.parameters ?? {};
  await validate(leader.name, changed);
  report.activity = `changing the dynamic configuration of ${spec.scope}`;
  const patchedAt = Math.floor(Date.now() / 1000);
  await rest.patchConfiguration(leader.name, patch);
  for (const [name, value] of Object.entries(changed)) report.did(spec.scope, value === null ? `${name} taken out` : `${name} = ${value}`);
  const others = Object.keys(patch).filter((key) => key !== "postgresql" || Object.keys(patch[key] as object).some((inner) => inner !== "parameters"));
  if (others.length > 0) report.did(spec.scope, `${others.join(", ")} changed in the dynamic configuration`);
  // A member applies at the end of the round in which it read; two later rounds have begun by then.
  for (const { container } of spec.members) {
    await deadline.poll(
      async () => ((await rest.lastSeen(container)) > patchedAt + 1 ? true : undefined),
      () => `${container} did not read the changed configuration within ${deadline.seconds} s. Look at docker logs ${container}, then run the update again`,
    );
  }
}

/** What has to be merged into a dynamic configuration so that it is as planned. Other keys are someone else's, except parameters: those are all the plan's. */
export function configurationPatch(live: Readonly<Record<string, unknown>>, { dynamicConfiguration, parameters }: Pick<PatroniSpec, "dynamicConfiguration" | "parameters">): Record<string, unknown> {
  const { postgresql: plannedPostgresql = {}, ...planned } = dynamicConfiguration as Record<string, unknown> & { postgresql?: Record<string, unknown> };
  const { parameters: liveParameters = {}, ...livePostgresql } = (live["postgresql"] ?? {}) as Record<string, unknown> & { parameters?: Record<string, unknown> };
  const differing = (from: Readonly<Record<string, unknown>>, to: Readonly<Record<string, unknown>>): [string, unknown][] =>
    Object.entries(to).filter(([key, value]) => !isDeepStrictEqual(from[key], value));
  const texts = Object.fromEntries(Object.entries(liveParameters).map(([name, value]) => [name, String(value as string | number | boolean)]));
  const changed = [...differing(texts, parameters), ...Object.keys(texts).filter((name) => !(name in parameters)).map((name) => [name, null])] as [string, unknown][];
  const postgresql = [...differing(livePostgresql, plannedPostgresql), ...(changed.length > 0 ? [["parameters", Object.fromEntries(changed)] as const] : [])];
  return Object.fromEntries([...differing(live, planned), ...(postgresql.length > 0 ? [["postgresql", Object.fromEntries(postgresql)] as const] : [])]);
}

/**
 * Has PostgreSQL check parameters before Patroni gets them: Patroni takes any, and PostgreSQL would keep the old value
 * with no more than a line in its log. ALTER SYSTEM checks; what it wrote is taken back before any reload.
 */
async function validate(leader: string, changed: Readonly<Record<string, string | null>>): Promise<void> {
  const set = Object.fromEntries(Object.entries(changed).filter((entry): entry is [string, string] => entry[1] !== null)) satisfies Parameters;
  for (const [name, value] of Object.entries(set)) {
    const reset = `ALTER SYSTEM RESET ${name.split(".").map((part) => `"${part}"`).join(".")}`;
    const { code, stderr } = await docker(["exec", "--interactive", leader, "psql", "-U", "postgres", "-q", "-v", "ON_ERROR_STOP=1"], `${alterSystem(name, value)};\n${reset};\n`);
    if (code !== 0) throw new SetupError(`${leader} refuses ${name} = ${value}: ${stderr.replace(/^.*ERROR:\s+/s, "").replace(/\s+/g, " ").replace(/\.$/, "")}. Nothing was changed; mend the parameter and run the update again`);
  }
}

/** Restarts members that have a restart pending: standbys one by one, then the leader after it has handed over. */
async function restartWherePending(spec: PatroniSpec, rest: PatroniRest, deadline: Deadline, report: Report): Promise<void> {
  const lowered = (await waitForMembers(spec, rest, deadline, report)).every(isLowered);
  for (let round = lowered ? RESTART_ROUNDS : 1; round <= RESTART_ROUNDS; round += 1) {
    const members = await waitForMembers(spec, rest, deadline, report);
    if (!members.some(isPending)) return;
    const [leader, ...standbys] = members;
    // In the second round the leader goes first: a standby cannot have less than its leader of what the leader logs.
    if (round === 1) for (const standby of standbys) await restart(spec, rest, standby, deadline, report);
    const [, ...now] = await waitForMembers(spec, rest, deadline, report);
    if (round === 1 && isPending(leader) && now.some(isReady)) {
      await switchover(spec, rest, leader, now, report);
    } else {
      await restart(spec, rest, leader, deadline, report);
    }
    await waitForMembers(spec, rest, deadline, report);
    if (round > 1) for (const standby of standbys) await restart(spec, rest, standby, deadline, report);
  }
  const pending = (await waitForMembers(spec, rest, deadline, report)).find(isPending);
  if (pending !== undefined) {
    throw new SetupError(`${pending.name} still waits for a restart (${Object.keys(pending.pending_restart_reason ?? {}).join(", ")}). Restart it (docker exec ${pending.name} patronictl restart ${spec.scope} ${pending.name} --force) and run the update again`);
  }
}

async function restart(spec: PatroniSpec, rest: PatroniRest, { name }: PatroniMember, deadline: Deadline, report: Report): Promise<void> {
  const member = (await waitForMembers(spec, rest, deadline, report)).find((candidate) => candidate.name === name);
  if (member === undefined || !isPending(member)) return;
  report.activity = `restarting ${name}`;
  await rest.restart(name, RESTART_SECONDS);
  report.did(name, `restarted for ${Object.keys(member.pending_restart_reason ?? {}).join(", ") || "a changed parameter"}`);
}

function isPending({ pending_restart }: PatroniMember): boolean {
  return pending_restart === true;
}

/** Whether all that waits for a restart is less of what a standby must not have less of than its leader: then the leader has to go first. */
export function isLowered({ pending_restart_reason = {} }: PatroniMember): boolean {
  const changes = Object.entries(pending_restart_reason);
  return changes.length > 0 && changes.every(([name, { old_value, new_value }]) => FOLLOWED.has(name) && Number(new_value) < Number(old_value));
}
