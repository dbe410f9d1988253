import { parse, stringify } from "yaml";

/** A stack's configuration as Pulumi hands it to a program: every value a text, objects as JSON. */
export type StackConfiguration = Readonly<Record<string, string>>;

/** What stands for a secret: only whether it is set matters to a plan. */
const SECRET = "[secret]";

/** Reads the text of a `Pulumi.<stack>.yaml`; keys without a namespace are the project's. */
export function readConfiguration(text: string, namespace: string): StackConfiguration {
  const { config } = (parse(text) ?? {}) as { config?: Record<string, unknown> | null };
  return Object.fromEntries(Object.entries(config ?? {}).map(([key, value]) => [key.includes(":") ? key : `${namespace}:${key}`, textOf(withoutSecrets(value))]));
}

/** The salt that a passphrase stack's secrets are encrypted with. */
export function saltOf(text: string): string | undefined {
  return /^encryptionsalt: *"?([^"\s]+)"?\s*$/m.exec(text)?.[1];
}

/** The text with another salt, or with none. */
export function withSalt(text: string, salt: string | undefined): string {
  const rest = text.replace(/^encryptionsalt:.*\n?/m, "");
  if (salt === undefined) return rest;
  return `${rest}${rest === "" || rest.endsWith("\n") ? "" : "\n"}encryptionsalt: ${salt}\n`;
}

/** The text for a benchmark: the same stack, without what only its own state opens, and dropping its data. */
export function benchConfiguration(text: string): string {
  const { config } = (parse(text) ?? {}) as { config?: Record<string, unknown> | null };
  const entries = Object.entries(config ?? {}).filter(([key, value]) => textOf(withoutSecrets(value)) !== SECRET && !key.endsWith(":dataOnDestroy"));
  return stringify({ config: Object.fromEntries(entries) });
}

/** Whether the text holds encrypted values, which only its salt opens. */
export function hasSecrets(text: string): boolean {
  return /^\s+secure:/m.test(text);
}

/** A configuration option, `key=value`, taken apart. */
export interface Option {
  /** The key with its namespace. */
  readonly key: string;
  /** Where in the key's value the option goes; empty if it is all of it. */
  readonly path: readonly (string | number)[];
  readonly value: string;
}

/**
 * Takes an option apart as `pulumi up -c key=value` does; with `byPath` the key is a path such as `clusters.b.workers` or `workers[0]`.
 *
 * @throws Error if the option has no `=`.
 */
export function optionOf(option: string, namespace: string, byPath: boolean): Option {
  const equals = option.indexOf("=");
  if (equals < 1) throw new Error(`-c ${option}: write it as key=value, for example -c workers=4`);
  const name = option.slice(0, equals);
  const colon = name.indexOf(":");
  const [prefix, rest] = colon === -1 ? [namespace, name] : [name.slice(0, colon), name.slice(colon + 1)];
  const [first = "", ...path] = byPath ? segmentsOf(rest) : [rest];
  return { key: `${prefix}:${first}`, path, value: option.slice(equals + 1) };
}

/** Sets a key as `pulumi up -c key=value` does; with `byPath` numbers and booleans are what they look like. @throws as {@link optionOf} */
export function withOption(configuration: StackConfiguration, option: string, namespace: string, byPath: boolean): StackConfiguration {
  const { key, path, value } = optionOf(option, namespace, byPath);
  if (path.length === 0) return { ...configuration, [key]: value };
  return { ...configuration, [key]: JSON.stringify(withSegment(decode(configuration[key]), path, typed(value))) };
}

function withSegment(target: unknown, [segment, ...rest]: readonly (string | number)[], value: unknown): unknown {
  if (segment === undefined) return value;
  if (typeof segment === "number") {
    const list: unknown[] = Array.isArray(target) ? [...(target as unknown[])] : [];
    list[segment] = withSegment(list[segment], rest, value);
    return list;
  }
  const object = typeof target === "object" && target !== null ? (target as Record<string, unknown>) : {};
  return { ...object, [segment]: withSegment(object[segment], rest, value) };
}

/** `a.b[0]["c.d"]` as `a`, `b`, 0, `c.d`. */
function segmentsOf(path: string): (string | number)[] {
  return [...path.matchAll(/\[(\d+)\]|\["([^"]*)"\]|([^.[\]]+)/g)].map(([, index, quoted, plain]) => (index === undefined ? (quoted ?? plain ?? "") : Number(index)));
}

function typed(value: string): unknown {
  if (value === "true" || value === "false") return value === "true";
  return /^(0|-?[1-9]\d*)$/.test(value) ? Number(value) : value;
}

function decode(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return text;
  }
}

function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0]?.[0] === "secure") return SECRET;
  return Object.fromEntries(entries.map(([key, item]) => [key, withoutSecrets(item)]));
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
