import { expect, test } from "vitest";
import { CATALOGUE, chooseFaults } from "../../../chaos/faults/catalogue";
import type { ClusterTarget } from "../../../chaos/target";
import { parseSettings } from "../../../config/parse";
import type { StackPlan } from "../../../topology/plan";
import { planStack } from "../../../topology/stack";

const passive = planStack(parseSettings({ topology: "active-passive" }).settings, () => "");
const active = planStack(parseSettings({ topology: "active-active", clusters: { a: {} } }).settings, () => "");
const grouped = planStack(parseSettings({ topology: "active-passive", workers: { groups: 2, members: 3 } }).settings, () => "");

function choose(plan: StackPlan, names: string[] = [], role?: string): string[] {
  const clusters = plan.clusters.map((cluster): ClusterTarget => ({ name: cluster.name, plan: cluster, uri: "" }));
  return chooseFaults(plan, clusters, names, role).map(({ fault, role: hit }) => `${fault.name} ${hit}`);
}

test("names are their own", () => {
  const names = CATALOGUE.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

test("without a choice a stack has all that its topology can have", () => {
  expect(choose(passive)).toEqual(expect.arrayContaining(["switchover coordinator", "kill worker", "standby standby", "etcd-majority etcd", "haproxy-reload haproxy", "everything stack"]));
  expect(choose(passive)).not.toContain("standby worker-standby");
  expect(choose(active)).toEqual(expect.arrayContaining(["restart worker", "kill coordinator", "everything-killed stack"]));
  expect(choose(active).filter((choice) => /etcd|haproxy|standby/.test(choice))).toEqual([]);
  expect(choose(grouped)).toContain("standby worker-standby");
});

test.each<[string, StackPlan, string[], string | undefined, string[]]>([
  ["a fault", passive, ["kill"], undefined, ["kill coordinator", "kill worker", "kill guard"]],
  ["a fault and a role", passive, ["kill"], "coordinator", ["kill coordinator"]],
  ["faults in the order of the choice", active, ["pause", "kill"], "worker", ["pause worker", "kill worker"]],
  ["a role on request", passive, ["kill"], "haproxy", ["kill haproxy"]],
])("%s", (_, plan, names, role, chosen) => {
  expect(choose(plan, names, role)).toEqual(chosen);
});

test.each<[string, StackPlan, string[], string | undefined, string]>([
  ["a wrong fault gets the list", passive, ["kil"], undefined, 'There is no fault "kil". There are: switchover, restart, postmaster, crash, kill, pause,'],
  ["a wrong role gets the list", passive, ["kill"], "leader", 'There is no role "leader". There are: coordinator, worker,'],
  ["a fault that the topology has not", active, ["etcd"], undefined, "A stack of the topology active-active cannot have etcd. It can have: switchover (coordinator), "],
  ["a role that a fault does not hit", passive, ["switchover"], "etcd", "cannot have switchover of role etcd."],
])("%s", (_, plan, names, role, sentence) => {
  expect(() => choose(plan, names, role)).toThrow(sentence);
});
