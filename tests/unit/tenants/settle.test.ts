import { describe, expect, test } from "vitest";
import type { TenantRecord } from "../../../tenants/record";
import { newestRecord } from "../../../tenants/newestRecord";
import { settle, settleAll } from "../../../tenants/settle";
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

type Records = Readonly<Record<string, TenantRecord>>;

/** A cluster that has records and no row in `tenancy.handover`, and keeps what is written. Its workers cannot be reached. */
function cluster(name: string, known: TenantRecord | Records, written: unknown[][], decided: Readonly<Record<string, string>> = {}): Site {
  const records = ("home" in known ? { 7: known } : known) as Records;
  const query = (text: string, values: readonly unknown[] = []): Promise<unknown> => {
    if (text.startsWith("SELECT tenant, home")) return Promise.resolve({ rows: (values[0] as string[]).flatMap((tenant) => (records[tenant] === undefined ? [] : [{ tenant, ...records[tenant], epoch: String(records[tenant].epoch) }])) });
    if (text.startsWith("BEGIN;")) return Promise.resolve([{}, {}, {}, { rows: [{ epoch: "-1" }] }, { rows: [] }]);
    if (text.startsWith("INSERT INTO tenancy.handover")) {
      const [tenants, epochs, moves, takers] = values as [string[], number[], string[], (string | null)[]];
      const rows = tenants.map((tenant, index) => ({ tenant, epoch: String(epochs[index]), move: moves[index], taker: takers[index] }));
      for (const { tenant, epoch, taker } of rows) if (decided[tenant] === undefined) written.push([name, "handover", tenant, Number(epoch), taker]);
      return Promise.resolve({ rows: rows.filter(({ tenant }) => decided[tenant] === undefined) });
    }
    if (text.startsWith("SELECT tenant, epoch, move, taker")) return Promise.resolve({ rows: (values[0] as string[]).map((tenant) => ({ tenant, epoch: "1", move: "m1", taker: decided[tenant] })) });
    if (text.startsWith("INSERT INTO tenancy.tenant")) {
      const columns = values.slice(0, 7).map((column) => (Array.isArray(column) ? (column as unknown[]) : [column]));
      const rows = (columns[0] as unknown[]).map((_, row) => columns.map((column) => column[row]));
      for (const [tenant, home, epoch, state] of rows) written.push([name, tenant, home, epoch, state]);
      return Promise.resolve({ rows: rows.map(([tenant]) => ({ tenant })) });
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
  expect(written).toContainEqual(["a", "handover", "7", 1, "b"]);
  expect(written.filter(([, , home]) => home === "a")).toEqual([]);
});

test("a move that nobody has opened is given up", async () => {
  const written: unknown[][] = [];
  const sites = [cluster("a", leaving(), written), cluster("b", leaving({ state: "moving" }), written)];
  await expect(settle(sites, ["a", "b"], "7")).rejects.toThrow("no worker answers");
  expect(written.slice(0, 2)).toEqual([
    ["a", "handover", "7", 1, null],
    ["a", "7", "a", 2, "settled"],
  ]);
});

test("a placing that nobody has opened is given up, and one that was decided is finished, without a worker: nothing was copied", async () => {
  const written: unknown[][] = [];
  const placing = (tenants: readonly string[]): Records => Object.fromEntries(tenants.map((tenant) => [tenant, leaving({ move: "p123456789abcdef", pinned: true })]));
  const { settled, failed } = await settleAll([cluster("a", placing(["1", "2"]), written, { 2: "b" }), cluster("b", {}, written)], ["a", "b"], ["1", "2"]);
  expect([...failed]).toEqual([]);
  expect(settled).toMatchObject([{ tenant: "1", home: "a", epoch: 2, outcome: "kept", unreached: [] }, { tenant: "2", home: "b", epoch: 2, outcome: "taken", unreached: [] }]);
  expect(written.slice(0, 3)).toEqual([["a", "handover", "1", 1, null], ["a", "1", "a", 2, "settled"], ["b", "2", "b", 2, "settled"]]);
  expect(written.slice(3)).toHaveLength(2);
  expect(written.slice(3)).toEqual(expect.arrayContaining([["a", "2", "b", 2, "settled"], ["b", "1", "a", 2, "settled"]]));
});

test("of a batch each tenant is settled by its own records and its own decision", async () => {
  const written: unknown[][] = [];
  const given = { 1: leaving(), 2: leaving({ epoch: 4 }), 3: leaving({ move: "m2" }), 4: record({ epoch: 3, home: "b", move: "m1" }), 5: leaving() };
  const taken = { 1: leaving({ state: "moving" }), 2: leaving({ state: "moving", epoch: 4 }), 3: record({ home: "b", epoch: 2 }), 4: record({ home: "b", epoch: 3 }), 5: record({ home: "b", epoch: 1 }) };
  // Of 1 is decided that it goes, of 3 another cluster has the next epoch; 5 is claimed by both.
  const { settled, failed } = await settleAll([cluster("a", given, written, { 1: "b" }), cluster("b", taken, written)], ["a", "b"], ["1", "2", "3", "4", "5", "6"]);
  expect([...failed.keys()].sort()).toEqual(["1", "2", "3", "5", "6"]);
  expect(settled).toMatchObject([{ tenant: "4", home: "b", epoch: 3, outcome: "cleaned", unreached: ["a"] }]);
  expect(written.filter(([, what]) => what === "handover")).toEqual([["a", "handover", "2", 4, null], ["a", "handover", "3", 1, "b"]]);
  expect(written).toContainEqual(["b", "1", "b", 2, "settled"]);
  expect(written).toContainEqual(["a", "2", "a", 5, "settled"]);
  expect(written.filter(([, tenant]) => tenant === "5" || tenant === "6")).toEqual([]);
});

test("a move that no record names any more is not settled by its own mover: another may be under way", async () => {
  const written: unknown[][] = [];
  const sites = [cluster("a", { 7: leaving({ move: "m2", state: "moving" }) }, written), cluster("b", { 7: leaving({ move: "m2", state: "moving" }) }, written)];
  await expect(settle(sites, ["a", "b"], "7", "m1")).rejects.toThrow("Somebody else has settled tenant 7 meanwhile");
  expect(written).toEqual([]);
});
