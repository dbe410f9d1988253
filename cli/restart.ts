import { setTimeout as delay } from "node:timers/promises";
import colors from "picocolors";
import { Deadline } from "../setup/deadline";
import { maintenanceRefusal, waitForEtcdsWord } from "../setup/patroniGroup";
import { PatroniRest } from "../setup/patroniRest";
import { writeEveryShard, type ProbeResult } from "../setup/probe";
import { cutOffMembers } from "../topology/cutOff";
import { containersOf, patroniGroups, type ContainerPlan } from "../topology/plan";
import { connect, connectionUris, coordinatorUris } from "./connections";
import { docker, requireDocker } from "./docker";
import { Failure } from "./failure";
import { waitForGuard } from "./guardWatch";
import { explained } from "./ha/explained";
import { groupsOf } from "./ha/groups";
import { inspectContainers, type LiveContainer } from "./live";
import { waitUntilServing } from "./nodeHealth";
import { isInService, isLeader, patroniCluster, switchOver } from "./patroniCluster";
import { duration, listed } from "./print";
import { whilePaused } from "./pooler";
import { reconnectMembers, resumeContainers } from "./repair";
import { lastLine } from "./run";
import { containerNames, readStack, type Stack } from "./stack";
import { StatusLine } from "./statusLine";

export interface RestartOptions {
  /** The nodes to restart; none for all. */
  readonly nodes: readonly string[];
  /** All at once instead of one after the other. */
  readonly together: boolean;
}

/** Longer than the longest graceful stop of a node. */
const RESTART_TIMEOUT_MS = 120_000;
const REUNION_TIMEOUT_MS = 60_000;
const RETRY_MS = 300;
/** Twice the interval in which HAProxy checks a member. */
const HAPROXY_CHECKS_MS = 500;

/**
 * `npm run restart -- <stack> [node…]`: restarts nodes one after the other, each serving again before the next goes. Nodes
 * that are stopped, paused or cut off are brought back, which is all the restart that they need.
 *
 * @throws {@link Failure} before anything is touched if a member of a Patroni group in maintenance mode is among them.
 */
export async function restart(name: string, { nodes, together }: RestartOptions): Promise<void> {
  const startedAt = performance.now();
  const stack = readStack(name);
  await requireDocker();
  const all = containersOf(stack.plan);
  const chosen = chooseNodes(stack, nodes);
  const containers = await inspectContainers(containerNames(stack));
  const missing = chosen.filter((node) => !containers.some((container) => container.name === node.name));
  if (missing.length === all.length) throw new Failure(`${name} is not up: npm run up -- ${name}`);
  if (missing.length > 0) throw new Failure(`There is no container ${listed(missing.map((node) => node.name))}: npm run up -- ${name} makes it again.`);

  const down = containers.filter(({ status }) => status !== "running");
  const cutOff = cutOffMembers(containers.filter(({ status }) => status === "running"));
  const broughtBack = new Set([...down, ...cutOff].map((container) => container.name.replace(/-holder$/, "")));
  await explained(() => refuseMaintenance(stack, new Set([...chosen.map((node) => node.name), ...broughtBack]), containers));
  const problem = await resumeContainers(down);
  if (problem !== undefined) throw new Failure(`Docker cannot start what was stopped: ${problem}. npm run up -- ${name} makes it again.`);
  await reconnectMembers(cutOff);
  const status = new StatusLine();
  await Promise.all(all.filter((node) => broughtBack.has(node.name)).map((node) => waitUntilServing(stack, node)));
  for (const node of all.filter(({ name: node }) => broughtBack.has(node))) status.line(`${node.name} is back`);

  const rest = chosen.filter((node) => !broughtBack.has(node.name));
  if (together) await restartTogether(stack, rest, status);
  else for (const node of await inOrder(stack, rest)) await restartOne(stack, node, status);
  status.end();
  await proveWrites(stack);
  console.log(`${colors.green("✓")} ${chosen.length === all.length ? `All nodes of ${name} are` : `${listed(chosen.map((node) => node.name))} ${chosen.length === 1 ? "is" : "are"}`} back (${duration(performance.now() - startedAt)}).`);
}

/**
 * Refuses what would not come back; members that are frozen would. A group of which no member runs cannot be asked, and is started whatever its mode.
 *
 * @throws SetupError if a group with one of the nodes is in maintenance mode.
 */
async function refuseMaintenance(stack: Stack, nodes: ReadonlySet<string>, containers: readonly LiveContainer[]): Promise<void> {
  const statuses = new Map(containers.map(({ name, status }) => [name, status]));
  const asked = await Promise.all(
    groupsOf(stack)
      .map(({ name, members }) => ({ name, members, away: members.filter((member) => nodes.has(member) && statuses.get(member) !== "paused") }))
      .filter(({ away }) => away.length > 0)
      .map(async (group) => ({ ...group, cluster: await new PatroniRest(group.members.filter((member) => statuses.get(member) === "running")).cluster() })),
  );
  const paused = asked.filter(({ cluster }) => cluster?.pause === true);
  const [first, ...more] = paused;
  if (first === undefined) return;
  const which = more.length > 0 ? "" : ` --group ${first.name}`;
  throw maintenanceRefusal(paused.map(({ name }) => name), paused.flatMap(({ away }) => away), `npm run ha -- resume ${stack.name}${which}`);
}

function chooseNodes(stack: Stack, names: readonly string[]): ContainerPlan[] {
  const all = containersOf(stack.plan);
  if (names.length === 0) return all;
  return names.map((name) => {
    const node = all.find((candidate) => candidate.name === name || candidate.name === `${stack.settings.prefix}${name}`);
    if (node === undefined) throw new Failure(`${stack.name} has no node "${name}": its nodes are ${all.map((candidate) => candidate.name).join(", ")}.`);
    return node;
  });
}

/** etcd, workers, coordinators with the leader last, HAProxy, the pooler, guards, the keeper: what others depend on is whole when its turn comes. */
async function inOrder({ plan }: Stack, nodes: readonly ContainerPlan[]): Promise<ContainerPlan[]> {
  const groups = await Promise.all(patroniGroups(plan).map(({ members }) => patroniCluster(members.map(({ name }) => name))));
  const leaders = new Set(groups.map((members) => members?.find(isLeader)?.name));
  const turn = ({ name, role }: ContainerPlan): number => ({ etcd: 0, worker: 1, member: 2, coordinator: 2, haproxy: 4, pooler: 5, guard: 6, keeper: 7 })[role] + (leaders.has(name) ? 0.5 : 0);
  return [...nodes].sort((one, other) => turn(one) - turn(other));
}

async function restartOne(stack: Stack, node: ContainerPlan, status: StatusLine): Promise<void> {
  const { name } = node;
  const successor = await handOver(stack, name, status);
  const again = (): Promise<void> => restartContainer(stack, node, status);
  await (node.role === "haproxy" ? whilePaused(stack, again, (line) => status.line(line)) : again());
  status.line(`restarted ${name}${successor === undefined ? "" : `, with ${successor} leading now`}`);
  status.doing("");
}

async function restartContainer(stack: Stack, node: ContainerPlan, status: StatusLine): Promise<void> {
  status.doing(`restarting ${node.name}`);
  const { code, stderr } = await docker(["restart", node.name], RESTART_TIMEOUT_MS);
  if (code !== 0) throw new Failure(`Docker cannot restart ${node.name}: ${lastLine(stderr)}`);
  status.doing(`waiting for ${node.name}`);
  await waitUntilServing(stack, node);
  // Until it has checked them, it takes every member for the leader.
  if (node.role === "haproxy") await delay(HAPROXY_CHECKS_MS);
  if (node.role === "worker") await waitForGuard(stack, node, (activity) => status.doing(activity));
}

/** A leader hands over before it goes: that costs its clients less than its going, and those of the pooler a wait. Gives the new leader, if there is one. */
async function handOver(stack: Stack, name: string, status: StatusLine): Promise<string | undefined> {
  const group = patroniGroups(stack.plan).map(({ members }) => members.map((member) => member.name)).find((names) => names.includes(name));
  if (group === undefined) return undefined;
  const members = (await patroniCluster(group)) ?? [];
  const synchronous = members.find((member) => /standby/.test(member.role) && isInService(member));
  if (synchronous === undefined || members.find(isLeader)?.name !== name) return undefined;
  await waitForEtcdsWord(new PatroniRest(group), new Deadline(REUNION_TIMEOUT_MS / 1000), (activity) => status.doing(activity));
  status.doing(`handing over from ${name} to ${synchronous.name}`);
  const hand = (): Promise<boolean> => switchOver(name, synchronous.name);
  const leads = stack.plan.coordinators?.members.some((member) => member.name === name) === true;
  const done = await (leads ? whilePaused(stack, hand, (line) => status.line(line)) : hand());
  return done ? synchronous.name : undefined;
}

async function restartTogether(stack: Stack, nodes: readonly ContainerPlan[], status: StatusLine): Promise<void> {
  if (nodes.length === 0) return;
  status.doing(`restarting ${nodes.length} nodes`);
  const results = await Promise.all(nodes.map(({ name }) => docker(["restart", name], RESTART_TIMEOUT_MS)));
  results.forEach(({ code, stderr }, index) => {
    if (code !== 0) throw new Failure(`Docker cannot restart ${nodes[index]?.name ?? ""}: ${lastLine(stderr)}`);
  });
  status.doing("waiting for all of them");
  await Promise.all(nodes.map((node) => waitUntilServing(stack, node)));
  status.line(`restarted ${listed(nodes.map(({ name }) => name))}`);
}

/** Nodes that serve may still be finding each other: a write to every shard tells when they have. */
async function proveWrites(stack: Stack): Promise<void> {
  const endsAt = performance.now() + REUNION_TIMEOUT_MS;
  for (const { cluster, uri } of coordinatorUris(stack, await connectionUris(stack.name))) {
    for (;;) {
      const result = await everyShard(uri).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
      if (typeof result !== "string" && result.failed.length === 0) {
        console.log(`${colors.green("✓")} Every shard of ${cluster} took a write (${result.shards}).`);
        break;
      }
      if (performance.now() > endsAt) {
        const problem = typeof result === "string" ? `${cluster} does not answer: ${result}` : `${result.failed.length} of ${result.shards} shards of ${cluster} take no write: ${result.failed[0]?.error ?? ""}`;
        throw new Failure(`The nodes are back, but ${problem}. npm run status -- ${stack.name} has more.`);
      }
      await delay(RETRY_MS);
    }
  }
}

async function everyShard(uri: string): Promise<ProbeResult> {
  const client = await connect(uri);
  return writeEveryShard(client).finally(() => void client.end().catch(() => undefined));
}
