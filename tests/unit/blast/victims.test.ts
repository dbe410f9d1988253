import { expect, test } from "vitest";
import { chooseVictims, victims } from "../../../blast/victims";
import { parseSettings } from "../../../config/parse";
import type { StackPlan } from "../../../topology/plan";
import { planStack } from "../../../topology/stack";

const plan = (settings: Record<string, unknown>): StackPlan => planStack(parseSettings(settings).settings, () => "");
const active = plan({ topology: "active-active", clusters: { a: { workers: 2 }, b: { workers: 1 } }, replicationFactor: 1 });
const guarded = plan({ topology: "active-active", clusters: { a: { workers: 2 }, b: { workers: 2 } } });
const passive = plan({ topology: "active-passive", workers: 2 });
const grouped = plan({ topology: "active-passive", prefix: "x-", workers: { groups: 2, members: 3 } });

const named = (stack: StackPlan, kill?: string): string[] => chooseVictims(stack, kill).map(({ name }) => name);

test.each<[string, StackPlan, string[]]>([
  ["active-active", guarded, ["worker:worker_a1", "worker:worker_a2", "worker:worker_b1", "worker:worker_b2", "coordinator:a", "coordinator:b", "cluster:a", "cluster:b"]],
  ["active-passive with plain workers", passive, ["worker:worker1", "worker:worker2", "coordinator", "cluster"]],
  ["active-passive with worker groups", grouped, ["worker:x-worker1", "worker:x-worker2", "coordinator", "cluster"]],
])("what can be named on %s", (_, stack, names) => {
  expect(victims(stack).map(({ name }) => name)).toEqual(names);
});

test.each<[string, StackPlan, string, string[]]>([
  ["a worker", guarded, "worker:worker_a2", ["worker_a2"]],
  ["a coordinator of its own", guarded, "coordinator:b", ["coord_b"]],
  ["a cluster, with its guard", guarded, "cluster:a", ["coord_a", "worker_a1", "worker_a2", "guard_a"]],
  ["all database members of active-passive, and neither etcd nor HAProxy", passive, "cluster", ["coord-1", "coord-2", "coord-3", "worker1", "worker2", "guard-1", "guard-2", "guard-3"]],
  ["members of a group, of which the leader is killed", grouped, "worker:x-worker2", ["x-worker2-1", "x-worker2-2", "x-worker2-3"]],
])("the containers of %s", (_, stack, kill, containers) => {
  expect(chooseVictims(stack, kill)[0]?.containers).toEqual(containers);
});

test("only the leader of a Patroni group is killed, and all of a cluster", () => {
  expect(chooseVictims(grouped, "worker,coordinator,cluster").map(({ group }) => group?.name)).toEqual(["x-worker1", "x-coord", undefined]);
});

test.each<[string, StackPlan, string | undefined, string[]]>([
  ["nothing means the first of each kind", guarded, undefined, ["worker:worker_a1", "coordinator:a", "cluster:a"]],
  ["a kind means the first of it", active, "coordinator", ["coordinator:a"]],
  ["several, in the order in which they are named", active, "cluster:b, worker:worker_b1", ["cluster:b", "worker:worker_b1"]],
])("--kill: %s", (_, stack, kill, names) => {
  expect(named(stack, kill)).toEqual(names);
});

test.each<[string, StackPlan, string, string]>([
  ["a slip", active, "worker:worker_a3", 'there is nothing of that name. Did you mean worker:worker_a1? It can be: worker:worker_a1, worker:worker_a2, worker:worker_b1, coordinator:a, coordinator:b, cluster:a, cluster:b, worker, coordinator, cluster.'],
  ["something else", passive, "worker,postmaster", '--kill has "postmaster", and there is nothing of that name. It can be: worker:worker1, worker:worker2, coordinator, cluster, worker.'],
  ["nothing at all", passive, "", '--kill has "", and there is nothing of that name.'],
])("%s gets the list", (_, stack, kill, sentence) => {
  expect(() => named(stack, kill)).toThrow(sentence);
});
