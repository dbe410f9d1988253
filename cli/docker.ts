import { Failure } from "./failure";
import { run, TIMED_OUT, type RunResult } from "./run";

/** Runs the docker CLI. Never throws. */
export function docker(args: readonly string[], timeoutMs = 60_000): Promise<RunResult> {
  return run("docker", args, { timeoutMs });
}

/** The Docker engine that answers. */
export interface DockerEngine {
  /** Its address, such as `unix:///var/run/docker.sock`. */
  readonly host: string;
  readonly version: string;
  /** Whether the engine runs on this machine, so that its ports are this machine's. */
  readonly local: boolean;
}

const ANSWER_TIMEOUT_MS = 15_000;
const DEFAULT_HOST = "unix:///var/run/docker.sock";

/**
 * The Docker engine, if there is one and it answers.
 *
 * @throws {@link Failure} that tells what to start.
 */
export async function requireDocker(): Promise<DockerEngine> {
  const [version, context] = await Promise.all([
    docker(["version", "--format", "{{.Server.Version}}"], ANSWER_TIMEOUT_MS),
    docker(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], ANSWER_TIMEOUT_MS),
  ]);
  const host = process.env["DOCKER_HOST"] ?? (context.code === 0 && context.stdout !== "" ? context.stdout : DEFAULT_HOST);
  if (version.code === 0) return { host, version: version.stdout, local: /^(unix|npipe):/.test(host) };
  throw new Failure(dockerProblem(version, host, process.env["DOCKER_HOST"]));
}

/** Why Docker cannot be used, and what to do. `variable` is DOCKER_HOST. */
export function dockerProblem({ code, stderr }: Pick<RunResult, "code" | "stderr">, host: string, variable: string | undefined): string {
  const where = variable === undefined ? host : `DOCKER_HOST=${host}`;
  if (/ENOENT/.test(stderr)) return "Docker is not installed: there is no docker on the PATH. Install it (https://docs.docker.com/get-docker/), start it and run this command again.";
  if (/permission denied/i.test(stderr)) {
    return `You may not use Docker at ${where}: add yourself to its group (sudo usermod -aG docker $USER), log in again and run this command again.`;
  }
  if (code === TIMED_OUT) return `Docker at ${where} does not answer within ${ANSWER_TIMEOUT_MS / 1000} s: restart it and run this command again.`;
  const start =
    variable === undefined ? "start Docker Desktop, or the service (sudo systemctl start docker)" : "start it there, or unset DOCKER_HOST to use the one that docker context names";
  return `Docker does not answer at ${where}: ${start}, and run this command again.`;
}
