import { expect, test } from "vitest";
import { planPatroni } from "../../../topology/patroni";
import { patroniGroups } from "../../../topology/plan";

const [coordinators, worker1, worker2] = ["coord", "worker1", "worker2"].map((name) => planPatroni(name, ["etcd-1:2379"]));

test.each([
  ["none", {}, []],
  ["coordinators", { coordinators }, [coordinators]],
  ["coordinators and worker groups", { coordinators, workerGroups: [worker1, worker2] }, [coordinators, worker1, worker2]],
])("the Patroni groups of a stack: %s", (_, plan, groups) => {
  expect(patroniGroups(plan as Parameters<typeof patroniGroups>[0])).toEqual(groups);
});
