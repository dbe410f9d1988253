import { ROLE_LABEL, STACK_LABEL } from "../topology/plan";
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
  /** The id of the container whose network namespace it shares; absent if it has its own. */
  readonly host?: string;
  /** Names of its volumes. */
  readonly volumes: readonly string[];
}

interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly Created: string;
  readonly State: { readonly Status: string; readonly ExitCode: number; readonly StartedAt: string; readonly Health?: { readonly Status: string } };
  readonly Config: { readonly Image: string; readonly Labels: Readonly<Record<string, string>> | null };
  readonly HostConfig: { readonly NetworkMode: string };
  readonly Mounts: readonly { readonly Type: string; readonly Name?: string }[];
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

/** What Docker lists of a container without looking into it. */
export interface ListedContainer {
  readonly id: string;
  readonly name: string;
  /** The stack that it belongs to, `organization/project/stack`; empty if it is of no stack. */
  readonly stack: string;
  /** Ports that it holds on the machine. */
  readonly ports: readonly { readonly ip: string; readonly port: number }[];
}

/**
 * All containers on this Docker. Only those that matter are inspected afterwards: an inspection waits for whatever
 * Docker is doing to that container, and another's container may take its time.
 */
export async function listContainers(): Promise<ListedContainer[]> {
  const format = `{{.ID}}\t{{.Names}}\t{{.Label "${STACK_LABEL}"}}\t{{.Ports}}`;
  const { code, stdout, stderr } = await docker(["ps", "--all", "--no-trunc", "--format", format], INSPECT_TIMEOUT_MS);
  if (code !== 0) throw new Failure(`Docker cannot list containers: ${lastLine(stderr)}`);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"))
    .map(([id = "", name = "", stack = "", ports = ""]) => ({ id, name, stack, ports: portsIn(ports) }));
}

/** All containers of a stack, by their label. */
export async function stackContainers(label: string): Promise<LiveContainer[]> {
  return inspectContainers((await listContainers()).filter(({ stack }) => stack === label).map(({ id }) => id));
}

/** Ports on the machine, from what `docker ps` prints: `127.0.0.1:5000-5001->5000-5001/tcp, 2379/tcp`. */
export function portsIn(printed: string): { ip: string; port: number }[] {
  return [...printed.matchAll(/(?:^|, )(\S*):(\d+)(?:-(\d+))?->/g)].flatMap(([, ip = "", first = "", last = first]) =>
    Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => ({ ip: ip.replace(/^\[|\]$/g, ""), port: Number(first) + index })),
  );
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
  if (names.length === 0) return [];
  const { stdout } = await docker(["volume", "ls", "--format", "{{.Name}}"], INSPECT_TIMEOUT_MS);
  const existing = new Set(stdout.split("\n"));
  return names.filter((name) => existing.has(name));
}

function liveContainer({ Id, Name, Created, State, Config, HostConfig, Mounts }: Inspected): LiveContainer {
  const stack = Config.Labels?.[STACK_LABEL];
  const role = Config.Labels?.[ROLE_LABEL];
  const host = /^container:(.+)$/.exec(HostConfig.NetworkMode)?.[1];
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
    ...(host !== undefined && { host }),
    image: Config.Image,
    volumes: Mounts.flatMap(({ Type, Name: volume }) => (Type === "volume" && volume !== undefined ? [volume] : [])),
  };
}
