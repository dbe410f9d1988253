import { z } from "zod";
import { settingsSchemas, type Topology } from "./settings";

/** A schema as data, to walk along keys: JSON Schema of what a user writes. */
export interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  /** The keys of an object. */
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  /** What each value of an object by name is; `false` where unknown keys are refused. */
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  /** What the value is, in words, where the type alone says too little. */
  readonly words?: string;
}

const trees = new Map<Topology, SchemaNode>();

/** The schema of a topology's settings as data. */
export function schemaTree(topology: Topology): SchemaNode {
  const known = trees.get(topology);
  if (known !== undefined) return known;
  const tree = z.toJSONSchema(settingsSchemas[topology], { io: "input", unrepresentable: "any" }) as SchemaNode;
  trees.set(topology, tree);
  return tree;
}

/** A schema as an object with fixed keys, if that is what a value may be. */
export function objectIn(node: SchemaNode | undefined): SchemaNode | undefined {
  return node?.properties === undefined ? node?.anyOf?.find(({ properties }) => properties !== undefined) : node;
}

/** The schema under a key of an object, if the object has such a key. */
export function childOf(given: SchemaNode | undefined, key: string): SchemaNode | undefined {
  const node = objectIn(given) ?? given;
  if (node?.properties !== undefined && Object.hasOwn(node.properties, key)) return node.properties[key];
  return typeof node?.additionalProperties === "object" ? node.additionalProperties : undefined;
}

/** Whether a value may be a text, so that a text stays what it is. */
export function takesText({ type, anyOf = [] }: SchemaNode): boolean {
  return type === "string" || (Array.isArray(type) && type.includes("string")) || anyOf.some(takesText);
}
