import { expect, test } from "vitest";
import { parseSettings } from "../../../config/parse";
import { planStack } from "../../../topology/stack";

function guards(input: Record<string, unknown>): [string, string | undefined][] {
  const { clusters } = planStack(parseSettings(input).settings, () => "");
  return clusters.flatMap((cluster) => cluster.guards.map(({ name, joins }): [string, string | undefined] => [name, joins]));
}

test.each<[string, Record<string, unknown>, [string, string][]]>([
  ["active-active: one beside each coordinator", { topology: "active-active" }, [["guard_a", "coord_a"], ["guard_b", "coord_b"]]],
  ["with a prefix", { topology: "active-active", prefix: "t-", clusters: { a: {} } }, [["t-guard_a", "t-coord_a"]]],
  ["active-passive: one beside each member of the coordinator", { topology: "active-passive", prefix: "t-", coordinators: 2 }, [["t-guard-1", "t-coord-1"], ["t-guard-2", "t-coord-2"]]],
  ["active-passive without copies", { topology: "active-passive", replicationFactor: 1 }, []],
  ["worker groups", { topology: "active-passive", workers: { members: 3 } }, []],
  ["one worker", { topology: "active-passive", workers: 1 }, []],
  ["without copies", { topology: "active-active", replicationFactor: 1 }, []],
  ["not wanted", { topology: "active-active", guard: false }, []],
])("guards: %s", (_, input, expected) => {
  expect(guards(input)).toEqual(expected);
});

test("a guard has an address, a port or a volume of its own no more than it has a secret", () => {
  const [guard] = planStack(parseSettings({ topology: "active-active" }).settings, () => "").clusters[0]?.guards ?? [];
  expect(guard).toMatchObject({ role: "guard", held: false, ports: [], files: [], capabilities: ["CAP_NET_ADMIN"], environment: { PGUSER: "postgres", PGDATABASE: "postgres", GUARD_PATIENCE_MS: "30000" } });
  expect(guard).not.toHaveProperty("volume");
});
