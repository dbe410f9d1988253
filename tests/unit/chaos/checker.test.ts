import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Checker, type Verdict, type Violation } from "../../../chaos/checker";
import type { HistoryEvent, Outcome } from "../../../chaos/history";
import { connect, fault, final, healed, increment, insert, lostAnswer, read, run } from "./events";

function check(events: readonly HistoryEvent[]): Verdict {
  const checker = new Checker();
  for (const event of events) checker.add(event);
  return checker.verdict();
}

/** The violations that were found, with their counts. */
function found(events: readonly HistoryEvent[]): Partial<Record<Violation, number>> {
  return Object.fromEntries(Object.entries(check(events).violations).filter(([, { count }]) => count > 0).map(([violation, { count }]) => [violation, count]));
}

describe("inserts", () => {
  test.each<[string, Outcome, number | undefined, Partial<Record<Violation, number>>]>([
    ["acknowledged and there", "ok", 1, {}],
    ["acknowledged and gone", "ok", undefined, { lostInserts: 1 }],
    ["acknowledged and read back as none", "ok", 0, { lostInserts: 1 }],
    ["acknowledged and doubled", "ok", 2, { doubledRows: 1 }],
    ["refused and not there", "refused", undefined, {}],
    ["refused and there", "refused", 1, { refusedRows: 1 }],
    ["unknown and there", "unknown", 1, {}],
    ["unknown and not there", "unknown", undefined, {}],
    ["unknown and doubled", "unknown", 3, { doubledRows: 1 }],
  ])("%s", (_, outcome, rows, expected) => {
    expect(found([insert("k", { outcome }), final({ rows: rows === undefined ? {} : { k: rows } })])).toEqual(expected);
  });

  test("that nobody made are found", () => {
    expect(found([final({ rows: { k: 1 } })])).toEqual({ unaskedRows: 1 });
  });

  test("with keys that objects have by themselves are not taken for rows", () => {
    expect(found([insert("constructor"), insert("__proto__"), final()])).toEqual({ lostInserts: 2 });
  });

  test("that are lost are counted, and ten of them told with key, client and time", () => {
    const { violations, lostWrites, sound } = check([...Array.from({ length: 12 }, (_, index) => insert(`k${index}`, { client: 7, at: index })), final()]);
    expect(lostWrites).toBe(12);
    expect(sound).toBe(false);
    expect(violations.lostInserts.count).toBe(12);
    expect(violations.lostInserts.examples).toHaveLength(10);
    expect(violations.lostInserts.examples[3]).toMatchObject({ key: "k3", client: 7, at: 3 });
  });
});

describe("counters", () => {
  test.each<[string, HistoryEvent[], number | undefined, Partial<Record<Violation, number>>]>([
    ["that hold what was acknowledged", [increment(0, 0), increment(1, 10)], 2, {}],
    ["that miss an update", [increment(0, 0), increment(1, 10)], 1, { lostUpdates: 1 }],
    ["that are gone", [increment(0, 0)], undefined, { lostUpdates: 1 }],
    ["that are below an acknowledged value", [lostAnswer(0), increment(1, 10)], 1, { lostUpdates: 1 }],
    ["that have too many", [increment(0, 0)], 2, { surplusUpdates: 1 }],
    ["whose unknown update was done", [increment(0, 0), lostAnswer(10)], 2, {}],
    ["whose unknown update was not done", [increment(0, 0), lostAnswer(10)], 1, {}],
    ["whose refused update was done", [increment(0, 0), lostAnswer(10, "refused")], 2, { surplusUpdates: 1 }],
    ["that changed though nobody asked", [], 1, { surplusUpdates: 1 }],
    ["of which two spend the same value", [increment(0, 0), increment(0, 2), increment(1, 10)], 3, { doubleSpending: 1 }],
    ["that go up by two", [increment(0, 0, { after: 2 })], 2, { wrongSteps: 1, surplusUpdates: 1 }],
    ["that go backwards", [lostAnswer(0), lostAnswer(0), increment(2, 10), increment(0, 20)], 4, { backwards: 1 }],
    ["whose later value is answered first, of requests that overlap", [increment(1, 3, { ms: 4 }), increment(0, 2, { ms: 8 })], 2, {}],
    ["that are answered while the next is sent", [increment(0, 0, { ms: 10 }), increment(1, 10)], 2, {}],
  ])("%s", (_, events, value, expected) => {
    expect(found([...events, final({ counters: value === undefined ? {} : { c: value } })])).toEqual(expected);
  });

  test("count every update that is missing", () => {
    expect(check([increment(0, 0), increment(1, 10), increment(2, 20), final({ counters: { c: 1 } })]).lostWrites).toBe(2);
  });
});

describe("reads", () => {
  const written = [increment(0, 0), increment(1, 10), increment(2, 20)];
  const counters = { c: 3 };

  test.each<[string, HistoryEvent, Partial<Record<Violation, number>>]>([
    ["of the last acknowledged value", read(3, 30), {}],
    ["of a value that is not acknowledged yet", read(4, 30), {}],
    ["that were sent before the answer came", read(2, 25), {}],
    ["of an older value", read(2, 25.1), { staleReads: 1 }],
    ["that failed", read(0, 30, { outcome: "unknown" }), {}],
    ["from a standby that is behind", read(0, 30, { endpoint: "standbys" }), {}],
  ])("%s", (_, event, expected) => {
    expect(found([...written, event, final({ counters })])).toEqual(expected);
  });

  const later = [fault(1, 16), increment(2, 20), healed(1, 40)];
  test.each<[string, HistoryEvent[], Partial<Record<Violation, number>>, { reads: number; ms: number }]>([
    ["during a fault, of a value overtaken in it, are late", [fault(1, 16), increment(2, 20), read(2, 30)], { unhealed: 1 }, { reads: 1, ms: 5 }],
    ["after a fault, of a value overtaken in it, are late", [...later, read(2, 7025)], {}, { reads: 1, ms: 7000 }],
    ["longer after that are stale", [...later, read(2, 7025.1)], { staleReads: 1 }, { reads: 0, ms: 0 }],
    ["of a value overtaken before the fault are stale", [...later, read(1, 45)], { staleReads: 1 }, { reads: 0, ms: 0 }],
    ["of a value overtaken after the fault are stale", [fault(1, 16), healed(1, 18), increment(2, 20), read(2, 30)], { staleReads: 1 }, { reads: 0, ms: 0 }],
  ])("%s", (_, events, expected, late) => {
    const verdict = check([increment(0, 0), increment(1, 10), ...events, final({ counters })]);
    expect(found([increment(0, 0), increment(1, 10), ...events, final({ counters })])).toEqual(expected);
    expect(verdict.late).toEqual(late);
  });

  test("from standbys tell how far those are behind: in increments, and since the value was overtaken", () => {
    expect(check([...written, read(1, 40, { endpoint: "standbys" }), read(3, 50, { endpoint: "standbys" }), final({ counters })]).staleness).toEqual({ increments: 2, ms: 25 });
  });
});

test.each<[string, HistoryEvent[], Partial<Record<Violation, number>>]>([
  ["placements that differ", [final({ differing: { s1: "coord-2 has one row more" } })], { differing: 1 }],
  ["a fault that nothing healed", [fault(1, 0), final()], { unhealed: 1 }],
  ["a fault that did not heal in time", [fault(1, 0), healed(1, 9, { problem: "a standby does not stream" }), final()], { unhealed: 1 }],
  ["a fault that healed", [fault(1, 0), healed(1, 9), final()], {}],
  ["an attempt to connect of exactly a second", [connect(0, 1000), final()], {}],
  ["one that took longer", [connect(0, 1000.5), connect(0, 1200, { outcome: "refused" }), final()], { slowConnects: 2 }],
  ["a run that was not read back", [run(), insert("k")], { incomplete: 1 }],
])("%s", (_, events, expected) => {
  expect(found(events)).toEqual(expected);
});

describe("any run of a sound database", () => {
  interface Step {
    readonly kind: "insert" | "increment" | "read" | "standby";
    readonly outcome: Outcome;
    readonly done: boolean;
    readonly counter: string;
    readonly before: number;
    readonly behind: number;
    readonly after: number;
  }
  const steps = fc.array(
    fc.record<Step>({
      kind: fc.constantFrom("insert", "increment", "read", "standby"),
      outcome: fc.constantFrom("ok", "ok", "ok", "refused", "unknown"),
      done: fc.boolean(),
      counter: fc.constantFrom("a", "b"),
      // A request is sent before it takes effect, and answered after that, so that requests overlap.
      before: fc.nat(40),
      behind: fc.nat(3),
      after: fc.nat(40),
    }),
    { maxLength: 60 },
  );

  /** Lets requests take effect one after the other, 10 ms apart, and tells their history in the order of answers. */
  function history(plan: readonly Step[]): HistoryEvent[] {
    const rows: Record<string, number> = {};
    const counters: Record<string, number> = { a: 0, b: 0 };
    const events = plan.map(({ kind, outcome, done, counter, before, behind, after }, index): HistoryEvent & { ms: number } => {
      const moment = 100 + index * 10;
      const request = { client: index, at: moment - before, ms: before + after, outcome };
      const applied = outcome === "ok" || (outcome === "unknown" && done);
      const value = counters[counter] as number;
      if (kind === "insert") {
        if (applied) rows[`k${index}`] = 1;
        return insert(`k${index}`, request);
      }
      if (kind === "increment") {
        if (applied) counters[counter] = value + 1;
        return outcome === "ok" ? increment(value, 0, { ...request, counter }) : ({ ...lostAnswer(0), ...request, counter });
      }
      return read(kind === "read" ? value : Math.max(0, value - behind), 0, { ...request, counter, endpoint: kind === "read" ? "leader" : "standbys" });
    });
    return [run(), ...events.sort((a, b) => a.at + a.ms - (b.at + b.ms)), final({ rows, counters })];
  }

  test("passes", () => {
    fc.assert(
      fc.property(steps, (plan) => {
        expect(found(history(plan))).toEqual({});
      }),
    );
  });

  test("fails once an acknowledged row or increment is taken away", () => {
    fc.assert(
      fc.property(steps, fc.nat(), (plan, choice) => {
        const events = history(plan);
        const end = events.at(-1);
        if (end?.type !== "final") throw new Error("a history ends with what was read back");
        const acknowledged = events.flatMap((event) => ((event.type === "insert" || event.type === "increment") && event.outcome === "ok" ? [event] : []));
        const victim = acknowledged[choice % Math.max(1, acknowledged.length)];
        fc.pre(victim !== undefined);
        if (victim.type === "insert") {
          const { [victim.key]: _, ...rows } = end.rows;
          const violations = check([...events.slice(0, -1), { ...end, rows }]).violations.lostInserts;
          expect(violations.examples.map(({ key }) => key)).toEqual([victim.key]);
          return;
        }
        const highest = Math.max(...acknowledged.flatMap((event) => (event.type === "increment" && event.counter === victim.counter ? [event.after ?? 0] : [])));
        expect(found([...events.slice(0, -1), { ...end, counters: { ...end.counters, [victim.counter]: highest - 1 } }])).toEqual({ lostUpdates: 1 });
      }),
    );
  });
});
