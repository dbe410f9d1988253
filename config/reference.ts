import { isDeepStrictEqual } from "node:util";
import { objectIn, schemaTree, type SchemaNode } from "./schemaTree";
import { settingsSchemas, type Topology } from "./settings";

/** One key that a user may set, as the README shows it. */
export interface ReferenceEntry {
  /** The full dotted path; `<name>` stands for a name that the user chooses. */
  readonly key: string;
  /** The type in words. */
  readonly type: string;
  /** The default in Markdown; empty where there is none, "required" where there has to be a value. */
  readonly default: string;
  /** What the setting means. */
  readonly meaning: string;
}

/** Every key of a topology, in the schema's order. */
export function referenceOf(topology: Topology): ReferenceEntry[] {
  return entriesOf(schemaTree(topology), "");
}

/** The key-by-key tables of both topologies in Markdown, the keys that they share once. */
export function settingsReference(): string {
  const topologies = Object.keys(settingsSchemas) as Topology[];
  const entries = topologies.map((topology) => ({ topology, all: referenceOf(topology) }));
  const isCommon = (entry: ReferenceEntry): boolean => entries.every(({ all }) => all.some((other) => isDeepStrictEqual(entry, other)));
  const own = entries.map(({ topology, all }) => ({ title: topology, rows: all.filter((entry) => !isCommon(entry)) }));
  const common = { title: "Both topologies", rows: entries[0]?.all.filter(isCommon) ?? [] };
  return [...own, common].map(({ title, rows }) => `### ${title}\n\n${table(rows)}`).join("\n\n");
}

const BEGIN = "<!-- settings:begin -->";
const END = "<!-- settings:end -->";

/**
 * A Markdown document with the reference between its two markers, `<!-- settings:begin -->` and `<!-- settings:end -->`.
 *
 * @throws Error if a marker is missing.
 */
export function withReference(document: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`The document has no place for the settings' reference: put ${BEGIN} and ${END} where it belongs`);
  return `${document.slice(0, begin + BEGIN.length)}\n${settingsReference()}\n${document.slice(end)}`;
}

function entriesOf(node: SchemaNode, path: string): ReferenceEntry[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const childPath = `${path}${key}`;
    if (child.properties !== undefined) return entriesOf(child, `${childPath}.`);
    const named = typeof child.additionalProperties === "object" ? child.additionalProperties : undefined;
    const entry = {
      key: named === undefined ? childPath : `${childPath}.<name>`,
      type: typeInWords(named ?? child),
      default: node.required?.includes(key) === true ? "required" : defaultInWords(child.default),
      meaning: child.description ?? "",
    };
    return [entry, ...entriesOf(named ?? objectIn(child) ?? {}, `${entry.key}.`)];
  });
}

function typeInWords(node: SchemaNode): string {
  if (node.words !== undefined) return node.words;
  if (node.const !== undefined) return `\`${node.const}\``;
  if (node.enum !== undefined) return node.enum.map((value) => `\`${value}\``).join(" or ");
  if (node.anyOf !== undefined) return node.anyOf.map(typeInWords).join(", or ");
  if (node.items !== undefined) return `list of ${typeInWords(node.items)}s`;
  if (node.type === "integer") return `whole number, ${node.minimum} to ${node.maximum}`;
  return [node.type ?? []].flat().map((type) => (type === "string" ? "text" : type === "boolean" ? "true or false" : type)).join(", ");
}

function defaultInWords(value: unknown): string {
  if (value === undefined || isDeepStrictEqual(value, {})) return "";
  return `\`${typeof value === "string" && value !== "" ? value : JSON.stringify(value)}\``;
}

function table(rows: readonly ReferenceEntry[]): string {
  const lines = rows.map(({ key, type, default: preset, meaning }) => [`\`${key}\``, type, preset, meaning].map((cell) => cell.replaceAll("|", "\\|")).join(" | "));
  return ["| key | type | default | meaning |", "|---|---|---|---|", ...lines.map((line) => `| ${line} |`)].join("\n");
}
