import { describe, expect, test } from "vitest";
import { judge, pause, polled, retryMs, stalledRetryMs, timeout, UNKNOWN, type Judgement, type Poll, type Pulse, type Ward } from "../../../agents/guard/judgement";

const answer = (startedAt: number, tookMs = 2): Poll => ({ startedAt, endedAt: startedAt + tookMs });
const failure = (startedAt: number): Poll => ({ startedAt, endedAt: startedAt + 1, problem: "refused" });
const silence = (startedAt: number): Poll => ({ startedAt, endedAt: startedAt + 400, problem: "no answer", silent: true });
const recovery = (startedAt: number): Poll => ({ startedAt, endedAt: startedAt + 1, problem: "the database system is in recovery mode", recovering: true });
const pulse = (...polls: Poll[]): Pulse => polls.reduce(polled, UNKNOWN);
const active = (name: string, ...polls: Poll[]): Ward => ({ name, active: true, pulse: pulse(...polls) });
const disabled = (name: string, ...polls: Poll[]): Ward => ({ name, active: false, pulse: pulse(...polls) });

describe("a worker's pulse", () => {
  test("counts failures until an answer, and remembers when they began", () => {
    expect(pulse(answer(0), failure(250), failure(350))).toEqual({ failures: 2, answers: 0, failingSince: 250, answeredAt: 0, tookMs: [2], problem: "refused", silent: false });
    expect(pulse(answer(0), failure(250), answer(350), answer(600))).toEqual({ failures: 0, answers: 2, answeredAt: 600, tookMs: [2, 2, 2] });
  });

  test("remembers how long the last four answers took", () => {
    expect(pulse(...[1, 2, 3, 4, 5].map((tookMs) => answer(0, tookMs))).tookMs).toEqual([2, 3, 4, 5]);
  });

  test.each([
    ["a worker that answers", pulse(answer(0)), 250, 400],
    ["a worker that failed once, where the next question decides", pulse(failure(0)), 50, 400],
    ["a worker that is gone", pulse(failure(0), failure(100)), 500, 2000],
  ])("%s is asked again in time, and waited for", (_, known, pauseMs, timeoutMs) => {
    expect([pause(known), timeout(known)]).toEqual([pauseMs, timeoutMs]);
  });
});

describe("the judgement", () => {
  const well = (name: string): Ward => active(name, answer(0), answer(300));

  test.each<[string, Ward[], boolean, Judgement]>([
    ["all answer", [well("w1"), well("w2")], false, { kind: "watch" }],
    ["no workers yet", [], false, { kind: "watch" }],
    ["one failed once", [active("w1", answer(0), failure(250)), well("w2")], false, { kind: "suspect", ask: [] }],
    ["one failed once, and the other was not asked since", [active("w1", answer(0), failure(250)), active("w2", answer(200))], false, { kind: "suspect", ask: ["w2"] }],
    ["one failed twice, the others answer", [well("w1"), active("w2", answer(0), failure(250), failure(350)), well("w3")], false, { kind: "disable", worker: "w2", problem: "refused" }],
    ["one never answered", [well("w1"), active("w2", failure(0), failure(100))], false, { kind: "disable", worker: "w2", problem: "refused" }],
    ["the other answered last before the failure: the network may be gone", [active("w1", answer(0), failure(250), failure(350)), active("w2", answer(200))], false, { kind: "suspect", ask: ["w2"] }],
    ["the other fails as well, once so far", [active("w1", answer(0), failure(250), failure(350)), active("w2", answer(200), failure(400))], false, { kind: "suspect", ask: [] }],
    ["one is gone, a disabled one does not answer either", [well("w1"), active("w2", failure(0), failure(100)), disabled("w3", failure(0), failure(100))], false, { kind: "disable", worker: "w2", problem: "refused" }],
    ["a disabled one that is away", [well("w1"), disabled("w2", failure(0), failure(100))], false, { kind: "watch" }],
    ["a disabled one that answered once", [well("w1"), disabled("w2", failure(0), answer(500))], false, { kind: "watch" }],
    ["a disabled one that answers", [well("w1"), disabled("w2", answer(0), answer(250))], false, { kind: "bringBack", workers: ["w2"] }],
    ["a disabled one that lost its data", [well("w1"), { ...disabled("w2", answer(0), answer(250)), empty: true }], false, { kind: "watch" }],
    ["a disabled one answers while another fails", [active("w1", failure(300)), disabled("w2", answer(0), answer(250))], false, { kind: "suspect", ask: [] }],
    ["a disabled one answers, an active one was not asked yet", [active("w1"), disabled("w2", answer(0), answer(250))], false, { kind: "watch" }],
    ["shards lack placements, or a way back has not come to its end", [well("w1"), well("w2")], true, { kind: "bringBack", workers: [] }],
    ["shards lack placements because a worker is away", [well("w1"), disabled("w2", failure(0))], true, { kind: "watch" }],
  ])("%s", (_, wards, incomplete, expected) => {
    expect(judge(wards, incomplete, 1000)).toEqual(expected);
  });

  test.each<[string, Ward[], number, Judgement["kind"]]>([
    ["is frozen where the others are prompt", [active("w1", answer(900)), active("w2", silence(0), silence(500))], 900, "disable"],
    ["is given time where another is slow", [active("w1", answer(200), answer(600, 150)), active("w2", silence(0), silence(500))], 900, "suspect"],
    ["is given time as long as another was slow lately", [active("w1", answer(200, 150), answer(600)), active("w2", silence(0), silence(500))], 900, "suspect"],
    ["is given five seconds at most", [active("w1", answer(4900, 150)), active("w2", silence(0), silence(500))], 5000, "disable"],
    ["is gone at once if it refuses, however slow the others are", [active("w1", answer(900, 150)), active("w2", failure(0), failure(500))], 900, "disable"],
  ])("a worker that is silent %s", (_, wards, now, kind) => {
    expect(judge(wards, false, now).kind).toBe(kind);
  });

  test.each<[string, Ward[], number, Judgement]>([
    ["is waited for", [well("w1"), active("w2", answer(0), failure(250), recovery(300))], 1000, { kind: "hold", because: "w2 recovers (the database system is in recovery mode); it is waited for up to 30 s" }],
    ["is given up when nobody wants to wait for longer", [active("w1", answer(31_000)), active("w2", answer(0), failure(250), recovery(30_900))], 31_000, { kind: "disable", worker: "w2", problem: "the database system is in recovery mode" }],
    ["is given up when it refuses after all", [well("w1"), active("w2", answer(0), recovery(100), recovery(150), failure(200))], 1000, { kind: "disable", worker: "w2", problem: "refused" }],
    ["keeps another from being disabled, which would fail", [active("w1", answer(0), failure(250), failure(300)), active("w2", answer(0), recovery(250), recovery(300))], 1000, { kind: "suspect", ask: [] }],
    ["keeps none from being brought back but by its turn", [active("w1", answer(0), recovery(250), recovery(300)), disabled("w2", answer(0), answer(250))], 1000, { kind: "hold", because: "w1 recovers (the database system is in recovery mode); it is waited for up to 30 s" }],
  ])("a worker that recovers %s", (_, wards, now, expected) => {
    expect(judge(wards, false, now)).toEqual(expected);
  });

  test("never gives up two at once", () => {
    const gone = (name: string): Ward => active(name, failure(0), failure(100));
    expect(judge([gone("w1"), gone("w2"), well("w3")], false, 1000)).toMatchObject({ kind: "hold", because: expect.stringContaining("w1, w2 do not answer") as string });
  });

  test("follows a worker from its death to its return", () => {
    const others = [active("w1", answer(1000)), active("w3", answer(1000))];
    const kinds = [
      [active("w2", answer(700))],
      [active("w2", answer(700), failure(950))],
      [active("w2", answer(700), failure(950), failure(1050))],
      [disabled("w2", answer(700), failure(950), failure(1050), failure(1550))],
      [disabled("w2", failure(1550), answer(2050))],
      [disabled("w2", failure(1550), answer(2050), answer(2300))],
      [active("w2", answer(2050), answer(2300), answer(2550))],
    ].map((second) => judge([...others, ...second], false, 3000).kind);
    expect(kinds).toEqual(["watch", "suspect", "disable", "watch", "watch", "bringBack", "watch"]);
  });
});

test("what fails is tried again less and less often", () => {
  expect([1, 2, 3, 4, 5, 6, 20].map(retryMs)).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
});

test("a copy that stood still is tried again hours apart in the end", () => {
  expect([1, 2, 3, 7, 8, 30].map(stalledRetryMs)).toEqual([30_000, 60_000, 120_000, 1_920_000, 3_600_000, 3_600_000]);
});
