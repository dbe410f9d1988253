import { closest } from "./closest";
import { defaultReplicationFactor } from "./replicationFactor";
import { ruleProblems } from "./rules";
import { childOf, objectIn, schemaTree, takesText, type SchemaNode } from "./schemaTree";
import { PASSWORD_KEYS, settingsSchemas, type PasswordKey, type Passwords, type Settings, type Topology } from "./settings";
import type { z } from "zod";

/** One thing that is wrong with what a user set. */
export interface Problem {
  /** The key as `pulumi config set --path` takes it: `clusters.b.workers`. */
  readonly key: string;
  /** What is wrong and what would be right. */
  readonly message: string;
  /** The value that was given; absent for a key that is missing or unknown, and for secrets. */
  readonly value?: unknown;
}

/** Settings that cannot be used. Its message lists every problem, one a line. */
export class SettingsError extends Error {
  constructor(
    readonly problems: readonly Problem[],
    source: string,
  ) {
    const lines = problems.map(({ key, message, value }) => `  ${key}${value === undefined ? "" : ` = ${show(value)}`}: ${message}`);
    super(`${source} cannot be used; nothing was touched.\n${lines.join("\n")}`);
    this.name = "SettingsError";
  }
}

/** Settings and which passwords came with them. */
export interface ParsedSettings {
  readonly settings: Settings;
  /** The passwords that the user gave. */
  readonly passwords: Passwords;
}

const PASSWORDS: readonly string[] = Object.values(PASSWORD_KEYS).flat();
const TOPOLOGIES = Object.keys(settingsSchemas) as Topology[];

/**
 * Decodes a stack's configuration as Pulumi hands it over: every top-level value a text, objects as JSON in which
 * `pulumi config set --path` leaves fractions and JSON as texts. A text becomes what its key's schema wants, and stays
 * a text where that is one, so that a password of digits stays what it is. Keys of other namespaces are left out.
 */
export function decodeConfig(config: Readonly<Record<string, string>>, namespace: string): Record<string, unknown> {
  const own = Object.entries(config).filter(([key]) => key.startsWith(`${namespace}:`));
  const texts = Object.fromEntries(own.map(([key, text]) => [key.slice(namespace.length + 1), text]));
  const topology = topologyOf(texts);
  return topology === undefined ? texts : (decode(schemaTree(topology), texts) as Record<string, unknown>);
}

/**
 * Turns decoded configuration into {@link Settings}. `secretKeys` are top-level keys whose values are secrets beside
 * the passwords.
 *
 * @throws {@link SettingsError} with every problem found, if there is one. Secrets are not in it.
 */
export function parseSettings(
  input: Readonly<Record<string, unknown>>,
  source = "The stack's configuration",
  secretKeys: readonly string[] = [],
): ParsedSettings {
  const fail = (problems: readonly Problem[]): never => {
    const secrets = [...PASSWORDS, ...secretKeys];
    throw new SettingsError(problems.map(({ value, ...problem }) => (secrets.includes(firstOf(problem.key)) ? problem : { ...problem, value })), source);
  };
  const topology = topologyOf(input);
  if (topology === undefined) {
    const message = `must be ${TOPOLOGIES.map((name) => `"${name}"`).join(" or ")}, as in: pulumi config set topology ${TOPOLOGIES[0]}`;
    return fail([{ key: "topology", message, value: input["topology"] }]);
  }
  const result = settingsSchemas[topology].safeParse(input);
  if (!result.success) return fail(result.error.issues.flatMap((issue) => problemsOf(issue, topology, input)));
  const isPassword = ([key]: [string, unknown]): boolean => PASSWORDS.includes(key);
  const passwords = Object.fromEntries(Object.entries(result.data).filter(isPassword)) as ParsedSettings["passwords"];
  // The one default that another key decides.
  const preset = result.data.topology === "active-passive" ? { replicationFactor: defaultReplicationFactor(result.data.workers) } : {};
  const settings = { ...preset, ...Object.fromEntries(Object.entries(result.data).filter((entry) => !isPassword(entry))) } as unknown as Settings;
  const problems = ruleProblems(settings, Object.keys(passwords) as PasswordKey[]);
  return problems.length > 0 ? fail(problems) : { settings, passwords };
}

function topologyOf({ topology }: Readonly<Record<string, unknown>>): Topology | undefined {
  return TOPOLOGIES.find((name) => name === topology);
}

function decode(node: SchemaNode | undefined, value: unknown): unknown {
  if (node === undefined) return value;
  if (typeof value === "string") {
    const json = takesText(node) ? value : parseJson(value);
    return typeof json === "string" ? value : decode(node, json);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, decode(childOf(node, key), child)]));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function problemsOf(issue: z.core.$ZodIssue, topology: Topology, input: unknown): Problem[] {
  const { path } = issue;
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => ({ key: pathText([...path, key]), message: unknownKey(path, key, topology) }));
  if (issue.code === "invalid_key") return [{ key: pathText(path), message: issue.issues[0]?.message ?? issue.message }];
  const value = path.reduce<unknown>((parent, key) => (parent as Record<PropertyKey, unknown>)[key], input);
  // The schema says what is right of every value but of objects with fixed keys.
  const keys = Object.keys(nodeAt(topology, path)?.properties ?? {});
  const message = issue.code === "invalid_type" && keys.length > 0 ? `must be an object of ${keys.join(", ")}; {} takes the defaults` : issue.message;
  return [{ key: pathText(path), message, value }];
}

/** Why a key is unknown, and which was probably meant. */
function unknownKey(path: readonly PropertyKey[], key: string, topology: Topology): string {
  const known = Object.keys(objectIn(nodeAt(topology, path))?.properties ?? {});
  const other = TOPOLOGIES.find((name) => childOf(nodeAt(name, path), key) !== undefined);
  if (other !== undefined) return `unknown key in ${topology}; it belongs to ${other}`;
  const first = firstOf(key);
  if (first !== key && known.includes(first)) return `unknown key; to set a key in ${first}: pulumi config rm '${key}', then pulumi config set --path '${key}' …`;
  const meant = closest(key, known);
  if (meant !== undefined) return `unknown key; did you mean ${pathText([...path, meant])}?`;
  return `unknown key; keys ${path.length === 0 ? "" : `of ${pathText(path)} `}are ${known.join(", ")}`;
}

function nodeAt(topology: Topology, path: readonly PropertyKey[]): SchemaNode | undefined {
  return path.reduce<SchemaNode | undefined>((node, key) => childOf(node, String(key)), schemaTree(topology));
}

/** A path as `pulumi config set --path` takes it. */
function pathText([first = "", ...rest]: readonly PropertyKey[]): string {
  const parts = rest.map((key) => (typeof key === "number" ? `[${key}]` : /^[\w-]+$/.test(String(key)) ? `.${String(key)}` : `["${String(key)}"]`));
  return `${String(first)}${parts.join("")}`;
}

/** The top-level key of a path. */
function firstOf(path: string): string {
  return path.split(/[.[]/, 1)[0] ?? path;
}

const SHOWN_LENGTH = 120;

function show(value: unknown): string {
  const text = typeof value === "number" ? String(value) : JSON.stringify(value);
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text;
}
