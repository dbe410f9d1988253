import { expect, test } from "vitest";
import type { Ring } from "../../../tenants/record";
import { changeRing, pruneRecords } from "../../../tenants/ring";
import { shareRecords } from "../../../tenants/shareRecords";
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
    if (text.includes("SELECT epoch FROM tenancy.horizon;")) return Promise.resolve([{}, {}, {}, { rows: [{ epoch: "-1" }] }, { rows: [{ ...ring, version: String(ring.version) }] }]);
    if (text.startsWith("SELECT version")) return Promise.resolve({ rows: [{ ...ring, version: String(ring.version) }] });
    if (text.startsWith("SELECT bucket")) return Promise.resolve({ rows: records.length === 0 ? [] : [{ bucket: 1, digest: name }] });
    if (text.startsWith("INSERT INTO tenancy.tenant")) done.push([name, ...values.slice(0, 3)]);
    if (/^(UPDATE tenancy\.(ring|horizon)|DELETE)/.test(text)) done.push([name, text.split(" ").slice(0, 3).join(" "), ...values]);
    return Promise.resolve({ rows: [], rowCount: 1 });
  };
  const another = (): Promise<unknown> => {
    let left = [...records];
    const fetched = (text: string | { text: string }): Promise<unknown> => {
      const many = /^FETCH (\d+)/.exec(typeof text === "string" ? text : text.text)?.[1];
      return Promise.resolve({ rows: many === undefined ? [] : left.splice(0, Number(many)) });
    };
    return Promise.resolve({ query: fetched, connection: { stream: { destroy: () => void (left = []) } } });
  };
  return { name, coordinator: { query }, another, ownCopy: () => Promise.resolve("tenant_1") } as unknown as Site;
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

test("records go in parts, of tenants in whatever order the databases have", async () => {
  const done: unknown[][] = [];
  // As bytes are ordered.
  const rows = [...Array.from({ length: 12_000 }, (_, tenant) => String(100_000 + tenant)), "\ue000", "\u{1f600}"].map((tenant) => record(tenant, 2));
  const sites = ["a", "b", "c"].map((name) => cluster(name, after, done, name === "b" ? rows.filter(({ tenant }) => tenant !== "100007") : rows));
  expect(await pruneRecords(sites)).toBe(12_001);
  const gone = done.flatMap(([name, what, tenants]) => (name === "c" && what === "DELETE FROM tenancy.tenant" ? [(tenants as string[]).length] : []));
  expect(gone).toEqual([10_000, 2001]);
});

test("a record is brought to the clusters that missed it, and of one epoch the home's own is believed", async () => {
  const done: unknown[][] = [];
  const at = (tenant: string, home: string, epoch: number): Row => ({ tenant, home, epoch: String(epoch), pinned: false });
  const sites = [cluster("a", before, done, [at("1", "b", 4), at("2", "b", 1)]), cluster("b", before, done, [at("1", "a", 3), at("2", "b", 1)]), cluster("c", before, done, [at("1", "a", 3), at("2", "a", 1)])];
  await shareRecords(sites, before);
  expect(done).toEqual([["b", ["1"], ["b"], [4]], ["c", ["1"], ["b"], [4]]]);
});
