import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { CONFIGURATION_FILE } from "../topology/etcd";
import type { EtcdMember } from "../topology/plan";
import { docker } from "./docker";
import { SetupError } from "./setupError";

/** etcd's configuration as it is in a member's volume. */
export type EtcdConfiguration = Readonly<Record<string, string | boolean>>;

/** The configuration in a member's volume, whether its container runs or not; undefined if there is none: the volume is new. */
export async function readConfiguration({ name }: EtcdMember): Promise<EtcdConfiguration | undefined> {
  const { code, stdout, stderr } = await docker(["cp", `${name}:${CONFIGURATION_FILE}`, "-"]);
  if (code !== 0) {
    if (/No such container:path|Could not find the file/.test(stderr)) return undefined;
    throw new SetupError(`${name}: Docker could not read ${CONFIGURATION_FILE}: ${stderr}`);
  }
  // A tar archive of the one file.
  const json = stdout.slice(stdout.indexOf("{"), stdout.lastIndexOf("}") + 1);
  try {
    return JSON.parse(json) as EtcdConfiguration;
  } catch {
    return undefined; // A set-up was killed while it wrote, so etcd has never read it.
  }
}

/** Puts a configuration into a member's volume and has etcd start with it: once, so stopped before, as a member without one starts again and again. */
export async function applyConfiguration({ name }: EtcdMember, configuration: EtcdConfiguration): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), "etcd-"));
  try {
    const file = path.join(folder, path.basename(CONFIGURATION_FILE));
    await writeFile(file, JSON.stringify(configuration));
    for (const args of [["stop", name], ["cp", file, `${name}:${CONFIGURATION_FILE}`], ["start", name]]) {
      const { code, stderr } = await docker(args);
      if (code !== 0) throw new SetupError(`${name}: docker ${args[0]} failed: ${stderr}. Run the update again`);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}
