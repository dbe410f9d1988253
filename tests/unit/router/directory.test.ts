import { describe, expect, test } from "vitest";
import { Directory, type Ring, type TenantRecord } from "../../../router/directory";

const RING: Ring = { version: 1, clusters: ["a", "b"] };

/** A cluster says all that it knows. */
function say(directory: Directory, cluster: string, ring: Ring, records: ReadonlyMap<string, TenantRecord> = new Map()): void {
  directory.beginLoad(cluster);
  directory.load(cluster, records);
  directory.endLoad(cluster, ring);
}

function known(...said: readonly (readonly [string, TenantRecord])[]): Directory {
  const directory = new Directory();
  say(directory, "a", RING);
  say(directory, "b", RING);
  for (const [source, record] of said) directory.learn("42", record, source);
  return directory;
}

const record = (home: string, epoch: number, state: TenantRecord["state"] = "settled"): TenantRecord => ({ home, epoch, state });

describe("a directory", () => {
  test.each<[string, readonly (readonly [string, TenantRecord])[], TenantRecord & { by: string }]>([
    ["goes by the ring where it knows nothing else", [], { ...record("b", 0), by: "hash" }],
    ["goes by a record where a cluster has one, also of a tenant that never moved", [["a", record("a", 0, "moving")]], { ...record("a", 0, "moving"), by: "lookup" }],
    ["believes a newer epoch", [["a", record("a", 1)], ["b", record("b", 2)]], { ...record("b", 2), by: "lookup" }],
    ["does not believe an older one", [["b", record("b", 2)], ["a", record("a", 1)]], { ...record("b", 2), by: "lookup" }],
    ["believes the home that it is closed", [["b", record("b", 2)], ["b", record("b", 2, "closed")]], { ...record("b", 2, "closed"), by: "lookup" }],
    ["does not believe another that the home is open again", [["b", record("b", 2, "closed")], ["a", record("b", 2)]], { ...record("b", 2, "closed"), by: "lookup" }],
    ["knows of a tenant that never moved and is closed", [["b", record("b", 0, "closed")]], { ...record("b", 0, "closed"), by: "lookup" }],
  ])("%s", (_, said, expected) => {
    expect(known(...said).locate("42")).toEqual({ tenant: "42", ...expected });
  });

  test("believes a newer ring, and no older one, but where a cluster takes it back", () => {
    const directory = known();
    say(directory, "a", { version: 3, clusters: ["a"] });
    say(directory, "b", { version: 2, clusters: ["b"] });
    expect(directory.locate("42").home).toBe("a");
    say(directory, "a", RING);
    expect([directory.locate("42").home, directory.ring]).toEqual(["b", ["b"]]);
  });

  test("tells what is news, and nothing else", () => {
    const directory = known();
    const told: unknown[] = [];
    directory.on("change", (change) => told.push(change));
    directory.learn("42", record("a", 1), "a");
    directory.learn("42", record("a", 1), "b");
    directory.learn("42", record("b", 0), "b");
    say(directory, "b", RING);
    expect(told).toEqual([{ tenant: "42", ...record("a", 1) }]);
  });

  test("forgets what a cluster does not say any more", () => {
    const directory = known(["a", record("a", 5)], ["b", record("a", 5)]);
    directory.refresh("a", ["42"], new Map());
    expect(directory.locate("42")).toMatchObject(record("a", 5));
    say(directory, "b", RING);
    expect(directory.locate("42")).toEqual({ tenant: "42", ...record("b", 0), by: "hash" });
  });

  test("keeps what a silent cluster said while it is in the ring, and forgets it where the ring goes on without it", () => {
    const directory = known(["b", record("b", 5)]);
    directory.learn("3", record("b", 5), "b");
    directory.silence("b");
    expect(directory.locate("3")).toMatchObject(record("b", 5));
    say(directory, "a", { version: 2, clusters: ["a"] }, new Map([["3", record("a", 4)]]));
    expect([directory.locate("3"), directory.locate("42")]).toMatchObject([record("a", 4), { home: "a", by: "hash" }]);
  });

  test("loses nothing that is heard while it is read anew", () => {
    const directory = known();
    directory.beginLoad("a");
    directory.learn("42", record("a", 3), "a");
    directory.learn("3", record("b", 1), "a");
    directory.load("a", new Map([["42", record("b", 2)]]));
    directory.endLoad("a", RING);
    expect([directory.locate("42"), directory.locate("3")]).toMatchObject([record("a", 3), record("b", 1)]);
    say(directory, "a", RING, new Map([["42", record("b", 2)]]));
    expect(directory.locate("3")).toMatchObject({ by: "hash" });
    expect(directory.locate("42")).toMatchObject(record("b", 2));
  });

  test("knows by a fingerprint whether it has what a cluster's tables say", () => {
    const directory = known(["a", record("a", 5)]);
    directory.learn("3", record("a", 0, "closed"), "a");
    expect(directory.has("a", "1 2 5 1")).toBe(true);
    directory.refresh("a", ["3", "42"], new Map([["3", record("a", 2)]]));
    expect(directory.has("a", "1 1 2 0")).toBe(true);
  });

  test("knows who takes a tenant for its own that lives elsewhere", () => {
    const directory = known(["a", record("a", 1)], ["b", record("b", 2)]);
    expect([directory.strangersOf("a"), directory.strangersOf("b")]).toEqual([["42"], []]);
    directory.learn("42", record("b", 2), "a");
    expect(directory.strangersOf("a")).toEqual([]);
  });

  test("wakes who waits for a tenant when something is new of it, and after a while", async () => {
    const directory = known();
    const began = performance.now();
    const waiting = directory.changed("42", 5000);
    directory.learn("43", record("a", 1), "a");
    directory.learn("42", record("a", 1), "a");
    await waiting;
    expect(performance.now() - began).toBeLessThan(1000);
    await directory.changed("42", 5);
  });
});
