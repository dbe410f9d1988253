import { expect, test } from "vitest";
import type { Ring } from "../../../tenants/record";
import { changeRing, pruneRecords } from "../../../tenants/ring";
import type { Site } from "../../../tenants/site";

interface Row {
  readonly tenant: string;
  readonly home: string;
  readonly epoch: string;
  readonly pinned: boolean;
}

/** A cluster that knows a ring, and keeps what is done to it. */
function cluster(name: string, ring: Ring, done: unknown[][], records: readonly Row[] = []): Site {
  const query = (statement: string | { text: string }, values: readonly unknown[] = []): Promise<unknown> => {
    const text = typeof statement === "string" ? statement : statement.text;
    if (text.startsWith("SELECT tenancy.winner('1'")) return Promise.resolve({ rows: [{ winner: name === "old" ? "a#1" : "a" }] });
    if (text.startsWith("SELECT version")) return Promise.resolve({ rows: [{ ...ring, version: String(ring.version) }] });
    if (text.startsWith("SELECT tenant, home, epoch, pinned")) return Promise.resolve({ rows: records });
    if (/^(UPDATE tenancy\.(ring|horizon)|DELETE)/.test(text)) done.push([name, text.split(" ").slice(0, 3).join(" "), ...values]);
    return Promise.resolve({ rows: [], rowCount: 1 });
  };
  return { name, coordinator: { query } } as unknown as Site;
}

const before: Ring = { version: 1, clusters: ["a", "b"], next: ["a", "b", "c"] };
const after: Ring = { version: 2, clusters: ["a", "b", "c"], next: null };

test("a change of the ring that stopped before its last write is finished by the same command", async () => {
  const done: unknown[][] = [];
  const sites = [cluster("a", before, done), cluster("b", after, done), cluster("c", before, done)];
  expect(await changeRing(sites, ["c", "b", "a"])).toBe(0);
  expect(done).toEqual(["a", "c"].map((name) => [name, "UPDATE tenancy.ring SET", 2, ["a", "b", "c"], null, name]));
});

test("a change of the ring that is everywhere is not made again", async () => {
  const done: unknown[][] = [];
  expect(await changeRing(["a", "b", "c"].map((name) => cluster(name, after, done)), ["a", "b", "c"])).toBe(0);
  expect(done).toEqual([]);
});

test("weights are no other ring where they are the same, and are refused by a fence that takes a ticket for a name", async () => {
  const done: unknown[][] = [];
  const weighted: Ring = { version: 2, clusters: ["a", "b", "b#1"], next: null };
  expect(await changeRing(["a", "b"].map((name) => cluster(name, weighted, done)), ["b#1", "b", "a"])).toBe(0);
  const sites = [cluster("a", { version: 2, clusters: ["a", "old"], next: null }, done), cluster("old", { version: 2, clusters: ["a", "old"], next: null }, done)];
  await expect(changeRing(sites, ["a", "old", "a#1"])).rejects.toThrow("Cluster old has the fence of an older version, which knows no weights. Run npm run up");
  await expect(changeRing(sites, ["a", "b", "b#1"])).rejects.toThrow("The ring cannot be changed while b does not answer");
  expect(done).toEqual([]);
});

const record = (tenant: string, epoch: number): Row => ({ tenant, home: "a", epoch: String(epoch), pinned: true });

test("records that say what the hash says go where all clusters agree, once every cluster remembers their epoch", async () => {
  const done: unknown[][] = [];
  const sites = [cluster("a", after, done, [record("1", 4), record("2", 3), record("3", 9)]), cluster("b", after, done, [record("1", 4), record("2", 2)]), cluster("c", after, done, [record("1", 4), record("2", 3), record("3", 9)])];
  expect(await pruneRecords(sites)).toBe(1);
  expect(done).toEqual([...["a", "b", "c"].map((name) => [name, "UPDATE tenancy.horizon SET", 4]), ...["a", "b", "c"].map((name) => [name, "DELETE FROM tenancy.tenant", ["1"], [4]])]);
});

test("no record goes while the ring changes", async () => {
  const done: unknown[][] = [];
  expect(await pruneRecords([cluster("a", after, done, [record("1", 4)]), cluster("b", before, done, [record("1", 4)])])).toBe(0);
  expect(done).toEqual([]);
});
