import { docker } from "../docker";

/** Those of the containers that there are, running or not. */
export async function existing(containers: readonly string[]): Promise<string[]> {
  const found = await Promise.all(containers.map(async (container) => (await docker(["inspect", "--type", "container", "--format", "{{.Id}}", container])).code === 0));
  return containers.filter((_, index) => found[index]);
}
