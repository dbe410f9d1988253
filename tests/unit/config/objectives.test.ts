import { describe, expect, test } from "vitest";
import { BOUNDS, objectiveProblems } from "../../../config/objectives";
import { parseSettings } from "../../../config/parse";
import { dangersOf } from "../../../config/safety";
import type { Settings } from "../../../config/settings";

/** Settings of a topology, and keys on top of them as the schema would give them. */
function settingsOf(topology: Settings["topology"], more: Readonly<Record<string, unknown>> = {}): Settings {
  return Object.assign(parseSettings({ topology, replicationFactor: 1 }).settings, more);
}

/** Settings that can meet everything that is known to be met. */
const able = { workers: { members: 3 }, fencer: true, coordinators: 3, etcdMembers: 3 };

function unmet(settings: Settings): string[] {
  return objectiveProblems(settings).map(({ key, consequence }) => `${key}: ${consequence}`);
}

describe("an objective of 5 s in active-passive", () => {
  test.each<[string, Record<string, unknown>, string[]]>([
    ["can be met by groups of three", {}, []],
    ["not by one coordinator", { coordinators: 1 }, ["coordinators is 1, so a dead coordinator costs writes until it is back. Set coordinators to 3."]],
    ["not by two", { coordinators: 2 }, ["coordinators is 2, so after the first failure nobody can take over from the one that is left. Set coordinators to 3."]],
    ["not by one etcd member", { etcdMembers: 1 }, ["etcdMembers is 1, and without that one no standby takes over. Set etcdMembers to 3."]],
    ["not without the fencer", { fencer: false }, ["fencer is false, so the lease of a killed leader has to expire, which takes up to 22 s. Set fencer to true."]],
    ["can be met by groups of two", { workers: { members: 2 } }, []],
    ["not by groups of one", { workers: { members: 1 } }, ["workers are plain and replicationFactor is 1"]],
    ["not by plain workers", { workers: 3 }, ['a dead worker costs the writes of its shards until it is back. Set workers to {"members": 3}, or replicationFactor to 2 and guard to true.']],
    ["not by named ones", { workers: ["w1", "w2"] }, ["workers are plain and replicationFactor is 1"]],
    ["not by replicas without the guard", { workers: 3, replicationFactor: 2, guard: false }, ["replicationFactor is 2 without the guard, so a write to a shard with a dead placement fails until the worker is back."]],
    ["can be met by replicas with the guard", { workers: 3, replicationFactor: 2, guard: true }, []],
    ["tells everything that is in its way", { coordinators: 1, etcdMembers: 1, fencer: false, workers: 3 }, ["coordinators is 1", "etcdMembers is 1", "fencer is false", "workers are plain"]],
  ])("%s", (_, more, reasons) => {
    const problems = unmet(settingsOf("active-passive", { ...able, ...more, objectives: { rto: "5 s" } }));
    expect(problems).toEqual(reasons.map((reason) => expect.stringContaining(reason) as string));
    for (const problem of problems) expect(problem).toMatch(/^objectives\.rto: 5 s cannot be met: .*\.$/);
  });
});

describe("what is known of write gaps", () => {
  test.each<[string, Record<string, unknown>, string[]]>([
    ["4 s", {}, []],
    ["2 s", {}, ["writes were seen to wait longer for a frozen member of a worker group (2.1 s). Set objectives.rto to more than 2.1 s."]],
    ["1.6 s", {}, ["a frozen coordinator (1.7 s), a crash of PostgreSQL in a worker group (1.8 s), a frozen member of a worker group (2.1 s). Set objectives.rto to more than 2.1 s."]],
    ["100 ms", {}, ["a killed coordinator (0.9 s), a switchover of the coordinators (1.3 s), a frozen coordinator (1.7 s), a killed member of a worker group (1 s), a switchover of a worker group (1.5 s)"]],
    ["1.5 s", { workers: 3, replicationFactor: 2, guard: true }, ["a frozen coordinator (1.7 s), a dead or frozen worker that the guard takes out (1.7 s)"]],
    ["3 s", { workers: { members: 2 } }, ["workers.members is 2, so writes wait about 2 s for the old leader when a group fails over, 3.8 s in all. Set workers.members to 3."]],
    ["21 s", { fencer: false }, ["fencer is false"]],
    ["22 s", { fencer: false }, []],
  ])("against %s", (rto, more, reasons) => {
    expect(unmet(settingsOf("active-passive", { ...able, ...more, objectives: { rto } }))).toEqual(reasons.map((reason) => expect.stringContaining(reason) as string));
  });

  test("is in seconds, and more than nothing", () => {
    for (const { fault, seconds } of Object.values(BOUNDS)) expect(seconds, fault).toBeGreaterThan(0);
  });
});

describe("active-active", () => {
  test("has no standbys of its coordinators, so it meets no rto", () => {
    expect(unmet(settingsOf("active-active", { replicationFactor: 2, guard: true, objectives: { rto: "10 min" } }))).toEqual([
      "objectives.rto: 10 min cannot be met: in active-active the coordinators of a, b have no standbys, so a dead one costs its cluster's writes until it is back. Use topology active-passive, or leave objectives.rto out.",
    ]);
  });

  test("is not advised to have what it cannot", () => {
    expect(unmet(settingsOf("active-active", { objectives: { rto: "10 min" } }))[1]).toMatch(/until it is back\. Set replicationFactor to 2 and guard to true\.$/);
  });
});

describe("an rpo of 0", () => {
  test.each<[string, Record<string, unknown>, string[]]>([
    ["can be met by the defaults", {}, []],
    ["not with a commit that does not wait", { parameters: { synchronous_commit: "off" } }, ["parameters.synchronous_commit is off, so writes are acknowledged before they are safe. Remove it."]],
    ["not with one that does not wait for a standby", { coordinatorParameters: { synchronous_commit: "LOCAL" } }, ["coordinatorParameters.synchronous_commit is LOCAL"]],
    ["not without fsync", { workerParameters: { fsync: "off" } }, ["workerParameters.fsync is off"]],
    ["not without fsync in a word that PostgreSQL takes", { parameters: { fsync: "N" } }, ["parameters.fsync is N"]],
    ["by a word that PostgreSQL does not take", { parameters: { fsync: "o" } }, []],
    ["by another parameter's off", { parameters: { jit: "off", synchronous_commit: "on" } }, []],
    ["not by two coordinators", { coordinators: 2 }, ["coordinators is 2, so after the first failure no standby has what is acknowledged, and a second one can lose it. Set coordinators to 3."]],
    ["not by worker groups of two", { workers: { members: 2 } }, ["workers.members is 2, so after the first failure"]],
  ])("%s", (_, more, reasons) => {
    const problems = unmet(settingsOf("active-passive", { ...more, objectives: { rpo: 0 } }));
    expect(problems).toEqual(reasons.map((reason) => expect.stringContaining(reason) as string));
    for (const problem of problems) expect(problem).toMatch(/^objectives\.rpo: 0 cannot be met: /);
  });
});

test("without objectives nothing is unmet", () => {
  expect(unmet(settingsOf("active-passive", { coordinators: 1, fencer: false }))).toEqual([]);
});

test("what is unmet is among the dangers", () => {
  expect(dangersOf(parseSettings({ topology: "active-passive", replicationFactor: 1, objectives: { rto: "100 ms" } }).settings).map(({ key }) => key)).toEqual(["objectives.rto", "objectives.rto"]);
});

test.each<[string, Record<string, unknown>, string]>([
  ["a number", { rto: 1 }, 'objectives.rto = 1: must be a duration such as "1 s", "500 ms" or "2 min"'],
  ["another unit", { rto: "1 h" }, 'objectives.rto = "1 h": must be a duration'],
  ["a fraction of a write", { rpo: 0.5 }, "objectives.rpo = 0.5: must be 0, or how many acknowledged writes may be lost"],
  ["less than nothing", { rpo: -1 }, "objectives.rpo = -1: must be 0"],
  ["a slip", { rtos: "1 s" }, "objectives.rtos: unknown key; did you mean objectives.rto?"],
])("%s is refused", (_, objectives, message) => {
  expect(() => parseSettings({ topology: "active-passive", objectives })).toThrow(message);
});
