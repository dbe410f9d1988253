import { readFileSync } from "node:fs";
import * as path from "node:path";
import { command } from "./command";

/** The processes of a container as this machine numbers them. */
export interface ContainerProcesses {
  readonly name: string;
  /** The container's first process. */
  readonly first: number;
  /** All of them, the first one first. */
  readonly all: readonly number[];
}

const CGROUPS = "/sys/fs/cgroup";

/** The processes of containers that run. @throws if one does not run, or its processes are not this machine's. */
export async function processes(names: readonly string[]): Promise<ContainerProcesses[]> {
  const lines = (await command(["inspect", "--format", "{{.Name}} {{.Id}} {{.State.Pid}}", ...names])).split("\n");
  return lines.map((line) => {
    const [name = "", id = "", pid = ""] = line.split(" ");
    const first = Number(pid);
    const groups = controlGroups(first, id);
    if (groups === undefined) throw new Error(`the processes of ${name.slice(1)} are not this machine's, or it does not run`);
    return { name: name.slice(1), first, all: [...new Set([first, ...members(groups)])] };
  });
}

/** Whether the processes of a container are this machine's: where Docker runs in a virtual machine they are not. */
export function isProcessOf(pid: number, containerId: string): boolean {
  return controlGroups(pid, containerId) !== undefined;
}

/** Paths of a container's control groups; undefined if the process is not one of the container's. */
function controlGroups(pid: number, containerId: string): string[] | undefined {
  try {
    const groups = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n").filter((line) => line.includes(containerId));
    if (pid <= 1 || groups.length === 0) return undefined;
    return groups.map((line) => {
      const [, controllers = "", group = ""] = line.split(":");
      return path.join(CGROUPS, controllers.replace(/^name=/, ""), group, "cgroup.procs");
    });
  } catch {
    return undefined;
  }
}

/** The processes in the first control group that can be read. */
function members(files: readonly string[]): number[] {
  for (const file of files) {
    try {
      return readFileSync(file, "utf8").split("\n").filter((line) => line !== "").map(Number);
    } catch {
      continue;
    }
  }
  return [];
}
