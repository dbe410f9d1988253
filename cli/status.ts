import colors from "picocolors";
import { containersOf, holderName, type ContainerPlan } from "../topology/plan";
import { citusStatus, type CitusStatus } from "./citusStatus";
import { connectionUris, coordinatorUris, type ConnectionUris } from "./connections";
import { requireDocker } from "./docker";
import { etcdHealth } from "./etcdHealth";
import { Failure } from "./failure";
import { cutOffMembers, inspectContainers, type LiveContainer } from "./live";
import { isInService, isLeader, patroniCluster, type PatroniMember } from "./patroniCluster";
import { duration, listed } from "./print";
import { openSession } from "./session";
import { containerNames, readStack, type Stack } from "./stack";
import { table } from "./table";

/** A node as `status` shows it. */
export interface NodeStatus {
  readonly name: string;
  /** `leader`, `quorum standby`, `coordinator`, `worker`, `etcd`, `haproxy`. */
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
  /** What is wrong, each with a way on. */
  readonly problems: readonly string[];
}

/** What was asked of the nodes. */
export interface Findings {
  readonly containers: readonly LiveContainer[];
  readonly patroni: readonly PatroniMember[] | undefined;
  readonly etcd: ReadonlyMap<string, boolean> | undefined;
  readonly clusters: readonly CitusStatus[];
  /** Why the coordinators could not be asked, if so. */
  readonly uriProblem?: string;
}

const STATE_TIMEOUT_MS = 20_000;

/** `npm run status -- <stack>`: every node, and whether every shard takes a write. Never waits longer than about half a minute. */
export async function status(name: string, json: boolean): Promise<void> {
  const stack = readStack(name);
  await requireDocker();
  const findings = await ask(stack);
  if (findings.containers.length === 0) throw new Failure(`${name} is not up: npm run up -- ${name}`);
  const result = stackStatus(stack, findings);
  console.log(json ? JSON.stringify(result, undefined, 2) : render(stack, result));
  process.exitCode = result.healthy ? 0 : 1;
}

async function ask(stack: Stack): Promise<Findings> {
  const { plan, settings } = stack;
  const containers = await inspectContainers(containerNames(stack));
  if (containers.length === 0) return { containers, patroni: undefined, etcd: undefined, clusters: [] };
  const running = (names: readonly ContainerPlan[]): string[] => names.map(({ name }) => name).filter((name) => containers.some((live) => live.name === name && live.status === "running"));
  let uriProblem: string | undefined;
  const uris = bounded(openSession(stack.name).then((session) => connectionUris(stack.name, session)), STATE_TIMEOUT_MS).catch((error: unknown): ConnectionUris => {
    uriProblem = error instanceof Error ? error.message : String(error);
    return {};
  });
  const [patroni, etcd, clusters] = await Promise.all([
    patroniCluster(running(plan.coordinators?.members ?? [])),
    etcdHealth(running(plan.etcd?.members ?? [])),
    uris.then((known) => Promise.all(coordinatorUris(stack, known).map(({ cluster, uri }) => citusStatus(cluster, uri, Object.keys(settings.schema.tables))))),
  ]);
  return { containers, patroni, etcd, clusters, ...(uriProblem !== undefined && { uriProblem }) };
}

/** What the findings say of a stack. */
export function stackStatus(stack: Stack, { containers, patroni, etcd, clusters, uriProblem }: Findings): StackStatus {
  const live = new Map(containers.map((container) => [container.name, container]));
  const cutOff = new Set(cutOffMembers(containers).map(({ name }) => name));
  const registered = new Map(clusters.flatMap(({ nodes }) => nodes).map((node) => [node.name, node]));
  const restart = (name: string): string => `npm run restart -- ${stack.name} ${name}`;
  const up = `npm run up -- ${stack.name}`;
  const problems: string[] = [];
  const ailing = new Map<string, string[]>();
  const group = new Set(stack.plan.coordinators?.members.map(({ name }) => name) ?? []);

  const nodes = containersOf(stack.plan).map((node): NodeStatus => {
    const { name, held } = node;
    const member = patroni?.find((candidate) => candidate.name === name);
    const state = stateOf(live.get(name), cutOff.has(name));
    const holder = held ? live.get(holderName(name)) : undefined;
    const ailment = ailmentOf(state, held && holder?.status !== "running");
    if (ailment !== undefined) ailing.set(ailment, [...(ailing.get(ailment) ?? []), name]);
    else if (group.has(name) && patroni !== undefined && (member === undefined || !isInService(member))) {
      problems.push(`${name} is up, but Patroni has it as ${member === undefined ? "no member" : `${member.role}, ${member.state}`}: docker logs ${name} has the reason, ${restart(name)} may mend it.`);
    } else if (node.role === "etcd" && etcd?.get(name) === false) problems.push(`${name} is up, but not healthy as a member of etcd: docker logs ${name} has the reason, ${restart(name)} may mend it.`);
    const placed = registered.get(name);
    if (node.role === "worker" && clusters.some(({ problem: unknown }) => unknown === undefined)) {
      if (placed === undefined && clusters.every(({ problem: unknown }) => unknown === undefined)) problems.push(`${name} is not registered with its coordinator: ${up} registers it.`);
      else if (placed?.active === false) problems.push(`${name} is disabled in Citus: ${up} activates it.`);
    }
    return {
      name,
      role: member === undefined ? node.role : member.role.replaceAll("_", " "),
      state,
      ...(typeof member?.lag === "number" && !isLeader(member) && { lagBytes: member.lag }),
      ...(node.role === "worker" && placed !== undefined && { placements: placed.placements }),
    };
  });

  problems.unshift(...[...ailing].map(([ailment, names]) => ailmentProblem(ailment as Ailment, names, restart(names.length === nodes.length ? "" : names.join(" ")).trim(), up)));
  if (group.size > 0 && patroni === undefined) problems.push(`No coordinator's Patroni answers: ${[...group].join(", ")}. npm run restart -- ${stack.name} brings them back.`);
  else if (patroni !== undefined && !patroni.some(isLeader)) problems.push("The coordinators have no leader: they elect one when two of three and etcd are healthy.");
  if (stack.plan.etcd !== undefined && etcd === undefined) problems.push(`No member of etcd answers: npm run restart -- ${stack.name} brings them back.`);
  if (uriProblem !== undefined) problems.push(`The coordinators were not asked: ${uriProblem}`);
  for (const { cluster, problem, refusals, shards } of clusters) {
    if (problem !== undefined) problems.push(`The coordinator of ${cluster} does not answer, so no shard takes a write: ${problem}.`);
    for (const [error, count] of Object.entries(refusals)) problems.push(`${count} of ${shards} shards of ${cluster} take no write: ${error}.`);
  }
  return { stack: stack.name, healthy: problems.length === 0, nodes, clusters, problems };
}

function stateOf(container: LiveContainer | undefined, isCutOff: boolean): string {
  if (container === undefined) return "missing";
  if (isCutOff) return "cut off";
  if (container.status === "running") return container.health ?? "running";
  return container.status === "exited" ? `stopped (exit code ${container.exitCode})` : container.status;
}

type Ailment = "missing" | "homeless" | "cut off" | "unhealthy" | "stopped" | "paused" | "restarting" | "created" | "dead";

/** What is wrong with a node's container, if something is. */
function ailmentOf(state: string, holderDown: boolean): Ailment | undefined {
  if (state === "missing") return "missing";
  if (holderDown) return "homeless";
  if (["healthy", "running", "starting"].includes(state)) return undefined;
  return state.startsWith("stopped") ? "stopped" : (state as Ailment);
}

function ailmentProblem(ailment: Ailment, names: readonly string[], restart: string, up: string): string {
  const one = names.length === 1;
  const nodes = listed(names);
  switch (ailment) {
    case "missing":
      return `${nodes} ${one ? "has no container" : "have no containers"}: ${up} makes ${one ? "it" : "them"} again.`;
    case "homeless":
      return `${nodes} ${one ? "is" : "are"} down with ${one ? "its holder, which has its address" : "their holders, which have their addresses"}: ${restart} starts both.`;
    case "cut off":
      return `${nodes} ${one ? "is" : "are"} cut off: ${one ? "its holder was restarted alone, and it has" : "their holders were restarted alone, and they have"} no network since. ${restart} mends it.`;
    case "unhealthy":
      return `${nodes} ${one ? "runs, but its health check fails" : "run, but their health checks fail"}: docker logs ${names[0] ?? ""} has the reason, ${restart} may mend it.`;
    case "stopped":
    case "paused":
    case "restarting":
    case "created":
    case "dead":
      return `${nodes} ${one ? "is" : "are"} ${ailment}: ${restart} brings ${one ? "it" : "them"} back.`;
  }
}

function render(stack: Stack, { nodes, clusters, problems }: StackStatus): string {
  const rows = nodes.map(({ name, role, state, lagBytes, placements }) => [name, role, state, placements === undefined ? "" : `${placements} placements`, lagBytes === undefined ? "" : `${size(lagBytes)} behind`]);
  const notes = rows.map(([name = "", role = "", state = "", placements = "", lag = ""]) => [name, role, state, placements || lag]);
  const paint = (cell: string, row: number, column: number): string => {
    if (row === 0) return colors.dim(cell);
    if (column !== 2) return cell;
    const state = cell.trim();
    return state === "healthy" || state === "running" ? colors.green(cell) : state === "starting" ? colors.yellow(cell) : colors.red(cell);
  };
  const proven = clusters
    .filter(({ problem, refusals }) => problem === undefined && Object.keys(refusals).length === 0)
    .map(({ cluster, shards, writeMs }) => `${colors.green("✓")} Every shard of ${cluster} took a write (${shards} shards, ${duration(writeMs)}).`);
  return [
    colors.bold(stack.name),
    ...table([["node", "role", "state", ""], ...notes], paint),
    "",
    ...proven,
    ...problems.map((problem) => `${colors.red("✗")} ${problem}`),
  ].join("\n");
}

function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 ** 2 ? `${(bytes / 1024).toFixed(0)} kB` : `${(bytes / 1024 ** 2).toFixed(1)} MB`;
}

/** A promise that fails when time is up. */
function bounded<Value>(promise: Promise<Value>, timeoutMs: number): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Failure(`the stack's state did not open within ${timeoutMs / 1000} s`)), timeoutMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
