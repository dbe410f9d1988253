import { holderName, ROLE_LABEL, STACK_LABEL } from "../topology/plan";
import { docker } from "./docker";
import { Failure } from "./failure";
import { lastLine } from "./run";

/** A container as Docker has it. */
export interface LiveContainer {
  readonly id: string;
  readonly name: string;
  /** `running`, `exited`, `paused`, `restarting`, `created`, `dead`. */
  readonly status: string;
  /** What the health check says; absent without one. */
  readonly health?: string;
  readonly exitCode: number;
  readonly startedAt: Date;
  readonly createdAt: Date;
  /** The stack that it belongs to, `organization/project/stack`; absent if it is of no stack. */
  readonly stack?: string;
  readonly role?: string;
  readonly image: string;
  /** Names of its volumes. */
  readonly volumes: readonly string[];
  /** Ports on the machine. */
  readonly ports: readonly { readonly ip: string; readonly port: number }[];
}

interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly Created: string;
  readonly State: { readonly Status: string; readonly ExitCode: number; readonly StartedAt: string; readonly Health?: { readonly Status: string } };
  readonly Config: { readonly Image: string; readonly Labels: Readonly<Record<string, string>> | null };
  readonly Mounts: readonly { readonly Type: string; readonly Name?: string }[];
  readonly HostConfig: { readonly PortBindings: Readonly<Record<string, readonly { readonly HostIp: string; readonly HostPort: string }[] | null>> | null };
}

/** Docker answers an inspection at once, whatever the containers do. */
const INSPECT_TIMEOUT_MS = 20_000;

/** The containers of these names or ids that exist. */
export async function inspectContainers(names: readonly string[]): Promise<LiveContainer[]> {
  if (names.length === 0) return [];
  const { stdout, stderr } = await docker(["container", "inspect", "--format", "{{json .}}", ...names], INSPECT_TIMEOUT_MS);
  const unexpected = stderr.split("\n").filter((line) => line !== "" && !/no such (container|object)/i.test(line));
  if (stdout === "" && unexpected.length > 0) throw new Failure(`Docker cannot inspect containers: ${lastLine(unexpected.join("\n"))}`);
  return stdout === "" ? [] : stdout.split("\n").map((line) => liveContainer(JSON.parse(line) as Inspected));
}

/** All containers of a stack, by their label; with no label given, all containers on this Docker. */
export async function listContainers(label?: string): Promise<LiveContainer[]> {
  const { code, stdout, stderr } = await docker(["ps", "--all", "--quiet", "--no-trunc", ...(label === undefined ? [] : ["--filter", `label=${STACK_LABEL}=${label}`])], INSPECT_TIMEOUT_MS);
  if (code !== 0) throw new Failure(`Docker cannot list containers: ${lastLine(stderr)}`);
  return inspectContainers(stdout.split("\n").filter((id) => id !== ""));
}

/** Networks of a stack, by their label. */
export async function listNetworks(label: string): Promise<{ id: string; name: string }[]> {
  const { stdout } = await docker(["network", "ls", "--no-trunc", "--filter", `label=${STACK_LABEL}=${label}`, "--format", "{{.ID}} {{.Name}}"], INSPECT_TIMEOUT_MS);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(" ") as [string, string])
    .map(([id, name]) => ({ id, name }));
}

/** The ids of all networks on this Docker. */
export async function networkIds(): Promise<ReadonlySet<string>> {
  return new Set((await docker(["network", "ls", "--no-trunc", "--quiet"], INSPECT_TIMEOUT_MS)).stdout.split("\n"));
}

/** Those of the volumes that exist. */
export async function existingVolumes(names: readonly string[]): Promise<string[]> {
  const { stdout } = await docker(["volume", "ls", "--format", "{{.Name}}"], INSPECT_TIMEOUT_MS);
  const existing = new Set(stdout.split("\n"));
  return names.filter((name) => existing.has(name));
}

/**
 * Members whose holder was restarted alone: they run on in a network namespace that nothing leads to any more. Only a
 * restart of the member helps; Docker and Pulumi do not notice.
 */
export function cutOffMembers(containers: readonly LiveContainer[]): LiveContainer[] {
  const byName = new Map(containers.map((container) => [container.name, container]));
  return containers.filter((member) => {
    const holder = byName.get(holderName(member.name));
    return holder?.status === "running" && member.status === "running" && member.startedAt < holder.startedAt;
  });
}

function liveContainer({ Id, Name, Created, State, Config, Mounts, HostConfig }: Inspected): LiveContainer {
  const stack = Config.Labels?.[STACK_LABEL];
  const role = Config.Labels?.[ROLE_LABEL];
  const bindings = Object.values(HostConfig.PortBindings ?? {}).flatMap((list) => list ?? []);
  return {
    id: Id,
    name: Name.replace(/^\//, ""),
    status: State.Status,
    ...(State.Health !== undefined && { health: State.Health.Status }),
    exitCode: State.ExitCode,
    startedAt: new Date(State.StartedAt),
    createdAt: new Date(Created),
    ...(stack !== undefined && { stack }),
    ...(role !== undefined && { role }),
    image: Config.Image,
    volumes: Mounts.flatMap(({ Type, Name: volume }) => (Type === "volume" && volume !== undefined ? [volume] : [])),
    ports: bindings.map(({ HostIp, HostPort }) => ({ ip: HostIp, port: Number(HostPort) })).filter(({ port }) => port > 0),
  };
}
