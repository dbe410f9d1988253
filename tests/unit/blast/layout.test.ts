import { expect, test } from "vitest";
import { layoutOf } from "../../../blast/layout";
import { parseSettings } from "../../../config/parse";
import { planStack } from "../../../topology/stack";

test.each<[Record<string, unknown>, string]>([
  [{ topology: "active-active" }, "2 clusters of 3 workers, 2 copies of each shard, guarded"],
  [{ topology: "active-active", clusters: { a: { workers: 1 } }, replicationFactor: 1 }, "1 cluster of 1 workers, 1 copy of each shard"],
  [{ topology: "active-active", clusters: { a: { workers: 3 }, b: { workers: 2 } }, guard: false }, "2 clusters of 3 or 2 workers, 2 copies of each shard"],
  [{ topology: "active-passive" }, "3 coordinators, 3 plain workers, 2 copies of each shard, guarded"],
  [{ topology: "active-passive", workers: { groups: 2, members: 3 } }, "3 coordinators, 2 worker groups of 3, 1 copy of each shard"],
])("%j", (settings, words) => {
  expect(layoutOf(planStack(parseSettings(settings).settings, () => ""))).toBe(words);
});
