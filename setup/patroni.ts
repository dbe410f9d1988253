import { isDeepStrictEqual } from "node:util";
import { escapeLiteral } from "pg";
import { LOGIN_TRIGGERS_SINCE } from "../config/safety";
import { CREATE_LOGIN_TRIGGER, IS_LOGIN_TRIGGER_IN_PLACE } from "../topology/loginTrigger";
import { alterSystem, type Parameters } from "../topology/parameters";
import type { PatroniSpec } from "../topology/plan";
import type { Deadline } from "./deadline";
import { docker, EXEC_TIMEOUT_MS, type DockerResult } from "./docker";
import { handOver, isPlanned, waitForMembers, type PatroniGroup } from "./patroniGroup";
import { restartWherePending } from "./patroniRestart";
import { PatroniRest } from "./patroniRest";
import type { Report } from "./report";
import { SetupError } from "./setupError";

/** Brings a live Patroni group to its plan: a leader, every standby streaming, the dynamic configuration, no restart pending. */
export async function reconcilePatroni(spec: PatroniSpec, deadline: Deadline, report: Report): Promise<void> {
  const group = { spec, rest: new PatroniRest(spec.members.map(({ container }) => container)), deadline, report };
  await waitForMembers(group);
  await leadFromThePlan(group);
  await reconcileConfiguration(group);
  await restartWherePending(group);
  if (spec.citusGroup !== undefined) await refuseCitusInRecovery(group);
  const [leader, ...standbys] = await waitForMembers(group);
  report.found(spec.scope, `${leader.name} leads${standbys.length === 0 ? "" : `, ${standbys.map(({ name }) => name).join(" and ")} follow`}`);
}

/** Hands the lead over from a member that the plan has no more, before its container goes. */
async function leadFromThePlan(group: PatroniGroup): Promise<void> {
  const [leader, ...standbys] = await waitForMembers(group);
  if (isPlanned(group.spec, leader)) return;
  await handOver(group, leader, standbys);
  await waitForMembers(group);
}

/** Brings the dynamic configuration to the plan, and waits until every member has read it. */
async function reconcileConfiguration(group: PatroniGroup & { readonly spec: PatroniSpec }): Promise<void> {
  const { spec, rest, deadline, report } = group;
  const [leader] = await waitForMembers(group);
  const live = await rest.configuration(leader.name);
  const patch = configurationPatch(live, spec);
  if (Object.keys(patch).length === 0) return;
  const changed = (patch["postgresql"] as { parameters?: Record<string, string | null> } | undefined)?.parameters ?? {};
  await validate(leader.name, changed, report);
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
 * with no more than a line in its log. ALTER SYSTEM checks; before any reload it is as it was, also where somebody else has set the same parameter by it.
 */
async function validate(leader: string, changed: Readonly<Record<string, string | null>>, report: Report): Promise<void> {
  const set = Object.fromEntries(Object.entries(changed).filter((entry): entry is [string, string] => entry[1] !== null)) satisfies Parameters;
  for (const [name, value] of Object.entries(set)) {
    const own = await ofAlterSystem(leader, name);
    const restore = own === undefined ? `ALTER SYSTEM RESET ${name.split(".").map((part) => `"${part}"`).join(".")}` : alterSystem(name, own);
    const { code, stderr } = await psql(leader, `${alterSystem(name, value)};\n${restore};\n`);
    if (code !== 0) throw new SetupError(`${leader} refuses ${name} = ${value}: ${stderr.replace(/^.*ERROR:\s+/s, "").replace(/\s+/g, " ").replace(/\.$/, "")}. Nothing was changed; mend the parameter and run the update again`);
    if (own !== undefined) report.found(leader, `has ${name} = ${own} by ALTER SYSTEM, which wins over ${value} there: ALTER SYSTEM RESET ${name} ends that`);
  }
}

/** What somebody has set by ALTER SYSTEM; undefined if nobody has. */
async function ofAlterSystem(leader: string, name: string): Promise<string | undefined> {
  const { code, stdout, stderr } = await psql(leader, `SELECT '=' || setting FROM pg_file_settings WHERE lower(name) = lower(${escapeLiteral(name)}) AND sourcefile = current_setting('data_directory') || '/postgresql.auto.conf' ORDER BY seqno DESC LIMIT 1;\n`);
  if (code !== 0) throw new SetupError(`${leader} does not answer: ${stderr}. Run the update again`);
  return stdout.startsWith("=") ? stdout.slice(1) : undefined;
}

/** Keeps Citus from members in recovery, on every member of the group: what its leader has, its standbys have. */
async function refuseCitusInRecovery(group: PatroniGroup): Promise<void> {
  const { report, spec } = group;
  const [{ name: leader }] = await waitForMembers(group);
  report.activity = `keeping Citus from members of ${spec.scope} that are in recovery`;
  const { code, stdout, stderr } = await psql(leader, `SELECT current_setting('server_version_num')::int / 10000;\n${IS_LOGIN_TRIGGER_IN_PLACE};\n`);
  if (code !== 0) throw new SetupError(`${leader} does not answer: ${stderr}. Run the update again`);
  const [major, isInPlace] = stdout.split("\n");
  if (Number(major) < LOGIN_TRIGGERS_SINCE) {
    report.found(spec.scope, `PostgreSQL ${major} cannot keep Citus from a member in recovery: when all members end at once, half of a transaction over several shards may be lost. PostgreSQL ${LOGIN_TRIGGERS_SINCE} can`);
    return;
  }
  if (isInPlace === "t") return;
  const created = await psql(leader, CREATE_LOGIN_TRIGGER);
  if (created.code !== 0) throw new SetupError(`${leader} could not be told to keep Citus from members in recovery: ${created.stderr}. Mend that and run the update again`);
  report.did(leader, "refuses Citus while it is in recovery, and so do its standbys");
}

function psql(container: string, sql: string): Promise<DockerResult> {
  return docker(["exec", "--interactive", container, "psql", "-U", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1"], sql, EXEC_TIMEOUT_MS);
}
