import { inspected } from "../docker";

/** Those of the containers that there are, running or not. @throws {@link SetupError} if Docker does not tell. */
export async function existing(containers: readonly string[]): Promise<string[]> {
  const found = await Promise.all(containers.map((container) => inspected("container", "{{.Id}}", [container])));
  return containers.filter((_, index) => found[index] !== "");
}

/**
 * `healthy`, `starting` or `unhealthy` for each container that runs, and what Docker calls its state for any other; none for one that does
 * not exist.
 *
 * @throws {@link SetupError} if Docker does not tell.
 */
export async function healthOf(containers: readonly string[]): Promise<Map<string, string>> {
  const format = "{{if .State.Running}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}";
  const states = await Promise.all(containers.map((container) => inspected("container", format, [container])));
  return new Map(containers.flatMap((container, index): [string, string][] => (states[index] ? [[container, states[index]]] : [])));
}
