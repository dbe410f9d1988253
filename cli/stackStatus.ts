import type { GuardState } from "../agents/guard/state";
import { isGuarded } from "../config/guarded";
import { objectiveProblems } from "../config/objectives";
import { cutOffMembers } from "../topology/cutOff";
import { toMebibytes } from "../config/size";
import { hindranceWarning } from "../tenants/hindrances";
import { gapWarning, migrationGap } from "../tenants/migrations";
import { containersOf, holderName, patroniGroups, type ContainerPlan, type PatroniPlan } from "../topology/plan";
import type { CitusStatus, RegisteredNode } from "./citusStatus";
import { fencerWarning } from "./fencerWarning";
import type { LiveContainer } from "./live";
import { isInService, isLeader, type PatroniMember } from "./patroniCluster";
import { listed, size } from "./print";
import type { Stack } from "./stack";

/** A node as `status` shows it. */
export interface NodeStatus {
  readonly name: string;
  /** `leader`, `quorum standby`, `coordinator`, `worker`, `etcd`, `haproxy`, `pooler`. */
  readonly role: string;
  /** `healthy`, `running`, `starting`, `unhealthy`, `stopped (exit code 137)`, `paused`, `cut off`, `missing`. */
  readonly state: string;
  /** Bytes that a standby is behind the leader. */
  readonly lagBytes?: number;
  /** Placements of the application's shards on a worker. */
  readonly placements?: number;
}

/** A whole stack as `status` shows it. */
export interface StackStatus {
  readonly stack: string;
  readonly healthy: boolean;
  readonly nodes: readonly NodeStatus[];
  readonly clusters: readonly CitusStatus[];
  /** What each guard knows, by its name. */
  readonly guards: Readonly<Record<string, GuardState>>;
  /** What is wrong, each with a way on. */
  readonly problems: readonly string[];
  /** What is as somebody wanted it, and should not stay so. */
  readonly warnings: readonly string[];
  /** Absent where none is set. */
  readonly objectives?: ObjectivesStatus;
}

/** The objectives that a stack's settings set. */
export interface ObjectivesStatus {
  readonly rto?: string;
  readonly rpo?: number;
  /** Why the settings cannot meet them. */
  readonly unmet: readonly string[];
}

/** What was found of a stack. */
export interface Findings {
  readonly containers: readonly LiveContainer[];
  /** The members of each Patroni group by its name, as the group sees them; undefined if no member answers. */
  readonly patroni: ReadonlyMap<string, readonly PatroniMember[] | undefined>;
  /** Names of Patroni groups in maintenance mode. */
  readonly paused?: readonly string[];
  /** Members of Patroni groups whose fencer is off. */
  readonly fencersOff?: readonly string[];
  /** Undefined if no member answers, or there is no etcd. */
  readonly etcd: ReadonlyMap<string, boolean> | undefined;
  readonly clusters: readonly CitusStatus[];
  /** What guards know, by their names; those that do not answer are left out. */
  readonly guards: ReadonlyMap<string, GuardState>;
  /** Why the coordinators could not be asked, if so. */
  readonly uriProblem?: string;
}

/** What the findings say of a stack: pure, and the same for the same findings. */
export function stackStatus(stack: Stack, findings: Findings): StackStatus {
  const live = new Map(findings.containers.map((container) => [container.name, container]));
  const cutOff = new Set(cutOffMembers(findings.containers).map(({ name }) => name));
  const members = new Map([...findings.patroni.values()].flatMap((group) => group ?? []).map((member) => [member.name, member]));
  const registered = new Map(findings.clusters.flatMap(({ nodes }) => nodes).map((node) => [node.name, node]));
  const nodes = containersOf(stack.plan).map((plan) => ({ plan, status: nodeStatus(plan, live.get(plan.name), cutOff.has(plan.name), members.get(plan.name), registered.get(plan.name)) }));

  const ailments = nodes.map(({ plan, status }) => ({ name: plan.name, ailment: ailmentOf(status.state, plan.held && live.get(holderName(plan.name))?.status !== "running") }));
  const well = new Set(ailments.flatMap(({ name, ailment }) => (ailment === undefined ? [name] : [])));
  const problems = [
    ...containerProblems(stack, ailments),
    ...patroniGroups(stack.plan).flatMap((group) => patroniProblems(stack, group, findings.patroni.get(group.name), well)),
    ...etcdProblems(stack, findings.etcd, well),
    ...(findings.uriProblem === undefined ? [] : [`The coordinators were not asked: ${findings.uriProblem}`]),
    ...findings.clusters.flatMap((cluster) => citusProblems(stack, cluster, guardOf(stack, cluster.cluster, findings.guards))),
  ];
  const warnings = [
    ...(findings.paused ?? []).map((group) => `${group} is in maintenance mode: nobody takes over if its leader fails, and Patroni starts no PostgreSQL that ends. npm run ha -- resume ${stack.name} ends it.`),
    ...(findings.fencersOff === undefined || findings.fencersOff.length === 0 ? [] : [fencerWarning(findings.fencersOff)]),
    ...lagWarnings(stack, nodes.map(({ status }) => status)),
    ...findings.clusters.flatMap((cluster) => copyWarnings(stack, cluster)),
    ...findings.clusters.flatMap((cluster) => tenancyWarnings(stack, cluster)),
    ...migrationWarnings(findings.clusters),
  ];
  const objectives = objectivesStatus(stack);
  return { stack: stack.name, healthy: problems.length === 0, nodes: nodes.map(({ status }) => status), clusters: findings.clusters, guards: Object.fromEntries(findings.guards), problems, warnings, ...(objectives && { objectives }) };
}

function objectivesStatus({ settings }: Stack): ObjectivesStatus | undefined {
  const { rto, rpo } = settings.objectives;
  if (rto === undefined && rpo === undefined) return undefined;
  return { ...(rto !== undefined && { rto }), ...(rpo !== undefined && { rpo }), unmet: objectiveProblems(settings).map(({ key, consequence }) => `${key}: ${consequence}`) };
}

function nodeStatus(plan: ContainerPlan, container: LiveContainer | undefined, isCutOff: boolean, member: PatroniMember | undefined, node: RegisteredNode | undefined): NodeStatus {
  return {
    name: plan.name,
    role: member === undefined ? plan.role : member.role.replaceAll("_", " "),
    state: stateOf(container, isCutOff),
    ...lagOf(member),
    ...(plan.role === "worker" && node !== undefined && { placements: node.placements }),
  };
}

/** How far a standby's readers are behind, which may be more than what it has received. */
function lagOf(member: PatroniMember | undefined): Pick<NodeStatus, "lagBytes"> {
  if (member === undefined || isLeader(member)) return {};
  const lag = member.replay_lag ?? member.lag;
  return typeof lag === "number" ? { lagBytes: lag } : {};
}

/** Standbys of the coordinator that are not read from, because they are too far behind. */
function lagWarnings({ plan, settings }: Stack, nodes: readonly NodeStatus[]): string[] {
  if (settings.topology !== "active-passive") return [];
  const members = plan.coordinators?.members.map(({ name }) => name) ?? [];
  const far = nodes.filter(({ name, lagBytes = 0 }) => members.includes(name) && lagBytes > toMebibytes(settings.standbyLag) * 1024 ** 2);
  return far.map(({ name, lagBytes = 0 }) => `${name} is ${size(lagBytes)} behind: it is not read from on port ${settings.ports.standbys} until it is within standbyLag, ${settings.standbyLag}.`);
}

function stateOf(container: LiveContainer | undefined, isCutOff: boolean): string {
  if (container === undefined) return "missing";
  if (isCutOff) return "cut off";
  if (container.status === "running") return container.health ?? "running";
  return container.status === "exited" ? `stopped (exit code ${container.exitCode})` : container.status;
}

type Ailment = "missing" | "homeless" | "cut off" | "unhealthy" | "down";

/** What is wrong with a node's container, if something is. */
function ailmentOf(state: string, holderDown: boolean): { kind: Ailment; word: string } | undefined {
  if (["healthy", "running", "starting"].includes(state)) return holderDown ? { kind: "homeless", word: state } : undefined;
  if (state === "missing" || state === "cut off" || state === "unhealthy") return { kind: state, word: state };
  return { kind: "down", word: state.startsWith("stopped") ? "stopped" : state };
}

/** One sentence for all nodes with the same ailment. */
function containerProblems(stack: Stack, nodes: readonly { name: string; ailment: { kind: Ailment; word: string } | undefined }[]): string[] {
  const groups = new Map<string, { kind: Ailment; word: string; names: string[] }>();
  for (const { name, ailment } of nodes) {
    if (ailment === undefined) continue;
    const key = `${ailment.kind} ${ailment.word}`;
    groups.set(key, { ...ailment, names: [...(groups.get(key)?.names ?? []), name] });
  }
  return [...groups.values()].map(({ kind, word, names }) => containerProblem(stack, kind, word, names, names.length === nodes.length));
}

function containerProblem(stack: Stack, kind: Ailment, word: string, names: readonly string[], all: boolean): string {
  const one = names.length === 1;
  const nodes = listed(names);
  const way = restart(stack, all ? [] : names);
  switch (kind) {
    case "missing":
      return `${nodes} ${one ? "has no container" : "have no containers"}: npm run up -- ${stack.name} makes ${one ? "it" : "them"} again.`;
    case "homeless":
      return `${nodes} ${one ? "has" : "have"} lost ${one ? "its holder, which has its address" : "their holders, which have their addresses"}: ${way} starts both.`;
    case "cut off":
      return `${nodes} ${one ? "is" : "are"} cut off: ${one ? "its holder was restarted alone, and it has" : "their holders were restarted alone, and they have"} no network since. ${way} mends it.`;
    case "unhealthy":
      return `${nodes} ${one ? "runs, but its health check fails" : "run, but their health checks fail"}: docker logs ${names[0] ?? ""} has the reason, ${way} may mend it.`;
    case "down":
      return `${nodes} ${one ? "is" : "are"} ${word}: ${way} brings ${one ? "it" : "them"} back.`;
  }
}

/** Problems of the coordinators as a group. Of members whose containers are not well that has been said already. */
function patroniProblems(stack: Stack, { name: title, members }: PatroniPlan, patroni: readonly PatroniMember[] | undefined, well: ReadonlySet<string>): string[] {
  const group = members.map(({ name }) => name).filter((name) => well.has(name));
  if (group.length === 0) return [];
  if (patroni === undefined) return [`No Patroni of ${title} answers: ${listed(group)}. ${restart(stack, [])} brings them back.`];
  if (!patroni.some(isLeader)) return [`${title} has no leader: its members elect one when most of them and of etcd's are healthy.`];
  return group.flatMap((name) => {
    const member = patroni.find((candidate) => candidate.name === name);
    if (member !== undefined && isInService(member)) return [];
    return [`${name} is up, but Patroni has it as ${member === undefined ? "no member" : `${member.role}, ${member.state}`}: docker logs ${name} has the reason, ${restart(stack, [name])} may mend it.`];
  });
}

function etcdProblems(stack: Stack, etcd: ReadonlyMap<string, boolean> | undefined, well: ReadonlySet<string>): string[] {
  const members = (stack.plan.etcd?.members ?? []).map(({ name }) => name).filter((name) => well.has(name));
  if (members.length === 0) return [];
  if (etcd === undefined) return [`No member of etcd answers: ${restart(stack, [])} brings them back.`];
  const sick = members.filter((name) => etcd.get(name) !== true);
  return sick.map((name) => `${name} is up, but not healthy as a member of etcd: docker logs ${name} has the reason, ${restart(stack, [name])} may mend it.`);
}

/** The guard of a cluster that acts, if one does. */
function guardOf({ plan }: Stack, cluster: string, guards: ReadonlyMap<string, GuardState>): GuardState | undefined {
  const names = plan.clusters.find(({ name }) => name === cluster)?.guards.map(({ name }) => name) ?? [];
  return names.map((name) => guards.get(name)).find((state) => state?.coordinator === "primary");
}

/** What a disabled worker needs: nothing but its guard, where that waits for it. */
function disabledProblem(name: string, up: string, guard: GuardState | undefined): string {
  const worker = guard?.workers.find((candidate) => candidate.name === name);
  if (worker?.state === "disabled") return `${name} is disabled in Citus: its guard brings it back when it answers.`;
  if (worker?.state === "returning") return `${name} was disabled in Citus: its guard is bringing it back.`;
  return `${name} is disabled in Citus: ${up} activates it.`;
}

function citusProblems(stack: Stack, { cluster, nodes, problem, refusals, shards }: CitusStatus, guard: GuardState | undefined): string[] {
  if (problem !== undefined) return [`The coordinator of ${cluster} does not answer, so no shard takes a write: ${problem}.`];
  const workers = stack.plan.clusters.find(({ name }) => name === cluster)?.workers.map(({ name }) => name) ?? [];
  const registered = new Map(nodes.map((node) => [node.name, node]));
  const up = `npm run up -- ${stack.name}`;
  return [
    ...workers.filter((name) => !registered.has(name)).map((name) => `${name} is not registered with its coordinator: ${up} registers it.`),
    ...workers.filter((name) => registered.get(name)?.active === false).map((name) => disabledProblem(name, up, guard)),
    ...Object.entries(refusals).map(([error, count]) => `${count} of ${shards} shards of ${cluster} take no write: ${error}.`),
  ];
}

/** Tables that keep a guard from taking a worker out of service. */
function copyWarnings({ settings }: Stack, { cluster, singleCopies = [] }: CitusStatus): string[] {
  if (!isGuarded(settings) || singleCopies.length === 0) return [];
  return [`${listed(singleCopies)} of ${cluster} ${singleCopies.length === 1 ? "has" : "have"} one copy of each shard: a worker with one of them is not taken out of service when it dies, so the other tables' writes to it fail, too, until it is back.`];
}

function tenancyWarnings({ name, settings }: Stack, { cluster, tenancy }: CitusStatus): string[] {
  if (tenancy === undefined) return [];
  const { ring, weights, changing, unsettled, hindrances } = tenancy;
  const [wanted, weight] = [settings.topology === "active-active" ? settings.clusters[cluster]?.weight : undefined, weights[cluster]];
  return [
    ...(ring.length === 0 ? [`${cluster} takes no writes of tenants before it is told which are its own: npm run up -- ${name} tells it.`] : []),
    ...(changing ? [`${cluster} has begun to spread tenants anew: npm run tenant -- rebalance ${name} ends that.`] : []),
    ...(wanted !== undefined && weight !== undefined && wanted !== weight ? [`${cluster} shall have weight ${wanted}, and its share of the tenants is that of ${weight}: npm run tenant -- rebalance ${name} changes that.`] : []),
    ...(unsettled > 0 ? [`${cluster} has ${unsettled} ${unsettled === 1 ? "tenant" : "tenants"} on the way: npm run tenant -- recover ${name} ends moves that stopped.`] : []),
    ...hindrances.map((hindrance) => hindranceWarning(cluster, hindrance)),
  ];
}

/** Clusters that a run of migrations has not come to yet. */
function migrationWarnings(clusters: readonly CitusStatus[]): string[] {
  const gap = migrationGap(clusters.flatMap(({ cluster, tenancy }) => (tenancy?.migrations === undefined ? [] : [{ name: cluster, migrations: tenancy.migrations }])));
  return gap === undefined ? [] : [gapWarning(gap)];
}

function restart(stack: Stack, nodes: readonly string[]): string {
  return ["npm run restart --", stack.name, ...nodes].join(" ");
}
