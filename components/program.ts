import { existsSync, readFileSync } from "node:fs";
import * as path from "node:path";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";

/** The folder of this package, wherever it is installed: the nearest one above with a package.json. */
export const PACKAGE_DIRECTORY = packageDirectory(__dirname);

function packageDirectory(directory: string): string {
  return existsSync(path.join(directory, "package.json")) ? directory : packageDirectory(path.dirname(directory));
}

/** The text of a file of this package. */
export function readPackageFile(file: string): string {
  return readFileSync(path.join(PACKAGE_DIRECTORY, file), "utf8");
}

/** What a program of `setup/` is run with. */
export interface ProgramInputs {
  /** What the program reads on its standard input. */
  readonly spec: object;
  /** Environment variables: secrets, and values whose change makes the program run again. */
  readonly environment?: Readonly<Record<string, pulumi.Input<string>>>;
  readonly dependsOn: pulumi.Input<pulumi.Resource>[];
  /** The program gets what it printed the last time, as a secret, and shows nothing of it. @default false: what it prints is for a reader */
  readonly remembers?: boolean;
  /** Other places that the command may have in the state. @default none */
  readonly aliases?: pulumi.Alias[];
  /** Shell commands before the program, which can end all with `exit`. @default none */
  readonly before?: string;
}

/**
 * A command resource that runs a program of `setup/` after deployment, and again whenever its spec or its environment
 * changes. The programs are idempotent, and secrets reach them in the environment only.
 */
export function program(parent: pulumi.ComponentResource, resourceName: string, file: string, { spec, environment = {}, dependsOn, remembers = false, aliases = [], before }: ProgramInputs): command.local.Command {
  return new command.local.Command(
    resourceName,
    {
      create: before === undefined ? programCommand(file) : `${before}; exec ${programCommand(file)}`,
      // Relative to the program that runs, so that the state holds no path of this machine.
      dir: path.relative(process.cwd(), PACKAGE_DIRECTORY) || ".",
      stdin: JSON.stringify(spec),
      environment: { ...environment },
      addPreviousOutputInEnv: remembers,
      ...(remembers && { logging: command.local.Logging.Stderr }),
    },
    { parent, dependsOn, ...(remembers && { additionalSecretOutputs: ["stdout"] }), ...(aliases.length > 0 && { aliases }) },
  );
}

/** How a program is run: its source in a checkout, what was compiled of it in an installed package. */
function programCommand(file: string): string {
  return path.extname(__filename) === ".ts" ? `node --import tsx setup/${file}.ts` : `node dist/setup/${file}.js`;
}

/** An environment variable that changes when one of the containers is another one: a re-created node needs its set-up. */
export function identities(containers: readonly { readonly id: pulumi.Output<string> }[]): pulumi.Output<string> {
  return pulumi.all(containers.map(({ id }) => id)).apply((ids) => ids.map((id) => id.slice(0, 12)).join(" "));
}
