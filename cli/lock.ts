import { existsSync, readdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import * as path from "node:path";
import { run } from "./run";

/** Who holds the lock of a stack in a backend of files. */
export interface LockHolder {
  readonly pid: number;
  readonly hostname: string;
  readonly timestamp: string;
}

/** The locks of a stack in a backend of files: where Pulumi 3 keeps them. */
export function locksOf(backendDirectory: string, label: string): LockHolder[] {
  const directory = path.join(backendDirectory, ".pulumi", "locks", ...label.split("/"));
  if (!existsSync(directory)) return [];
  const files = readdirSync(directory).filter((file) => file.endsWith(".json"));
  return files.map((file) => JSON.parse(readFileSync(path.join(directory, file), "utf8")) as LockHolder);
}

/** Whether the process that took a lock still runs; one on another machine counts as running. */
export async function isHeld({ pid, hostname: host }: LockHolder): Promise<boolean> {
  if (host !== hostname()) return true;
  // Signal 0 would reach a zombie, too, and a program that has got the number since.
  const { code, stdout } = await run("ps", ["-o", "stat=,comm=", "-p", String(pid)], { timeoutMs: 5000 });
  if (code === 0 || stdout === "") return /^[^Z]\S*\s+.*pulumi/.test(stdout);
  return exists(pid); // There is no ps.
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
