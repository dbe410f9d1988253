import { chooseBackend, type Backend } from "./backend";
import { requireDocker, type DockerEngine } from "./docker";
import { PROJECT_NAME } from "./project";
import { Pulumi } from "./pulumi";
import { findPulumi } from "./pulumiCli";

/** What every command on a stack works with. */
export interface Session {
  readonly engine: DockerEngine;
  readonly backend: Backend;
  readonly pulumi: Pulumi;
}

/**
 * Checks Docker, finds the Pulumi CLI and chooses the backend.
 *
 * @param environment more environment variables for Pulumi and the programs that it runs.
 * @param newPassphrase see {@link chooseBackend}.
 */
export async function openSession(stack: string, environment: Readonly<Record<string, string>> = {}, newPassphrase = false): Promise<Session> {
  const [engine, command] = await Promise.all([requireDocker(), findPulumi()]);
  const backend = chooseBackend(stack, newPassphrase);
  // The docker CLI follows its context; the provider knows DOCKER_HOST only.
  const pulumi = new Pulumi(command, stack, { DOCKER_HOST: engine.host, ...backend.environment, ...environment });
  return { engine, backend, pulumi };
}

/** The label of a stack's containers, `organization/project/stack`. The stack has to be known to its backend. */
export async function stackLabel({ backend, pulumi }: Pick<Session, "backend" | "pulumi">): Promise<string> {
  // Backends in files and buckets have one organization, and it is called so.
  const usual = `organization/${PROJECT_NAME}/${pulumi.stack}`;
  if (backend.directory !== undefined) return usual;
  const { code, stdout } = await pulumi.run(["stack", "--show-name", "--fully-qualify-stack-names"]);
  return code === 0 && stdout !== "" ? stdout : usual;
}
