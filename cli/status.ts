import colors from "picocolors";
import { PatroniRest } from "../setup/patroniRest";
import { patroniGroups, type ContainerPlan } from "../topology/plan";
import { citusStatus } from "./citusStatus";
import { connectionUris, coordinatorUris, type ConnectionUris } from "./connections";
import { requireDocker } from "./docker";
import { etcdHealth } from "./etcdHealth";
import { Failure } from "./failure";
import { fencersOff } from "./fencersOff";
import { guardNote } from "./guardNote";
import { guardStates } from "./guardStates";
import { inspectContainers } from "./live";
import { duration, size } from "./print";
import { openSession } from "./session";
import { containerNames, readStack, type Stack } from "./stack";
import { stackStatus, type Findings, type ObjectivesStatus, type StackStatus } from "./stackStatus";
import { table } from "./table";

const STATE_TIMEOUT_MS = 20_000;

/** `npm run status -- <stack>`: every node, and whether every shard takes a write. Every question has its time limit: it never hangs. */
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
  if (containers.length === 0) return { containers, patroni: new Map(), etcd: undefined, clusters: [], guards: new Map() };
  const running = (names: readonly ContainerPlan[]): string[] => names.map(({ name }) => name).filter((name) => containers.some((live) => live.name === name && live.status === "running"));
  let uriProblem: string | undefined;
  const uris = bounded(openSession(stack.name).then((session) => connectionUris(stack.name, session)), STATE_TIMEOUT_MS).catch((error: unknown): ConnectionUris => {
    uriProblem = error instanceof Error ? error.message : String(error);
    return {};
  });
  const [groups, etcd, guards, clusters, off] = await Promise.all([
    Promise.all(patroniGroups(plan).map(async (group) => ({ name: group.name, cluster: await new PatroniRest(running(group.members)).cluster() }))),
    etcdHealth(running(plan.etcd?.members ?? [])),
    guardStates(running(plan.clusters.flatMap((cluster) => cluster.guards))),
    uris.then((known) => Promise.all(coordinatorUris(stack, known).map(({ cluster, uri }) => citusStatus(cluster, uri, Object.keys(settings.schema.tables))))),
    fencersOff(plan),
  ]);
  const patroni = new Map(groups.map(({ name, cluster }) => [name, cluster?.members]));
  const paused = groups.filter(({ cluster }) => cluster?.pause === true).map(({ name }) => name);
  return { containers, patroni, paused, fencersOff: off, etcd, guards, clusters, ...(uriProblem !== undefined && { uriProblem }) };
}

function render(stack: Stack, { nodes, clusters, guards, problems, warnings, objectives }: StackStatus): string {
  const rows = nodes.map(({ name, role, state, lagBytes, placements }) => {
    const notes = [...(placements === undefined ? [] : [`${placements} placements`]), ...(lagBytes === undefined ? [] : [`${size(lagBytes)} behind`]), ...(guards[name] === undefined ? [] : [guardNote(guards[name], new Date())])];
    return [name, role, state, notes.join(", ")];
  });
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
    ...table([["node", "role", "state", ""], ...rows], paint),
    "",
    ...proven,
    ...tenantsLine(clusters),
    ...(objectives === undefined ? [] : [objectivesLine(objectives)]),
    ...warnings.map((warning) => `${colors.yellow("!")} ${warning}`),
    ...problems.map((problem) => `${colors.red("✗")} ${problem}`),
  ].join("\n");
}

/** How tenants are spread, where clusters differ in that, as the first says that knows. */
function tenantsLine(clusters: StackStatus["clusters"]): string[] {
  const tenancy = clusters.find(({ tenancy: known }) => known !== undefined && known.ring.length > 0)?.tenancy;
  if (tenancy === undefined) return [];
  const { weights, regions } = tenancy;
  const about = clusters.map(({ cluster }) => ({ cluster, words: [...((weights[cluster] ?? 1) > 1 ? [`weight ${weights[cluster]}`] : []), ...(regions[cluster] === undefined ? [] : [regions[cluster]])] }));
  if (about.every(({ words }) => words.length === 0)) return [];
  return [`${colors.green("✓")} Tenants: ${about.map(({ cluster, words }) => (words.length === 0 ? cluster : `${cluster} (${words.join(", ")})`)).join(", ")}.`];
}

function objectivesLine({ rto, rpo, unmet }: ObjectivesStatus): string {
  const set = [...(rto === undefined ? [] : [`rto ${rto}`]), ...(rpo === undefined ? [] : [`rpo ${rpo}`])].join(", ");
  const [first, ...more] = unmet;
  if (first === undefined) return `${colors.green("✓")} Objectives: ${set}. The settings can meet them.`;
  return `${colors.yellow("!")} Objectives: ${set}. ${first}${more.length === 0 ? "" : ` (${more.length} more: --json)`}`;
}

/** A promise that fails when time is up. */
function bounded<Value>(promise: Promise<Value>, timeoutMs: number): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Failure(`the stack's state did not open within ${timeoutMs / 1000} s`)), timeoutMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
