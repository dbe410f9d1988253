import { expect, test } from "vitest";
import { parseSettings } from "../../../config/parse";
import { destinationOf } from "../../../cli/tenant/place";
import { ringOf } from "../../../cli/tenant/ringOf";

const CLUSTERS = ["a", "b"];

test("a tenant is placed in a cluster, or in a region", () => {
  expect(destinationOf(["42", "b"], CLUSTERS, undefined)).toEqual({ tenant: "42", destination: { cluster: "b" } });
  expect(destinationOf(["42"], CLUSTERS, "eu")).toEqual({ tenant: "42", destination: { region: "eu" } });
});

test.each<[string, string[], string | undefined, string]>([
  ["no tenant", [], undefined, "Which tenant? For example: npm run tenant -- place 42 b"],
  ["no cluster", ["42"], undefined, "In which cluster? There is a, b; or --region."],
  ["an unknown cluster", ["42", "c"], undefined, 'There is no cluster "c". There is a, b.'],
  ["both", ["42", "a"], "eu", "In cluster a, or in a cluster of the region eu? Say one of them."],
  ["two tenants", ["42", "43", "a"], undefined, "One tenant and one cluster at a time, and there are 42, 43, a."],
])("a placing of %s is refused with what was meant", (_, words, region, says) => {
  expect(() => destinationOf(words, CLUSTERS, region)).toThrow(says);
});

test("the ring that a rebalance is for has the weights of the settings, and 1 for a cluster that is thought of", () => {
  const { settings } = parseSettings({ topology: "active-active", clusters: { a: { weight: 2 }, b: {} } });
  expect(ringOf({ settings }, ["b", "a", "c"])).toEqual(["a", "a#1", "b", "c"]);
});
