import { expect, test } from "vitest";
import { clusterTargets } from "../../../chaos/target";
import { parseSettings } from "../../../config/parse";
import { planStack } from "../../../topology/stack";

const plan = planStack(parseSettings({ topology: "active-active", clusters: { a: {}, b: {} } }).settings, () => "");

test("clusters are those that the plan has and that can be reached", () => {
  const targets = clusterTargets(plan, [{ cluster: "b", uri: "postgresql://b" }, { cluster: "c", uri: "postgresql://c" }]);
  expect(targets).toEqual([{ name: "b", plan: plan.clusters[1], uri: "postgresql://b" }]);
});

test("where there are standbys, every cluster has their address", () => {
  expect(clusterTargets(plan, [{ cluster: "a", uri: "postgresql://a" }], "postgresql://standbys")[0]).toMatchObject({ uri: "postgresql://a", standbysUri: "postgresql://standbys" });
});
