import { z } from "zod";
import { ruleProblems } from "./rules";
import { settingsSchemas, type PasswordKey, type Settings, type Topology } from "./settings";

/** One thing that is wrong with what a user set. */
export interface Problem {
  /** The key as `pulumi config set --path` takes it: `clusters.b.workers`. */
  readonly key: string;
  /** What is wrong and what would be right. */
  readonly message: string;
  /** The value that was given; absent for a key that is missing, and for secrets. */
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
  readonly passwords: Readonly<Partial<Record<PasswordKey, string>>>;
}

const PASSWORDS: readonly PasswordKey[] = ["superuserPassword", "replicationPassword", "rewindPassword"];

/**
 * Decodes a stack's configuration as Pulumi hands it over: every value a text, objects as JSON. Keys of other
 * namespaces are left out. A key whose schema is a text keeps its text, so a password of digits stays what it is.
 */
export function decodeConfig(config: Readonly<Record<string, string>>, namespace: string): Record<string, unknown> {
  const own = Object.entries(config).filter(([key]) => key.startsWith(`${namespace}:`));
  const decoded = Object.fromEntries(own.map(([key, text]) => [key.slice(namespace.length + 1), text]));
  const schema = schemaOf(decoded["topology"]);
  return Object.fromEntries(
    Object.entries(decoded).map(([key, text]) => {
      const keySchema = schema?.shape[key as keyof typeof schema.shape];
      return [key, keySchema === undefined || isText(keySchema) ? text : decodeJson(text)];
    }),
  );
}

/**
 * Turns decoded configuration into {@link Settings}.
 *
 * @throws {@link SettingsError} with every problem found, if there is one.
 */
export function parseSettings(input: Readonly<Record<string, unknown>>, source = "The stack's configuration"): ParsedSettings {
  const schema = schemaOf(input["topology"]);
  if (schema === undefined) {
    const value = input["topology"];
    const message = `must be ${Object.keys(settingsSchemas).map((name) => `"${name}"`).join(" or ")}: pulumi config set topology active-passive`;
    throw new SettingsError([{ key: "topology", message, ...(value !== undefined && { value }) }], source);
  }
  const result = schema.safeParse(input);
  if (!result.success) throw new SettingsError(result.error.issues.flatMap((issue) => problemsOf(issue, input)), source);
  const passwords = Object.fromEntries(PASSWORDS.filter((key) => key in input).map((key) => [key, input[key] as string]));
  const settings = Object.fromEntries(Object.entries(result.data).filter(([key]) => !(PASSWORDS as string[]).includes(key))) as unknown as Settings;
  const problems = ruleProblems(settings, Object.keys(passwords) as PasswordKey[]);
  if (problems.length > 0) throw new SettingsError(problems, source);
  return { settings, passwords };
}

function schemaOf(topology: unknown): (typeof settingsSchemas)[Topology] | undefined {
  return typeof topology === "string" && topology in settingsSchemas ? settingsSchemas[topology as Topology] : undefined;
}

function isText(schema: z.ZodType): boolean {
  const type = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as { type?: string; enum?: unknown[]; const?: unknown; anyOf?: { type?: string }[] };
  return type.type === "string" || typeof type.const === "string" || (type.anyOf ?? []).some((option) => option.type === "string");
}

function decodeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function problemsOf(issue: z.core.$ZodIssue, input: unknown): Problem[] {
  const path = issue.path.map(String);
  if (issue.code === "unrecognized_keys") {
    const allowed = knownKeys(path, input);
    return issue.keys.map((key) => ({
      key: [...path, key].join("."),
      message: `unknown key${allowed.length === 0 ? "" : `; keys ${path.length === 0 ? "are" : `of ${path.join(".")} are`} ${allowed.join(", ")}`}`,
    }));
  }
  if (issue.code === "invalid_key") return [{ key: path.join("."), message: issue.issues[0]?.message ?? issue.message }];
  const secret = (PASSWORDS as string[]).includes(path[0] ?? "");
  const value = path.reduce<unknown>((parent, key) => (parent as Record<string, unknown> | undefined)?.[key], input);
  const message = issue.code === "invalid_type" && !issue.message.startsWith("must") ? `must be ${article(issue.expected)}` : issue.message;
  return [{ key: path.join("."), message, ...(!secret && value !== undefined && { value }) }];
}

/** The keys that an object of the schema has, found by asking the schema about an object with no known key. */
function knownKeys(path: readonly string[], input: unknown): string[] {
  const topology = (input as { topology?: unknown }).topology;
  const schema = schemaOf(topology);
  if (schema === undefined) return [];
  type Node = { properties?: Record<string, Node>; additionalProperties?: Node | boolean };
  let node: Node | undefined = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Node;
  for (const key of path) node = node?.properties?.[key] ?? (typeof node?.additionalProperties === "object" ? node.additionalProperties : undefined);
  return Object.keys(node?.properties ?? {});
}

function article(type: string): string {
  const named: Record<string, string> = { int: "a whole number", number: "a number", string: "a text", object: "an object", record: "an object of names", array: "a list", boolean: "true or false" };
  return named[type] ?? `of type ${type}`;
}

function show(value: unknown): string {
  return typeof value === "string" ? `"${value}"` : JSON.stringify(value);
}
