import { execFile } from "node:child_process";
import { reason, SetupError } from "./setupError";

/** What a docker command printed, and its exit code; 127 if there is no docker. */
export interface DockerResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How long something quick may take inside a container: Docker may not notice that a container ended beneath an exec, which then has no end. */
export const EXEC_TIMEOUT_MS = 10_000;
/** How long Docker may take to answer what it knows by itself. */
export const ASK_TIMEOUT_MS = 20_000;
/** How long anything else may take: to stop a container is the longest, which is given a minute before it is killed. */
const TIMEOUT_MS = 120_000;

/** Runs the docker CLI without a shell, for at most `timeoutMs`. */
export function docker(args: readonly string[], input = "", timeoutMs = TIMEOUT_MS): Promise<DockerResult> {
  return new Promise((resolve) => {
    const child = execFile("docker", args, { maxBuffer: 16 * 1024 * 1024, timeout: timeoutMs, killSignal: "SIGKILL" }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 127;
      const problem = error?.killed === true ? `no answer within ${timeoutMs / 1000} s` : stderr.trim() || (code === 127 ? (error?.message ?? "") : "");
      resolve({ code, stdout: stdout.trim(), stderr: problem });
    });
    child.stdin?.on("error", () => undefined); // The command may end without reading its input.
    child.stdin?.end(input);
  });
}

/**
 * What Docker prints of containers or images, a line for each; nothing for one that does not exist.
 *
 * @throws {@link SetupError} if Docker fails for any other reason, which says nothing of whether they exist.
 */
export async function inspected(kind: "container" | "image", format: string, names: readonly string[]): Promise<string> {
  if (names.length === 0) return "";
  const { code, stdout, stderr } = await docker([kind, "inspect", "--format", format, ...names], "", ASK_TIMEOUT_MS);
  if (code !== 0 && !isAbsence(stderr)) throw new SetupError(`Docker does not tell of ${names.join(", ")}: ${reason(stderr)}. Run the update again when it does`);
  return stdout;
}

/** Whether Docker says that something does not exist. Not every "no such": Docker's socket may be the file that there is not. */
function isAbsence(stderr: string): boolean {
  return /no such (container|object|image)/i.test(stderr);
}

/** What Docker says of a container, for a sentence. */
export async function containerState(container: string): Promise<string> {
  const { code, stdout, stderr } = await docker(["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", container], "", ASK_TIMEOUT_MS);
  if (code !== 0) return isAbsence(stderr) ? `there is no container ${container}` : `Docker does not tell about its container: ${stderr.replace(/\s+/g, " ")}`;
  const [status = "", exitCode = ""] = stdout.split(" ");
  return `its container is ${status}${status === "running" ? "" : ` (exit code ${exitCode})`}`;
}
