import * as path from "node:path";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";

/** The folder of this project, wherever it is installed. */
export const PROJECT_DIRECTORY = path.resolve(__dirname, "..");

/** What a program of `setup/` is run with. */
export interface ProgramInputs {
  /** What the program reads on its standard input. */
  readonly spec: object;
  /** Environment variables: secrets, and values whose change makes the program run again. */
  readonly environment?: Readonly<Record<string, pulumi.Input<string>>>;
  readonly dependsOn: pulumi.Input<pulumi.Resource>[];
}

/**
 * A command resource that runs a program of `setup/` after deployment, and again whenever its spec or its environment
 * changes. The programs are idempotent, and secrets reach them in the environment only.
 */
export function program(parent: pulumi.ComponentResource, resourceName: string, file: string, { spec, environment = {}, dependsOn }: ProgramInputs): command.local.Command {
  return new command.local.Command(
    resourceName,
    {
      create: `node --import tsx setup/${file}.ts`,
      // Relative to the program that runs, so that the state holds no path of this machine.
      dir: path.relative(process.cwd(), PROJECT_DIRECTORY) || ".",
      stdin: JSON.stringify(spec),
      environment: { ...environment },
      addPreviousOutputInEnv: false,
    },
    { parent, dependsOn },
  );
}

/** An environment variable that changes when one of the containers is another one: a re-created node needs its set-up. */
export function identities(containers: readonly { readonly id: pulumi.Output<string> }[]): pulumi.Output<string> {
  return pulumi.all(containers.map(({ id }) => id)).apply((ids) => ids.map((id) => id.slice(0, 12)).join(" "));
}
