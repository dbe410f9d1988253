import { afterEach, expect, test, vi } from "vitest";
import { Coordinator } from "../../../setup/coordinator";
import { Deadline } from "../../../setup/deadline";
import { Report } from "../../../setup/report";
import { bucketsToSettle, knowledgeOf, reconcileTenancy, type Known } from "../../../setup/tenancy";
import { KEEP_RECORDS, LOCK_RECORDS } from "../../../tenants/record";

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

afterEach(() => vi.restoreAllMocks());

interface Ring {
  readonly version: number;
  readonly clusters: readonly string[];
  readonly next: readonly string[] | null;
}

const RING: Ring = { version: 4, clusters: ["a", "b"], next: null };

/** Has a stack of clusters a and b told of its tenants: a has a record, which b missed. @param ring b's, as often as it is asked for. @returns what was done to each, in short. */
async function told(ring: readonly (Ring | undefined)[]): Promise<Record<string, string[]>> {
  const done: Record<string, string[]> = { a: [], b: [] };
  const steps: readonly (readonly [pattern: string, step: string])[] = [
    [KEEP_RECORDS, "keep"],
    ["SELECT tenant, home, epoch, pinned, target", "read"],
    ["INSERT INTO tenancy.tenant", "write"],
    ["COMMIT", "commit"],
    ["ROLLBACK", "roll back"],
    [LOCK_RECORDS, "lock"],
    ["INSERT INTO tenancy.ring", "ring"],
  ];
  vi.spyOn(Coordinator, "connect").mockImplementation((name) => {
    const rings = name === "b" ? [...ring] : [];
    const query = (text: string): Promise<unknown[]> => {
      done[name]?.push(...steps.flatMap(([pattern, step]) => (text.includes(pattern) ? [step] : [])));
      if (text.startsWith("SELECT version")) {
        const now = name === "a" ? RING : rings.length > 1 ? rings.shift() : rings[0];
        return Promise.resolve(now === undefined ? [] : [{ ...now, version: String(now.version) }]);
      }
      if (text.startsWith("SELECT bucket")) return Promise.resolve([{ bucket: 1, records: name === "a" ? "1" : "0", digest: name, lost: "0" }]);
      if (text.startsWith("SELECT tenant, home")) return Promise.resolve(name === "a" ? [{ tenant: "7", home: "a", epoch: "3", pinned: true, target: null }] : []);
      return Promise.resolve([]);
    };
    const transaction = async (work: () => Promise<unknown>): Promise<unknown> => {
      const result = await work();
      done[name]?.push("commit");
      return result;
    };
    return Promise.resolve({ name, query, transaction, row: () => Promise.resolve({ ready: false }), close: () => Promise.resolve() } as unknown as Coordinator);
  });
  const endpoint = { host: "127.0.0.1", port: 5432, user: "postgres", database: "app" };
  const clusters = ["a", "b"].map((name) => ({ name, endpoint, weight: 1 }));
  await reconcileTenancy({ clusters } as unknown as Parameters<typeof reconcileTenancy>[0], new Set(), new Deadline(10), new Report(() => undefined)).catch((error: unknown) => {
    (done["failed"] ??= []).push((error as Error).message);
  });
  return done;
}

test("records are looked at and brought to who missed them while nobody can forget them, and a ring is brought while nobody writes by one", async () => {
  expect(await told([RING])).toEqual({ a: ["keep", "read", "commit"], b: ["keep", "read", "write", "write", "commit", "lock", "ring", "commit"] });
});

test.each<[string, Ring | undefined, Ring]>([
  ["is another by now", RING, { version: 5, clusters: ["b"], next: null }],
  ["is being changed by now", RING, { ...RING, next: ["b"] }],
  ["came by now", undefined, RING],
])("nothing is written by a set-up that stood still where the ring %s", async (_, before, now) => {
  const { a, b, failed } = await told([before, now]);
  expect([a, b]).toEqual([["keep", "roll back"], ["keep", "roll back"]]);
  expect(failed).toEqual(["Cluster b got another ring meanwhile, by a rebalance or drain. Run the update again when that has ended"]);
});
