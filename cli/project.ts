import { readdirSync } from "node:fs";
import * as path from "node:path";
import { closest } from "../config/closest";
import { Failure } from "./failure";

/** The folder of the project. */
export const PROJECT_DIRECTORY = path.resolve(__dirname, "..");
/** The project's name in Pulumi.yaml, the namespace of its configuration. */
export const PROJECT_NAME = "citus-sharding";
/** The folder in which the front door keeps what is its own: state, passphrase, a Pulumi CLI. Not in git. */
export const OWN_DIRECTORY = path.join(PROJECT_DIRECTORY, ".pulumi");

/** The path of a stack's configuration file. */
export function stackFile(stack: string): string {
  return path.join(PROJECT_DIRECTORY, `Pulumi.${stack}.yaml`);
}

/** The stacks that have a configuration file, `Pulumi.<stack>.yaml`, by name. */
export function stacksIn(files: readonly string[]): string[] {
  return files.flatMap((file) => /^Pulumi\.([\w-]+)\.yaml$/.exec(file)?.[1] ?? []).sort();
}

/** The stack that a user named. `command` is what follows `npm run`, up to the stack's name. */
export function requireStack(command: string, name: string | undefined, stacks: readonly string[] = stacksIn(readdirSync(PROJECT_DIRECTORY))): string {
  if (name !== undefined && stacks.includes(name)) return name;
  const similar = name === undefined ? undefined : closest(name, stacks);
  const run = `npm run ${command}${command.includes(" -- ") ? "" : " --"}`;
  const problem = name === undefined ? `Which stack? npm run ${command} needs its name.` : `There is no stack "${name}": there is no file Pulumi.${name}.yaml.`;
  throw new Failure(`${problem} Stacks here: ${stacks.join(", ")}. For example: ${run} ${similar ?? stacks.at(-1) ?? "active-passive"}`);
}
