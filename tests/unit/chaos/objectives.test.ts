import { describe, expect, test } from "vitest";
import { Checker } from "../../../chaos/checker";
import type { FaultSummary } from "../../../chaos/gaps";
import type { HistoryEvent } from "../../../chaos/history";
import { limitsOf, type Layout } from "../../../chaos/limits";
import { assess, type Limit, type Objectives } from "../../../chaos/objectives";
import { connect, final, increment, insert } from "./events";

const summary = (fault: string, role: string, max: number, more: Partial<FaultSummary> = {}): FaultSummary => ({ fault, role, times: 1, gapMs: { p50: max, p95: max, max }, failedReads: 0, failedWrites: 0, failedInserts: 0, ...more });

function missed(summaries: readonly FaultSummary[], limits: readonly Limit[] = [], objectives: Objectives = { rpo: 0 }, events: readonly HistoryEvent[] = [final()]): string[] {
  const checker = new Checker();
  for (const event of events) checker.add(event);
  return assess(checker.verdict(), summaries, objectives, limits).flatMap(({ objective, limit, figure, met }) => (met ? [] : [`${objective}: ${figure} of ${limit}`]));
}

const kill: Limit = { fault: "kill", role: "coordinator", ms: 600 };

test.each<[string, FaultSummary[], Limit[], Objectives, string[]]>([
  ["a gap as long as its limit is within it", [summary("kill", "coordinator", 600)], [kill], { rpo: 0 }, []],
  ["a longer one is not", [summary("kill", "coordinator", 610)], [kill], { rpo: 0 }, ["gap of kill of coordinator, p95: 0.61 s of 0.60 s"]],
  ["the same fault of another node has its own limit", [summary("kill", "worker", 9000)], [kill], { rpo: 0 }, []],
  ["a fault during which nothing was written has proven nothing", [{ fault: "kill", role: "coordinator", times: 1, failedReads: 0, failedWrites: 0, failedInserts: 0 }], [kill], { rpo: 0 }, ["gap of kill of coordinator, p95: nothing was written of 0.60 s"]],
  ["errors do not matter", [summary("kill", "coordinator", 1, { failedWrites: 9 })], [kill], { rpo: 0 }, []],
  ["unless there should be none", [summary("kill", "coordinator", 1, { failedWrites: 9, failedInserts: 4, failedReads: 1 })], [{ ...kill, noErrors: true }], { rpo: 0 }, ["failed inserts by kill of coordinator: 4 of 0"]],
  ["the longest gap of all is within the objective", [summary("kill", "worker", 900), summary("pause", "worker", 1000)], [], { rpo: 0, rtoMs: 1000 }, []],
  ["or it is not", [summary("kill", "worker", 900), summary("pause", "worker", 1100)], [], { rpo: 0, rtoMs: 1000 }, ["longest gap of any fault (pause of worker): 1.10 s of 1.00 s"]],
  ["a fault of the whole stack is no matter of that", [summary("everything", "stack", 9000)], [], { rpo: 0, rtoMs: 1000 }, []],
])("%s", (_, summaries, limits, objectives, expected) => {
  expect(missed(summaries, limits, objectives)).toEqual(expected);
});

test.each<[string, HistoryEvent[], number, string[]]>([
  ["as many as are allowed", [insert("a"), increment(0, 0), final()], 2, []],
  ["more than that", [insert("a"), increment(0, 0), final()], 1, ["acknowledged writes lost: 2 of 1"]],
  ["an unknown number", [insert("a")], 9, ["acknowledged writes lost: unknown of 9", "histories that were not read back: 1 of 0"]],
])("lost writes: %s", (_, events, rpo, expected) => {
  expect(missed([], [], { rpo }, events)).toEqual(expected);
});

test("what must not happen at all is an objective without being asked for", () => {
  expect(missed([], [], { rpo: 0 }, [connect(0, 2000), final({ rows: { x: 1 }, differing: { s1: "a row" } })])).toEqual([
    "rows that no client inserted: 1 of 0",
    "placements or standbys that differ: 1 of 0",
    "attempts to connect that took over 1 s: 1 of 0",
  ]);
});

describe("the project's limits", () => {
  test.each<[Layout, string, string, Omit<Limit, "fault" | "role"> | undefined]>([
    [{ coordinators: "group", workers: "single" }, "kill", "coordinator", { ms: 600 }],
    [{ coordinators: "group", workers: "single" }, "kill", "worker", undefined],
    [{ coordinators: "group", workers: "group" }, "switchover", "worker", { ms: 1600, noErrors: true }],
    [{ coordinators: "group", workers: "group" }, "pause", "worker", undefined],
    [{ coordinators: "group", workers: "group" }, "standby", "worker-standby", { ms: 100 }],
    [{ coordinators: "single", workers: "guarded" }, "kill", "worker", { ms: 1700 }],
    [{ coordinators: "single", workers: "guarded" }, "kill", "coordinator", undefined],
    [{ coordinators: "single", workers: "single" }, "everything", "stack", { ms: 12_000 }],
  ])("%j: %s of %s", (layout, fault, role, expected) => {
    const found = limitsOf(layout).filter((limit) => limit.fault === fault && limit.role === role);
    expect(found).toEqual(expected === undefined ? [] : [{ fault, role, ...expected }]);
  });

  test("name no fault twice", () => {
    const names = limitsOf({ coordinators: "group", workers: "group" }).map(({ fault, role }) => `${fault} ${role}`);
    expect(new Set(names).size).toBe(names.length);
  });
});
