import { execFile } from "node:child_process";

/** What a docker command printed, and its exit code; 127 if there is no docker. */
export interface DockerResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How long something quick may take inside a container: Docker may not notice that a container ended beneath an exec, which then has no end. */
export const EXEC_TIMEOUT_MS = 10_000;

/** Runs the docker CLI without a shell, for at most `timeoutMs`; 0 is without end. */
export function docker(args: readonly string[], input = "", timeoutMs = 0): Promise<DockerResult> {
  return new Promise((resolve) => {
    const child = execFile("docker", args, { maxBuffer: 16 * 1024 * 1024, timeout: timeoutMs, killSignal: "SIGKILL" }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 127;
      const problem = error?.killed === true ? `no answer within ${timeoutMs / 1000} s` : (error?.message ?? "");
      resolve({ code, stdout: stdout.trim(), stderr: stderr.trim() || (code === 127 ? problem : "") });
    });
    child.stdin?.on("error", () => undefined); // The command may end without reading its input.
    child.stdin?.end(input);
  });
}

/** What Docker says of a container, for a sentence. */
export async function containerState(container: string): Promise<string> {
  const { code, stdout, stderr } = await docker(["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", container]);
  if (code !== 0) return /no such/i.test(stderr) ? `there is no container ${container}` : `Docker does not tell about its container: ${stderr.replace(/\s+/g, " ")}`;
  const [status = "", exitCode = ""] = stdout.split(" ");
  return `its container is ${status}${status === "running" ? "" : ` (exit code ${exitCode})`}`;
}
