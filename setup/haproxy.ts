import { posix } from "node:path";
import { INSIDE, RELOAD } from "../topology/haproxy";
import type { HAProxySpec } from "../topology/plan";
import type { Deadline } from "./deadline";
import { containerState, docker, EXEC_TIMEOUT_MS, type DockerResult } from "./docker";
import type { Report } from "./report";
import { SetupError } from "./setupError";

/** Where files are put until HAProxy has found them good, beside those that it reads when it starts. */
const STAGE = "next";

/**
 * Gives an HAProxy that runs its planned configuration. It reads it in a new process, and the one before it keeps the
 * sessions that it has until they end. The files stay in the container, which starts with them from then on.
 *
 * @throws {@link SetupError} if HAProxy refuses the configuration; it goes on with the earlier one.
 */
export async function reconcileHAProxy({ container, files, digest }: HAProxySpec, deadline: Deadline, report: Report): Promise<void> {
  report.activity = `waiting for ${container}`;
  const before = await deadline.poll(() => digestOf(container), late(container, deadline));
  if (before === digest) return report.found(container, "has its configuration");

  report.activity = `checking the configuration of ${container}`;
  const directory = posix.dirname(files[0]?.path ?? "/");
  const staged = (path: string): string => posix.join(directory, STAGE, posix.basename(path));
  for (const { path, content } of files) await succeed(container, ["sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1"', "sh", staged(path)], "could not be given its configuration", content);
  await succeed(container, ["haproxy", "-c", "-q", "-f", staged(files[0]?.path ?? "")], "refuses its new configuration, and goes on with the earlier one");
  // What is loaded before what loads it: a restart in between has to find either.
  for (const { path } of [...files].reverse()) await succeed(container, ["mv", staged(path), path], "could not be given its configuration");

  report.activity = `having ${container} read its configuration`;
  await succeed(container, RELOAD, "could not be told to read its configuration");
  await deadline.poll(async () => ((await digestOf(container)) === digest ? true : undefined), late(container, deadline));
  report.did(container, "has read its new configuration; sessions that were open stay open");
}

/** The digest of the configuration that the process has which takes connections; empty if it has none, undefined if it does not answer. */
async function digestOf(container: string): Promise<string | undefined> {
  const request = `exec 3<>/dev/tcp/127.0.0.1/${INSIDE.statistics} && printf 'GET /configuration HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3`;
  const { code, stdout } = await docker(["exec", container, "bash", "-c", request], "", EXEC_TIMEOUT_MS);
  if (code !== 0 || stdout === "") return undefined;
  const [head = "", body = ""] = stdout.split(/\r?\n\r?\n/);
  return /^HTTP\/\S+ 200/.test(head) && /^[0-9a-f]{12}$/.test(body.trim()) ? body.trim() : "";
}

async function succeed(container: string, command: readonly string[], problem: string, input = ""): Promise<DockerResult> {
  const result = await docker(["exec", "--interactive", "--user", "root", container, ...command], input, EXEC_TIMEOUT_MS);
  if (result.code !== 0) throw new SetupError(`${container} ${problem}: ${(result.stderr || result.stdout).replace(/\s+/g, " ")}. Mend that and run the update again`);
  return result;
}

function late(container: string, { seconds }: Deadline): () => Promise<string> {
  return async () => `${container} did not answer with its configuration within ${seconds} s; ${await containerState(container)}. Look at docker logs ${container}, then run the update again`;
}
