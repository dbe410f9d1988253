import { expect, test } from "vitest";
import { Ledger, type Outcome, type Request } from "../../series/moves/ledger";

const insert = (id: string, body = `new ${id}`): Request => ({ rows: [{ table: "t", id, before: null, after: body }], counters: [] });
const update = (id: string, before: string, after: string): Request => ({ rows: [{ table: "t", id, before, after }], counters: [] });
const remove = (id: string, before = `new ${id}`): Request => ({ rows: [{ table: "t", id, before, after: null }], counters: [] });
const both = (one: string, other: string): Request => ({ rows: [...insert(one).rows, ...insert(other).rows], counters: [] });
const hit: Request = { rows: [], counters: ["7"] };

test.each<[string, [Request, Outcome][], Record<string, string>, number, string[]]>([
  ["what was acknowledged", [[insert("1"), "done"], [update("1", "new 1", "x"), "done"], [hit, "done"]], { "t 1": "x" }, 1, []],
  ["what was refused is not there", [[insert("1"), "refused"], [hit, "refused"]], {}, 0, []],
  ["what is unknown may be there", [[insert("1"), "unknown"], [hit, "unknown"]], { "t 1": "new 1" }, 1, []],
  ["and need not be", [[insert("1"), "unknown"], [hit, "unknown"]], {}, 0, []],
  ["a change that is unknown: as before", [[insert("1"), "done"], [update("1", "new 1", "x"), "unknown"]], { "t 1": "new 1" }, 0, []],
  ["a change that is unknown: as after", [[insert("1"), "done"], [update("1", "new 1", "x"), "unknown"]], { "t 1": "x" }, 0, []],
  ["a deletion that is unknown", [[insert("1"), "done"], [remove("1"), "unknown"]], {}, 0, []],
  ["both parts of a transaction that is unknown", [[both("1", "2"), "unknown"]], { "t 1": "new 1", "t 2": "new 2" }, 0, []],
  ["neither part of it", [[both("1", "2"), "unknown"]], {}, 0, []],
  ["a row that is lost", [[insert("1"), "done"]], {}, 0, ["lost"]],
  ["a change that is lost", [[insert("1"), "done"], [update("1", "new 1", "x"), "done"]], { "t 1": "new 1" }, 0, ["wrong"]],
  ["a deletion that is lost, or a row that came back", [[insert("1"), "done"], [remove("1"), "done"]], { "t 1": "new 1" }, 0, ["doubled"]],
  ["what was refused and is there", [[insert("1"), "refused"]], { "t 1": "new 1" }, 0, ["doubled"]],
  ["neither as before nor as after", [[insert("1"), "done"], [update("1", "new 1", "x"), "unknown"]], { "t 1": "y" }, 0, ["wrong"]],
  ["a row that is gone where a change of it is unknown", [[insert("1"), "done"], [update("1", "new 1", "x"), "unknown"]], {}, 0, ["lost"]],
  ["one part of a transaction that is unknown", [[both("1", "2"), "unknown"]], { "t 1": "new 1" }, 0, ["torn"]],
  ["an increment that is lost", [[hit, "done"], [hit, "done"]], {}, 1, ["lost"]],
  ["an increment that was done twice", [[hit, "done"], [hit, "unknown"]], {}, 3, ["doubled"]],
])("%s", (_, requests, rows, counter, kinds) => {
  const ledger = new Ledger();
  for (const [request, outcome] of requests) ledger.note(request, outcome);
  expect(ledger.compare({ rows: new Map(Object.entries(rows)), counters: new Map([["7", counter]]) }).map(({ kind }) => kind)).toEqual(kinds);
});

test("what was unknown and was seen done stays done; what was not seen may be done later", () => {
  const ledger = new Ledger();
  const found = (rows: Record<string, string>, counter: number): string[] => ledger.compare({ rows: new Map(Object.entries(rows)), counters: new Map([["7", counter]]) }).map(({ kind }) => kind);
  for (const request of [insert("1"), insert("2"), hit, hit]) ledger.note(request, "unknown");
  expect(found({ "t 1": "new 1" }, 1)).toEqual([]);
  expect(found({ "t 1": "new 1", "t 2": "new 2" }, 2)).toEqual([]);
  expect(found({ "t 2": "new 2" }, 1)).toEqual(["lost", "lost"]);
  expect(found({ "t 1": "new 1", "t 2": "new 2" }, 3)).toEqual(["doubled"]);
});
