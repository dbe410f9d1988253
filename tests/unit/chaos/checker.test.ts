import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Checker, type Verdict, type Violation } from "../../../chaos/checker";
import type { HistoryEvent, Outcome } from "../../../chaos/history";
import { connect, fault, final, healed, increment, insert, lostAnswer, move, read, reference, run, schema, transfer } from "./events";

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
  test("after the whole cluster was away are late for as long as they would be without that", () => {
    const away = [increment(0, 0), increment(1, 10), ...later, increment(0, 9020, { counter: "d" })];
    const both = { c: 3, d: 1 };
    expect(found([...away, read(2, 16025), final({ counters: both })])).toEqual({});
    expect(found([...away, read(2, 16025.1), final({ counters: both })])).toEqual({ staleReads: 1 });
    const lasting = [increment(0, 0), increment(1, 10), fault(1, 16), increment(2, 20)];
    expect(found([...lasting, read(2, 9000), healed(1, 9500), final({ counters })])).toEqual({});
    expect(found([...lasting, healed(1, 40), read(2, 9000), final({ counters })])).toEqual({ staleReads: 1 });
    expect(found([...away.slice(0, -1), increment(0, 9020, { counter: "b:d" }), read(2, 16025), final({ counters: { c: 3, "b:d": 1 } })])).toEqual({ staleReads: 1 });
  });

  test("from standbys tell how far those are behind: in increments, and since the value was overtaken", () => {
    expect(check([...written, read(1, 40, { endpoint: "standbys" }), read(3, 50, { endpoint: "standbys" }), final({ counters })]).staleness).toEqual({ increments: 2, ms: 25 });
  });
});

test.each<[string, HistoryEvent[], Partial<Record<Violation, number>>]>([
  ["placements that differ", [final({ differing: { s1: "coord-2 has one row more" } })], { differing: 1 }],
  ["a fault that nothing healed", [fault(1, 0), final()], { unhealed: 1 }],
  ["a stack that was not whole when it was read back", [final({ lacks: ["db has no leader"] })], { unwhole: 1 }],
  ["a fault that did not heal in time", [fault(1, 0), healed(1, 9, { problem: "a standby does not stream" }), final()], { unhealed: 1 }],
  ["a fault that healed", [fault(1, 0), healed(1, 9), final()], {}],
  ["an attempt to connect of exactly a second", [connect(0, 1000), final()], {}],
  ["one that took longer", [connect(0, 1000.5), connect(0, 1200, { outcome: "refused" }), final()], { slowConnects: 2 }],
  ["a run that was not read back", [run(), insert("k")], { incomplete: 1 }],
])("%s", (_, events, expected) => {
  expect(found(events)).toEqual(expected);
});

/** What the planted cases have in common: a sentence names what happened. */
function sentences(events: readonly HistoryEvent[], violation: Violation): string[] {
  return check(events).violations[violation].examples.map(({ key, sentence }) => `${key} ${sentence}`);
}

describe("transfers", () => {
  const halves = (first: Record<string, number>, second: Record<string, number>): HistoryEvent => final({ halves: [{ rows: first }, { rows: second }] });

  test.each<[string, Outcome, HistoryEvent, Partial<Record<Violation, number>>, string]>([
    ["acknowledged, and both halves there", "ok", halves({ "3-1": 1 }, { "3-1": 1 }), {}, ""],
    ["acknowledged, one half lost", "ok", halves({ "3-1": 1 }, {}), { tornTransfers: 1 }, "3-1 should have both halves or none, and was acknowledged; has only the first"],
    ["acknowledged, both halves lost", "ok", halves({}, {}), { lostTransfers: 1 }, "3-1 should have both halves, since it was acknowledged; has none"],
    ["of unknown outcome, torn", "unknown", halves({}, { "3-1": 1 }), { tornTransfers: 1 }, "3-1 should have both halves or none, and may or may not have been done; has only the second"],
    ["of unknown outcome, done", "unknown", halves({ "3-1": 1 }, { "3-1": 1 }), {}, ""],
    ["of unknown outcome, not done", "unknown", halves({}, {}), {}, ""],
    ["refused, and done", "refused", halves({ "3-1": 1 }, { "3-1": 1 }), { refusedTransfers: 1 }, "3-1 should have no half, since it was refused; has one"],
    ["done twice", "ok", halves({ "3-1": 2 }, { "3-1": 2 }), { doubledRows: 1 }, "3-1 should have each half once, has the first 2 times and the second 2 times"],
  ])("%s", (_, outcome, end, expected, sentence) => {
    const events = [transfer("3-1", { outcome }), end];
    expect(found(events)).toEqual(expected);
    expect(Object.keys(expected).flatMap((violation) => sentences(events, violation as Violation))).toEqual(sentence === "" ? [] : [sentence]);
  });

  test("that lack a half count as lost once", () => {
    expect(check([transfer("3-1"), transfer("3-2"), halves({ "3-1": 1 }, {})]).lostWrites).toBe(2);
  });

  test("are found in runs of numbers, beside keys that have rows of their own", () => {
    const runs = { "3": [[1, 3], [5, 6]] } as const;
    const events = [1, 2, 3, 4, 5, 6].map((number) => transfer(`3-${number}`));
    expect(found([...events, final({ halves: [{ rows: {}, runs }, { rows: {}, runs: { "3": [[1, 6]] } }] })])).toEqual({ tornTransfers: 1 });
  });

  test("that nobody made are found", () => {
    expect(found([halves({ "9-1": 1 }, {})])).toEqual({ unaskedRows: 1 });
  });

  test("leave the sum of balances as it was", () => {
    const events = (sum: number): HistoryEvent[] => [final({ balances: { a: { opening: 64_000, sum } } })];
    expect(found(events(64_000))).toEqual({});
    expect(sentences(events(63_958), "movedSums")).toEqual(["a should have 64000 in all accounts together, as at the beginning; has 63958"]);
  });
});

describe("runs of numbers", () => {
  test("are rows of inserts, and of nobody else", () => {
    const events = [insert("1-1"), insert("1-2"), insert("1-3", { outcome: "unknown" })];
    expect(found([...events, final({ runs: { "1": [[1, 3]] } })])).toEqual({});
    expect(found([...events, final({ runs: { "1": [[2, 2]] } })])).toEqual({ lostInserts: 1 });
    expect(found([...events, final({ runs: { "1": [[1, 5]] } })])).toEqual({ unaskedRows: 2 });
  });
});

describe("the old side of a partition", () => {
  test("that acknowledged a row which is not there is named", () => {
    const events = [insert("8-1", { client: 8, oldSide: "coord-1" }), insert("8-2", { client: 8, oldSide: "coord-1", outcome: "unknown" }), final()];
    expect(found(events)).toEqual({ lostOldSide: 1 });
    expect(sentences(events, "lostOldSide")).toEqual(["8-1 should have a row, since coord-1 acknowledged it while it was cut off; has none"]);
  });
});

describe("reference tables", () => {
  test.each<[string, HistoryEvent[], Record<string, number>, Partial<Record<Violation, number>>, string]>([
    ["that hold the last acknowledged value", [reference(1), reference(2)], { "a:r": 2 }, {}, ""],
    ["that hold one of unknown outcome", [reference(1), reference(2, { outcome: "unknown" })], { "a:r": 2 }, {}, ""],
    ["that lost an update", [reference(1), reference(2)], { "a:r": 1 }, { lostReferences: 1 }, "a:r should be 2 or more, which was acknowledged; is 1"],
    ["that lost a row", [reference(1)], {}, { lostReferences: 1 }, "a:r should be 1 or more, which was acknowledged; is not there"],
    ["that lost an update before the next one", [reference(1), reference(2, { previous: 0 })], { "a:r": 2 }, { lostReferences: 1 }, "a:r should have taken the place of 1 or more, which was acknowledged; found no row"],
    ["whose next value took the place of the last", [reference(1), reference(2, { previous: 1 })], { "a:r": 2 }, {}, ""],
    ["that hold a refused value", [reference(1), reference(2, { outcome: "refused" })], { "a:r": 2 }, { strangeReferences: 1 }, "a:r should be a value that a client asked for and was not refused; is 2"],
  ])("%s", (_, events, references, expected, sentence) => {
    const all = [...events, final({ references })];
    expect(found(all)).toEqual(expected);
    expect(Object.keys(expected).flatMap((violation) => sentences(all, violation as Violation))).toEqual(sentence === "" ? [] : [sentence]);
  });

  test("whose copies differ are named", () => {
    expect(sentences([final({ differing: { "a/chaos.settings": "worker1 has 3 rows, worker2 has 2 rows" } })], "differing")).toEqual(["a/chaos.settings should be the same in every copy: worker1 has 3 rows, worker2 has 2 rows"]);
  });
});

describe("schema changes", () => {
  const everywhere = (columns: string): Record<string, string> => ({ "coord-1": columns, worker1: columns, "changed_1_102 on worker1": columns });
  const added = schema("add column", { column: "first" });

  test.each<[string, HistoryEvent[], Record<string, string>, Violation | undefined, string]>([
    ["that are there", [schema("create"), added], everywhere("key,value,first"), undefined, ""],
    ["of unknown outcome, done", [schema("create"), { ...added, outcome: "unknown" }], everywhere("key,value,first"), undefined, ""],
    ["of unknown outcome, not done", [schema("create"), { ...added, outcome: "unknown" }], everywhere("key,value"), undefined, ""],
    ["that were refused", [schema("create", { outcome: "refused" })], {}, undefined, ""],
    ["that dropped a table", [schema("create"), schema("drop")], {}, undefined, ""],
    ["that are half there", [schema("create"), { ...added, outcome: "unknown" }], { ...everywhere("key,value"), worker1: "key,value,first" }, "halfSchemas", "a:changed_1 should be the same in every place: coord-1 has the columns key,value, worker1 has the columns key,value,first, changed_1_102 on worker1 has the columns key,value"],
    ["of which a node has no table", [schema("create")], { ...everywhere("key,value"), worker2: "" }, "halfSchemas", "a:changed_1 should be the same in every place: coord-1 has the columns key,value, worker1 has the columns key,value, changed_1_102 on worker1 has the columns key,value, worker2 has no such table"],
    ["that were acknowledged and are gone", [schema("create"), added], everywhere("key,value"), "lostSchemas", "a:changed_1 should be the columns key,value,first, by what was acknowledged; is the columns key,value"],
    ["that were refused and done", [schema("create"), { ...added, outcome: "refused" }], everywhere("key,value,first"), "lostSchemas", "a:changed_1 should be the columns key,value, by what was acknowledged; is the columns key,value,first"],
    ["that dropped a table which is there", [schema("create"), schema("drop")], everywhere("key,value"), "lostSchemas", "a:changed_1 should be no such table, by what was acknowledged; is the columns key,value"],
  ])("%s", (_, events, places, violation, sentence) => {
    const all = [...events, final({ schemas: Object.keys(places).length === 0 ? {} : { "a:changed_1": places } })];
    expect(found(all)).toEqual(violation === undefined ? {} : { [violation]: 1 });
    if (violation !== undefined) expect(sentences(all, violation)).toEqual([sentence]);
  });
});

describe("moves of shards", () => {
  test.each<[string, HistoryEvent[], number[], string]>([
    ["that took place", [move(1, 2)], [2], ""],
    ["that were acknowledged and did not", [move(1, 2)], [1], "s1 should be in group 2 and no more in group 1, since its move was acknowledged; is in 1"],
    ["that left a placement behind", [move(1, 2)], [1, 2], "s1 should be in group 2 and no more in group 1, since its move was acknowledged; is in 1, 2"],
    ["that left a placement behind, before it a fault", [run({ copies: 2 }), fault(1, 0), healed(1, 1), move(1, 2, { at: 2 })], [1, 2], "s1 should be in group 2 and no more in group 1, since its move was acknowledged; is in 1, 2"],
    ["whose shard was copied anew during a fault", [run({ copies: 2 }), fault(1, 0), move(1, 2, { at: 2 }), healed(1, 10)], [1, 2], ""],
    ["whose shard has a copy too many after a fault", [run({ copies: 2 }), fault(1, 0), move(1, 2, { at: 2 }), healed(1, 10)], [1, 2, 3], "s1 should be in group 2 and no more in group 1, since its move was acknowledged; is in 1, 2, 3"],
    ["whose shard cannot have been copied anew during a fault", [run({ copies: 1 }), fault(1, 0), move(1, 2, { at: 2 }), healed(1, 10)], [1], "s1 should be in group 2 and no more in group 1, since its move was acknowledged; is in 1"],
    ["that failed and did not take place", [move(1, 2), move(2, 1, { outcome: "refused" })], [2], ""],
    ["whose outcome is unknown", [move(1, 2), move(2, 1, { outcome: "unknown" })], [1], ""],
  ])("%s", (_, events, groups, sentence) => {
    expect(sentences([...events, final({ placements: { s1: groups } })], "lostMoves")).toEqual(sentence === "" ? [] : [sentence]);
  });

  test("leave no table behind that nobody knows of", () => {
    expect(sentences([final({ orphans: ["inserts_102008 on worker1"] })], "orphans")).toEqual(["inserts_102008 on worker1 should have a placement, or a record that it is to be removed; has neither"]);
  });
});

describe("a value of a counter has one writer", () => {
  const by = (id: string, before: number, at: number, writer: string): HistoryEvent => increment(before, at, { id, writer });

  test.each<[string, HistoryEvent[], string, Partial<Record<Violation, number>>]>([
    ["which every increment finds", [by("1-1", 0, 0, ""), by("1-2", 1, 10, "1-1")], "1-2", {}],
    ["a lost increment does not hide behind an unknown one", [by("1-1", 0, 0, ""), { ...lostAnswer(10), id: "1-2" }, by("1-3", 1, 20, "1-2")], "1-3", { rewritten: 1 }],
    ["an unknown increment that was done is one of them", [by("1-1", 0, 0, ""), { ...lostAnswer(10), id: "1-2" }, by("1-3", 2, 20, "1-2")], "1-3", {}],
    ["a read at the leader finds it", [by("1-1", 0, 0, ""), read(1, 10, { writer: "1-9" })], "1-1", { rewritten: 2 }],
    ["a read from a standby may have found another", [by("1-1", 0, 0, ""), read(1, 10, { writer: "1-9", endpoint: "standbys" })], "1-1", {}],
    ["what is read back has it", [by("1-1", 0, 0, "")], "1-2", { rewritten: 1 }],
  ])("%s", (_, events, writer, expected) => {
    const value = Math.max(...events.flatMap((event) => (event.type === "increment" && event.after !== undefined ? [event.after] : [])));
    expect(found([...events, final({ counters: { c: value }, writers: { c: writer } })])).toEqual(expected);
  });

  test("and the sentence names both", () => {
    expect(sentences([by("1-1", 0, 0, ""), { ...lostAnswer(10), id: "1-2" }, by("1-3", 1, 20, "1-2"), final({ counters: { c: 2 } })], "rewritten")).toEqual([
      "c should have 1 from increment 1-1, which was there for certain at 0.01 s; has it from 1-2",
    ]);
  });
});

describe("a read at the leader during a fault that does not see an acknowledged write", () => {
  const events = (copies: number, value: number): HistoryEvent[] => [
    run({ copies }), increment(0, 0), increment(1, 10), fault(1, 16), increment(2, 20), increment(3, 26), read(value, 40), healed(1, 50), final({ counters: { c: 4 } }),
  ];

  test.each<[string, number, number, Partial<Record<Violation, number>>]>([
    ["is late with two copies, of which one has not heard of the last write", 2, 3, {}],
    ["is stale with two copies if it misses two writes: the second cannot have been built on the older value", 2, 2, { staleReads: 1 }],
    ["is stale with one copy", 1, 3, { staleReads: 1 }],
  ])("%s", (_, copies, value, expected) => {
    expect(found(events(copies, value))).toEqual(expected);
  });

  test("is named", () => {
    expect(sentences(events(1, 3), "staleReads")).toEqual(["c should have read 4 or more, read 3, which was overtaken 9 ms before it was sent"]);
  });
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
