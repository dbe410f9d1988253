import { readFileSync } from "node:fs";
import * as path from "node:path";
import { describe, expect, test } from "vitest";
import { parseSettings } from "../../../config/parse";
import { referenceOf, settingsReference, withReference } from "../../../config/reference";
import { settingsSchemas, type Topology } from "../../../config/settings";

const topologies = Object.keys(settingsSchemas) as Topology[];

test("README.md says what the schema says; if not: npm run docs", () => {
  const readme = readFileSync(path.join(__dirname, "../../../README.md"), "utf8");
  expect(readme).toBe(withReference(readme));
});

/** The dotted paths of all leaves of an object; an object by name is a leaf. */
function leaves(value: unknown, named: readonly string[], at = ""): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value) || named.includes(at)) return [at];
  return Object.entries(value).flatMap(([key, child]) => leaves(child, named, at === "" ? key : `${at}.${key}`));
}

describe.each(topologies)("the reference of %s", (topology) => {
  const entries = referenceOf(topology);

  test("has every key once", () => {
    const keys = entries.map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
  });

  test("has a default for every setting that has one when nothing is set, and the right one", () => {
    const named = ["clusters", "parameters", "coordinatorParameters", "workerParameters", "schema.tables"];
    const { settings } = parseSettings({ topology });
    const isObject = (value: unknown): boolean => JSON.stringify(value) === "{}";
    for (const leaf of leaves(settings, named).filter((key) => key !== "topology" && key !== "clusters")) {
      const value = leaf.split(".").reduce<unknown>((parent, key) => (parent as Record<string, unknown>)[key], settings);
      const entry = entries.find(({ key }) => key === leaf || key === `${leaf}.<name>`);
      if (isObject(value) && !named.includes(leaf)) continue; // Limits of a container: none is set.
      if (topology === "active-passive" && leaf === "replicationFactor") continue; // Another key decides; its sentence says how.
      const text = typeof value === "string" && value !== "" ? value : JSON.stringify(value);
      expect(entry?.default, leaf).toBe(isObject(value) ? "" : `\`${text}\``);
    }
  });

  test.each(entries.map((entry) => [entry.key, entry] as const))("%s has a type and a sentence", (key, { type, default: preset, meaning }) => {
    expect(type).not.toBe("");
    expect(type).not.toMatch(/integer|string|boolean|undefined|9007199254740991/);
    expect(meaning).toMatch(/^\S.*\.$/s);
    // Without a default the sentence tells what happens, but for what is required and for objects by name.
    if (preset === "" && !/^(parameters|coordinatorParameters|workerParameters)\./.test(key)) expect(meaning).toMatch(/not set: /i);
  });
});

test("keys of both topologies stand once, and own keys in their own table", () => {
  const [first, second, common] = settingsReference().split(/^### /m).slice(1);
  expect(first).toMatch(/^active-active\n/);
  expect(first).toContain("| `clusters.<name>.workers` | whole number, 1 to 64, or list of names | `3` |");
  expect(first).toContain("| `replicationFactor` | whole number, 1 to 64 | `2` |");
  expect(second).toMatch(/^active-passive\n/);
  expect(second).toContain("| `replicationFactor` | whole number, 1 to 64 |  |");
  expect(second).toContain("| `ports.leader` | port, 1 to 65535 | `5000` |");
  expect(common).toMatch(/^Both topologies\n/);
  expect(common).toContain("| `shardCount` | whole number, 1 to 64000 | `32` |");
  expect(common).toContain("| `dataOnDestroy` | `drop` or `keep` | `drop` |");
  for (const topology of topologies) {
    for (const { key } of referenceOf(topology)) {
      const tables = [topology === "active-active" ? first : second, common].filter((table) => table?.includes(`| \`${key}\` |`));
      expect(tables, key).toHaveLength(1);
    }
  }
});

test("a document without its markers is told", () => {
  expect(() => withReference("# nothing")).toThrow("put <!-- settings:begin --> and <!-- settings:end --> where it belongs");
  expect(() => withReference("<!-- settings:end --><!-- settings:begin -->")).toThrow("put <!-- settings:begin -->");
});

test("what stands around the reference stays", () => {
  const text = withReference("before\n<!-- settings:begin -->\nold\n<!-- settings:end -->\nafter\n");
  expect(text).toMatch(/^before\n<!-- settings:begin -->\n### active-active\n/);
  expect(text).toMatch(/\|\n<!-- settings:end -->\nafter\n$/);
  expect(text).not.toContain("old\n");
  expect(withReference(text)).toBe(text);
});
