import { expect, test } from "vitest";
import { chaosRequest, faultLine } from "../../../cli/chaos";
import type { FaultEffect } from "../../../chaos/gaps";

const USUAL = { dense: 0, bursts: false, disturbers: [], cuts: [], shaped: false };

test("without options each fault happens once, by a seed of chance", () => {
  const { seed, ...request } = chaosRequest({});
  expect(request).toEqual({ faults: [], times: 1, ...USUAL });
  expect(Number.isInteger(seed)).toBe(true);
});

test("options are read", () => {
  expect(chaosRequest({ fault: "kill, pause", role: "coordinator", times: "20", seed: "7", hold: "2.5" })).toEqual({ faults: ["kill", "pause"], role: "coordinator", times: 20, seed: 7, holdMs: 2500, ...USUAL });
  expect(chaosRequest({ minutes: "0.5", seed: "0" })).toEqual({ faults: [], times: 1, minutes: 0.5, seed: 0, ...USUAL, dense: 12, bursts: true, disturbers: ["schema", "moves"] });
  expect(chaosRequest({ fault: "power-cut", seed: "0", dense: true, shape: true, cut: "databases, etcd", engineRestart: "true" })).toEqual({
    faults: ["power-cut"], times: 1, seed: 0, ...USUAL, dense: 12, cuts: ["databases", "etcd"], shaped: true, engineRestart: "true",
  });
  expect(chaosRequest({ minutes: "1", seed: "0", dense: "20", disturb: "" })).toMatchObject({ dense: 20, bursts: false, disturbers: [] });
});

test.each<[Parameters<typeof chaosRequest>[0], string]>([
  [{ times: "0" }, '--times is "0": it must be a whole number from 1 to 1000.'],
  [{ times: "2.5" }, '--times is "2.5": it must be a whole number'],
  [{ minutes: "soon" }, '--minutes is "soon": it must be a number'],
  [{ seed: "-1" }, '--seed is "-1"'],
  [{ dense: "many" }, '--dense is "many": it must be a whole number from 0 to 200.'],
  [{ disturb: "tables" }, '--disturb is "tables": it must be schema or moves'],
  [{ cut: "all" }, '--cut is "all": it must be databases, etcd, everything'],
  [{ hold: "" }, '--hold is "": it must be a number from 0 to 600.'],
  [{ times: "2", minutes: "2" }, "--times and --minutes do not go together"],
])("%j is refused", (options, sentence) => {
  expect(() => chaosRequest(options)).toThrow(sentence);
});

const effect: FaultEffect = { number: 1, fault: "kill", role: "coordinator", targets: ["coord-2"], at: 1000, healedAt: 7311, help: [], gap: { shard: "a/1", from: 1000, to: 1412, ms: 412, open: false }, failedWrites: 12, failedInserts: 7, failedReads: 0, errors: [] };

test.each<[string, Partial<FaultEffect>, string]>([
  ["a fault", {}, "kill coordinator coord-2: longest gap 0.41 s, 12 errors, whole again after 6.3 s"],
  ["a role that goes without saying", { fault: "etcd", role: "etcd", failedWrites: 1, targets: ["etcd-1"] }, "etcd etcd-1: longest gap 0.41 s, 1 error, whole again after 6.3 s"],
  ["many containers", { fault: "everything", role: "stack", targets: ["a", "b", "c", "d"] }, "everything 4 containers: longest gap 0.41 s"],
  ["a stack that is not whole", { problem: "worker1 is not active" }, "not whole after 6.3 s: worker1 is not active"],
])("%s on one line", (_, more, line) => {
  expect(faultLine({ ...effect, ...more })).toContain(line);
});
