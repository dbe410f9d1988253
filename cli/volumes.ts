import type { DataVolume, StackIdentity } from "../topology/identity";
import { STACK_LABEL } from "../topology/plan";
import { docker } from "./docker";
import { Failure } from "./failure";
import { lastLine } from "./run";

/** Removes volumes with all their data, by their names. @throws {@link Failure} with Docker's reason. */
export async function removeVolumes(names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const { code, stderr } = await docker(["volume", "rm", ...names]);
  if (code !== 0) throw new Failure(`Docker cannot remove the volumes: ${lastLine(stderr)}`);
}

/** Volumes that carry a stack's label. Those that an older version of the project made have none. */
export async function labelledVolumes(label: string): Promise<string[]> {
  const { stdout } = await docker(["volume", "ls", "--filter", `label=${STACK_LABEL}=${label}`, "--format", "{{.Name}}"]);
  return stdout.split("\n").filter((name) => name !== "");
}

/** The volumes that a successful update has left without a container. */
export interface LeftVolumes {
  /** Of workers that were drained and standbys and etcd members that were taken out: what they held, others hold. */
  readonly spent: readonly string[];
  /** Of clusters that were taken out. */
  readonly orphaned: readonly string[];
}

/** The volumes that the state had before an update, and the plan has no more. */
export function leftVolumes(before: readonly DataVolume[], now: StackIdentity): LeftVolumes {
  const planned = new Set(now.volumes.map(({ name }) => name));
  const left = before.filter(({ name }) => !planned.has(name));
  // What another prefix leaves behind nobody else holds.
  const isOwn = (name: string): boolean => name.startsWith(now.prefix) && /^(coord|worker|etcd)[-_\d]/.test(name.slice(now.prefix.length));
  const isSpent = ({ name, cluster, role }: DataVolume): boolean => isOwn(name) && (now.topology === "active-passive" || (role === "worker" && cluster !== undefined && now.clusters.includes(cluster)));
  return { spent: left.filter(isSpent).map(({ name }) => name), orphaned: left.filter((volume) => !isSpent(volume)).map(({ name }) => name) };
}
