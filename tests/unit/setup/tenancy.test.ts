import { expect, test } from "vitest";
import { bucketsToSettle, knowledgeOf, type Known } from "../../../setup/tenancy";

const record = (more: Partial<Known>): Known => ({ cluster: "b", tenant: "7", home: "a", epoch: 1, pinned: false, target: null, ...more });
const leaving = (more: Partial<Known>): Known => record({ cluster: "a", target: "b", ...more });

test.each<[string, Known[], ReturnType<typeof knowledgeOf>]>([
  ["the highest epoch is true", [record({ epoch: 3, home: "b", pinned: true }), record({ epoch: 2 })], { newest: [{ tenant: "7", home: "b", epoch: 3, pinned: true }], bereft: [], givenUp: [] }],
  ["a move under way changes nothing yet", [record({}), leaving({})], { newest: [{ tenant: "7", home: "a", epoch: 1, pinned: false }], bereft: [], givenUp: [] }],
  ["a home that one cluster missed is known", [record({ epoch: 2, home: "b" }), record({})], { newest: [{ tenant: "7", home: "b", epoch: 2, pinned: false }], bereft: [], givenUp: [] }],
  ["a tenant of a lost cluster begins anew above every epoch that is known, also where its way there was missed", [record({ epoch: 2, home: "lost" }), record({ home: "a" })], { newest: [], bereft: [{ tenant: "7", epoch: 4 }], givenUp: [] }],
  ["a tenant on its way out of a lost cluster begins anew", [leaving({ home: "lost" })], { newest: [], bereft: [{ tenant: "7", epoch: 3 }], givenUp: [] }],
  [
    "a tenant on its way into a lost cluster stays, with an epoch that is above any of there",
    [record({}), leaving({ target: "lost" })],
    { newest: [{ tenant: "7", home: "a", epoch: 3, pinned: false }], bereft: [], givenUp: ["7"] },
  ],
])("%s", (_, records, expected) => {
  expect(knowledgeOf(records, ["a", "b"])).toEqual(expected);
  expect(knowledgeOf([...records].reverse(), ["a", "b"])).toEqual(expected);
});

const digests = (of: Readonly<Record<number, readonly [records: number, digest: string, lost?: number]>>): { digests: ReadonlyMap<number, { records: number; digest: string; lost: number }> } => ({
  digests: new Map(Object.entries(of).map(([bucket, [records, digest, lost = 0]]) => [Number(bucket), { records, digest, lost }])),
});

test("only records that clusters know different things of are looked at, or that have to do with a cluster that is gone, in parts", () => {
  const a = digests({ 1: [10, "x"], 2: [10, "x"], 3: [10, "x", 1], 4: [30_000, "x"], 5: [30_000, "x"], 9: [10, "x"] });
  const b = digests({ 1: [10, "x"], 2: [10, "y"], 3: [10, "x", 1], 4: [30_000, "y"], 5: [30_000, "y"] });
  expect(bucketsToSettle([a, b])).toEqual([[2, 3, 4], [5, 9]]);
  expect(bucketsToSettle([a, a].map(() => digests({ 1: [10, "x"] })))).toEqual([]);
});
