import { DIRECTORY } from "../topology/etcd";
import type { EtcdMember, EtcdSpec } from "../topology/plan";
import { Deadline } from "./deadline";
import { containerState, docker } from "./docker";
import { applyConfiguration, readConfiguration, type EtcdConfiguration } from "./etcdConfiguration";
import { EtcdMembership, isHealthy, type MemberEntry } from "./etcdMembership";
import type { Report } from "./report";
import { SetupError } from "./setupError";

/** Where some members have lost their data, the others are given this long to find a majority. */
const MAJORITY_PATIENCE_SECONDS = 30;
/** The data directory of a member that was there when the cluster began. */
const FIRST_DATA = `${DIRECTORY}/data`;

/**
 * Brings an etcd cluster to its plan: every member of the plan is a healthy voting member, and no other is.
 *
 * A member whose volume holds no configuration is new, or has lost its data. If all are, the cluster begins; otherwise
 * each is added to the living cluster, under a new identity and one after the other.
 */
export async function reconcileEtcd(spec: EtcdSpec, deadline: Deadline, report: Report): Promise<void> {
  const { members } = spec;
  await startContainers(members, report);
  const configurations = new Map<string, EtcdConfiguration>();
  await Promise.all(members.map(async (member) => {
    const configuration = await readConfiguration(member);
    if (configuration !== undefined) configurations.set(member.name, configuration);
  }));

  if (configurations.size === 0) {
    await begin(members);
    await waitForHealth(members, deadline, report);
    report.did(spec.cluster, `began with ${members.map(({ name }) => name).join(", ")}`);
    return;
  }
  const membership = new EtcdMembership(members.filter(({ name }) => configurations.has(name)));
  const list = await waitForMajority(membership, spec, configurations, deadline, report);
  const isMember = (member: EtcdMember): boolean => list.some((entry) => isEntryOf(entry, member) && isComplete(entry, configurations.get(member.name)));

  // What is gone for good goes first, so that it does not count in the majority that every other change needs.
  for (const entry of list.filter((candidate) => members.some((member) => isEntryOf(candidate, member) && !isMember(member)))) {
    await remove(entry, "removed, to join anew", membership, deadline, report);
  }
  const successor = list.find((entry) => members.some((member) => isEntryOf(entry, member) && isMember(member)));
  for (const entry of list.filter((candidate) => !members.some((member) => isEntryOf(candidate, member)))) {
    if (successor !== undefined) await membership.relieve(entry, successor);
    await remove(entry, "removed", membership, deadline, report);
  }
  await waitForHealth(members.filter(isMember), deadline, report);
  for (const member of members.filter((candidate) => !isMember(candidate))) await join(member, membership, deadline, report);
  for (const member of members.filter(isMember)) await update(member, configurations.get(member.name), deadline, report);
  if (!report.changed) report.found(spec.cluster, `${members.length} members are healthy; nothing had to change`);
}

async function startContainers(members: readonly EtcdMember[], report: Report): Promise<void> {
  const { stdout, stderr } = await docker(["inspect", "--type", "container", "--format", "{{.Name}} {{.State.Status}}", ...members.map(({ name }) => name)]);
  const states = new Map(stdout.split("\n").map((line) => line.slice(1).split(" ") as [string, string]));
  for (const { name } of members) {
    const state = states.get(name);
    if (state === undefined) throw new SetupError(`${name} has no container: ${stderr.replace(/\s+/g, " ")}. Run the update again with --refresh, which creates it`);
    if (state === "paused") throw new SetupError(`${name} is paused. Wake it with: docker unpause ${name}, then run the update again`);
    if (state === "running" || state === "restarting") continue;
    const started = await docker(["start", name]);
    if (started.code !== 0) throw new SetupError(`${name} is ${state} and does not start: ${started.stderr}`);
    report.did(name, `started; it was ${state}`);
  }
}

/** Begins a cluster of members that all have nothing. */
async function begin(members: readonly EtcdMember[]): Promise<void> {
  const start = { "data-dir": FIRST_DATA, "initial-cluster": initialCluster(members.map(({ name, peerUrl }) => [name, peerUrl])), "initial-cluster-state": "new" };
  await Promise.all(members.map((member) => applyConfiguration(member, { ...member.configuration, ...start })));
}

function initialCluster(members: readonly (readonly [name: string, peerUrl: string])[]): string {
  return members.map(([name, peerUrl]) => `${name}=${peerUrl}`).join(",");
}

async function waitForMajority(
  membership: EtcdMembership,
  { cluster, members }: EtcdSpec,
  configurations: ReadonlyMap<string, EtcdConfiguration>,
  deadline: Deadline,
  report: Report,
): Promise<readonly MemberEntry[]> {
  report.activity = `waiting for a majority of ${cluster}`;
  const names = members.map(({ name }) => name);
  const empty = names.filter((name) => !configurations.has(name));
  const left = names.filter((name) => configurations.has(name));
  const patience = empty.length === 0 ? deadline : new Deadline(Math.min(MAJORITY_PATIENCE_SECONDS, Math.floor(deadline.remainingMs / 1000)));
  return patience.poll(
    () => membership.list(),
    () =>
      `${cluster} had no majority within ${patience.seconds} s; ${membership.problem}. ` +
      (empty.length === 0
        ? `See: docker logs ${left[0]}`
        : `${empty.join(", ")} ${empty.length === 1 ? "has" : "have"} no data, and a minority cannot go on alone. ` +
          "To begin anew, leave the databases running, whose leader then writes Patroni's state again: " +
          `docker rm -f ${left.join(" ")} && docker volume rm ${left.map((name) => `${name}-data`).join(" ")}, then run the update again with --refresh`),
  );
}

function isEntryOf(entry: MemberEntry, member: EtcdMember): boolean {
  return entry.peerUrl === member.peerUrl;
}

/** Whether a member votes, and its volume holds the data of this membership: not none, nor what an earlier one left there. */
function isComplete({ id, isLearner }: MemberEntry, configuration: EtcdConfiguration | undefined): boolean {
  const directory = configuration?.["data-dir"];
  return !isLearner && (directory === FIRST_DATA || directory === joinedData(id));
}

function joinedData(id: string): string {
  return `${FIRST_DATA}-${id}`;
}

async function remove({ id, name, peerUrl }: MemberEntry, what: string, membership: EtcdMembership, deadline: Deadline, report: Report): Promise<void> {
  const member = name === "" ? `the member at ${peerUrl}` : name;
  report.activity = `removing ${member}`;
  const isGone = (list: readonly MemberEntry[]): boolean => !list.some((entry) => entry.id === id);
  await membership.change(["remove", id], isGone, deadline, () => `${member} could not be removed; ${membership.problem}. Run the update again when the other members are up`);
  report.did(member, what);
}

/**
 * Adds a member and starts it with an empty data directory, which it fills from the others. It votes when it has: a join
 * that fails, or is killed, takes no majority away.
 */
async function join(member: EtcdMember, membership: EtcdMembership, deadline: Deadline, report: Report): Promise<void> {
  report.activity = `adding ${member.name}`;
  const late = (): string => `${member.name} could not join; ${membership.problem}. See docker logs ${member.name}, and run the update again when the other members are up`;
  const find = (entries: readonly MemberEntry[]): MemberEntry | undefined => entries.find((entry) => isEntryOf(entry, member));

  const list = await membership.change(["add", member.name, "--learner", `--peer-urls=${member.peerUrl}`], (entries) => find(entries) !== undefined, deadline, late);
  const { id = "" } = find(list) ?? {};
  await applyConfiguration(member, {
    ...member.configuration,
    "data-dir": joinedData(id),
    "initial-cluster": initialCluster(list.map((entry) => [isEntryOf(entry, member) ? member.name : entry.name, entry.peerUrl])),
    "initial-cluster-state": "existing",
  });
  await membership.change(["promote", id], (entries) => find(entries)?.isLearner !== true, deadline, late);
  await waitForHealth([member], deadline, report);
  report.did(member.name, "joined");
}

/** Gives a member the plan's settings; the others keep the majority while it restarts. */
async function update(member: EtcdMember, configuration: EtcdConfiguration | undefined, deadline: Deadline, report: Report): Promise<void> {
  const planned = { ...configuration, ...member.configuration };
  if (Object.entries(planned).every(([key, value]) => configuration?.[key] === value)) return;
  await applyConfiguration(member, planned);
  await waitForHealth([member], deadline, report);
  report.did(member.name, "restarted with the plan's settings");
}

async function waitForHealth(members: readonly EtcdMember[], deadline: Deadline, report: Report): Promise<void> {
  for (const member of members) {
    report.activity = `waiting for ${member.name}`;
    await deadline.poll(
      async () => (await isHealthy(member)) || undefined,
      async () =>
        `${member.name} was not healthy within ${deadline.seconds} s; ${await containerState(member.name)}, see: docker logs ${member.name}. ` +
        `If its data is broken, have it made anew: docker rm -f ${member.name} && docker volume rm ${member.name}-data, then run the update again with --refresh`,
    );
  }
}
