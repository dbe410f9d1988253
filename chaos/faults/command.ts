import { docker } from "../../cli/docker";
import { lastLine } from "../../cli/run";
import { holderName } from "../../topology/plan";

/** Longer than the longest graceful stop of a node. */
const TIMEOUT_MS = 120_000;

/** Runs a docker command and gives what it printed. @throws if it fails, with Docker's reason. */
export async function command(args: readonly string[], timeoutMs = TIMEOUT_MS): Promise<string> {
  const { code, stdout, stderr } = await docker(args, timeoutMs);
  if (code !== 0) throw new Error(`docker ${args.join(" ")}: ${lastLine(stderr)}`);
  return stdout;
}

/** Starts those of the containers that do not run, holders first, and lets those go on that are paused. Gives what was done, as commands. */
export async function bringBack(names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  const states = (await command(["inspect", "--format", "{{.State.Status}}", ...names])).split("\n");
  const verbs: Readonly<Record<string, string>> = { exited: "start", created: "start", dead: "start", paused: "unpause" };
  const help = names.flatMap((name, index) => {
    const verb = verbs[states[index] ?? ""];
    return verb === undefined ? [] : [[verb, name] as const];
  });
  const isHolder = ([, name]: readonly [string, string]): boolean => name === holderName(name.replace(/-holder$/, ""));
  await Promise.all(help.filter(isHolder).map((args) => command(args)));
  await Promise.all(help.filter((args) => !isHolder(args)).map((args) => command(args)));
  return help.map((args) => `docker ${args.join(" ")}`);
}
