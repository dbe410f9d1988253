import { describe, expect, test } from "vitest";
import type { TenantRecord } from "../../../tenants/record";
import { newestRecord, settle } from "../../../tenants/settle";
import type { Site } from "../../../tenants/site";

const record = (more: Partial<TenantRecord>): TenantRecord => ({ home: "a", epoch: 1, state: "settled", target: null, move: null, pinned: false, ...more });
const leaving = (more: Partial<TenantRecord> = {}): TenantRecord => record({ state: "closed", target: "b", move: "m1", ...more });

describe("the record that is believed", () => {
  test.each<[string, Record<string, TenantRecord>, string]>([
    ["the highest epoch", { a: record({ epoch: 3 }), b: record({ epoch: 4, home: "b" }) }, "b"],
    ["of one epoch that of the home itself", { a: record({}), b: record({ home: "b" }), c: record({ home: "a" }) }, ""],
    ["of one epoch the home's, whoever says otherwise", { c: record({ home: "b" }), a: record({}) }, "a"],
  ])("is that of %s", (_, records, home) => {
    const newest = (): string | undefined => newestRecord("7", new Map(Object.entries(records)))?.home;
    if (home === "") expect(newest).toThrow("Clusters a and b both say that tenant 7 lives there since epoch 1");
    else expect(newest()).toBe(home);
  });

  test("is none where there is none", () => {
    expect(newestRecord("7", new Map())).toBeUndefined();
  });
});

/** A cluster that has a record of tenant 7 and no row in `tenancy.handover`, and keeps what is written. Its workers cannot be reached. */
function cluster(name: string, known: TenantRecord, written: unknown[][]): Site {
  const query = (text: string, values: readonly unknown[] = []): Promise<unknown> => {
    if (text.startsWith("SELECT home")) return Promise.resolve({ rows: [{ ...known, epoch: String(known.epoch) }] });
    if (text.startsWith("BEGIN;")) return Promise.resolve([{}, {}, { rows: [{ epoch: "-1" }] }]);
    if (text.startsWith("INSERT INTO tenancy.handover")) {
      const [, epoch, move, taker] = values;
      written.push([name, "handover", epoch, taker]);
      return Promise.resolve({ rows: [{ epoch: String(epoch), move, taker }] });
    }
    if (text.startsWith("INSERT INTO tenancy.tenant")) {
      const [, home, epoch, state] = values;
      written.push([name, home, epoch, state]);
      return Promise.resolve({ rowCount: 1, rows: [] });
    }
    if (text.includes("pg_dist_partition")) return Promise.reject(new Error("no worker answers"));
    return Promise.resolve({ rows: [], rowCount: 0 });
  };
  return { name, coordinator: { query } } as unknown as Site;
}

test("a move that the new home has opened was taken, though the row that decided it is lost", async () => {
  const written: unknown[][] = [];
  const sites = [cluster("a", leaving(), written), cluster("b", record({ home: "b", epoch: 2 }), written)];
  expect(await settle(sites, ["a", "b"], "7")).toMatchObject({ home: "b", epoch: 2, outcome: "taken" });
  expect(written).toContainEqual(["a", "handover", 1, "b"]);
  expect(written.filter(([, home]) => home === "a")).toEqual([]);
});

test("a move that nobody has opened is given up", async () => {
  const written: unknown[][] = [];
  const sites = [cluster("a", leaving(), written), cluster("b", leaving({ state: "moving" }), written)];
  await expect(settle(sites, ["a", "b"], "7")).rejects.toThrow("no worker answers");
  expect(written.slice(0, 2)).toEqual([
    ["a", "handover", 1, null],
    ["a", "a", 2, "settled"],
  ]);
});

test("a move that no record names any more is not settled by its own mover: another may be under way", async () => {
  const written: unknown[][] = [];
  const sites = [cluster("a", leaving({ move: "m2", state: "moving" }), written), cluster("b", leaving({ move: "m2", state: "moving" }), written)];
  await expect(settle(sites, ["a", "b"], "7", "m1")).rejects.toThrow("Somebody else has settled tenant 7 meanwhile");
  expect(written).toEqual([]);
});
