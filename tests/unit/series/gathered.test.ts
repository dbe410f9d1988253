import { expect, test } from "vitest";
import { wrongGathering } from "../../series/moves/gathered";

/** Rows as `cluster tenant account`. */
const rows = (...texts: string[]): { cluster: string; row: { tenant: string; account: string } }[] =>
  texts.map((text) => {
    const [cluster = "", tenant = "", account = ""] = text.split(" ");
    return { cluster, row: { tenant, account } };
  });

const WHOLE = ["a 1 1", "a 1 2", "b 2 1", "b 2 2"];

test.each<[string, string[], { complete?: boolean; moved?: boolean }, string | undefined]>([
  ["every account once", WHOLE, {}, undefined],
  ["a tenant twice", [...WHOLE, "b 1 1", "b 1 2"], {}, "doubled: account 1 of tenant 1 came from a and b"],
  ["one account twice", [...WHOLE, "b 1 2"], {}, "doubled: account 2 of tenant 1 came from a and b"],
  ["doubled where a cluster is missing", ["a 1 1", "a 1 2", "b 1 1"], { complete: false }, "doubled: account 1 of tenant 1 came from a and b"],
  ["a tenant not at all", WHOLE.slice(0, 2), {}, "missing: 0 of the 2 accounts of tenant 2 were gathered, and every cluster answered"],
  ["a tenant in part", WHOLE.slice(0, 3), {}, "missing: 1 of the 2 accounts of tenant 2 were gathered, and every cluster answered"],
  ["a cluster is missing", WHOLE.slice(0, 2), { complete: false }, undefined],
  ["a cluster is missing, and part of a tenant", WHOLE.slice(0, 3), { complete: false }, "missing: 1 of the 2 accounts of tenant 2 were gathered from b"],
  ["the router says that homes changed", [...WHOLE, "b 1 1"], { moved: true }, undefined],
])("%s", (_, texts, { complete = true, moved = false }, wrong) => {
  expect(wrongGathering({ rows: rows(...texts), complete, moved }, ["1", "2"], 2)).toBe(wrong);
});
