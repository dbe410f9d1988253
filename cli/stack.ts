import { existsSync, readFileSync } from "node:fs";
import * as path from "node:path";
import { publishedPorts, type PublishedPort } from "../config/names";
import { decodeConfig, parseSettings } from "../config/parse";
import type { PasswordKey, Settings } from "../config/settings";
import { containersOf, holderName, type StackPlan } from "../topology/plan";
import { planStack } from "../topology/stack";
import { Failure } from "./failure";
import { PROJECT_DIRECTORY, PROJECT_NAME, stackFile } from "./project";
import { readConfiguration, withOption } from "./stackConfiguration";

/** A stack as its configuration describes it, whether it runs or not. */
export interface Stack {
  readonly name: string;
  readonly settings: Settings;
  readonly plan: StackPlan;
  readonly ports: readonly PublishedPort[];
  /** The passwords that the user gave; the others are generated and live in the state. */
  readonly passwords: readonly PasswordKey[];
}

/** Configuration that `up` was given on its command line, as `pulumi up` takes it. */
export interface ConfigurationOptions {
  readonly config: readonly string[];
  readonly configPath: boolean;
}

/**
 * Reads and plans a stack without touching anything.
 *
 * @throws SettingsError if the configuration cannot be used, {@link Failure} if it cannot be read.
 */
export function readStack(name: string, { config, configPath }: ConfigurationOptions = { config: [], configPath: false }): Stack {
  const file = path.basename(stackFile(name));
  const configuration = attempt(() => {
    const text = readFileSync(stackFile(name), "utf8");
    return config.reduce((current, option) => withOption(current, option, PROJECT_NAME, configPath), readConfiguration(text, PROJECT_NAME));
  }, `${file} cannot be used`);
  const { settings, passwords } = parseSettings(decodeConfig(configuration, PROJECT_NAME), file);
  const schema = path.resolve(PROJECT_DIRECTORY, settings.schema.file);
  if (!existsSync(schema)) throw new Failure(`${file}: schema.file is ${settings.schema.file}, and there is no such file in the project; nothing was touched.`);
  const plan = planStack(settings, (relative) => readFileSync(path.resolve(PROJECT_DIRECTORY, relative), "utf8"));
  return { name, settings, plan, ports: publishedPorts(settings), passwords: Object.keys(passwords) as PasswordKey[] };
}

/** The names of all containers of a stack, holders included. */
export function containerNames({ plan }: Pick<Stack, "plan">): string[] {
  return containersOf(plan).flatMap(({ name, held }) => (held ? [holderName(name), name] : [name]));
}

/**
 * Whether a container's or network's name is one that the stack gives, with these or other counts. Stacks of one name in
 * two copies of the project carry one label: only the prefix tells them apart.
 */
export function givesName(stack: Stack, name: string): boolean {
  const { settings, plan } = stack;
  if (name === plan.network || containerNames(stack).includes(name)) return true;
  const rest = name.startsWith(settings.prefix) ? name.slice(settings.prefix.length) : "";
  return /^((coord|guard)[-_][a-z0-9]+|worker[a-z0-9_-]+|etcd-\d+|haproxy|pooler|keeper(-active-(active|passive))?)(-holder)?$/.test(rest);
}

/** The names of all volumes of a stack. */
export function volumeNames({ plan }: Pick<Stack, "plan">): string[] {
  return containersOf(plan).flatMap(({ volume }) => volume?.name ?? []);
}

function attempt<Value>(read: () => Value, problem: string): Value {
  try {
    return read();
  } catch (error) {
    throw new Failure(`${problem}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
