import { describe, expect, test } from "vitest";
import { Directory, type TenantRecord } from "../../../router/directory";

function known(...said: readonly (readonly [string, TenantRecord])[]): Directory {
  const directory = new Directory();
  directory.learnRing({ version: 1, clusters: ["a", "b"] });
  for (const [source, record] of said) directory.learn("42", record, source);
  return directory;
}

const record = (home: string, epoch: number, state: TenantRecord["state"] = "settled"): TenantRecord => ({ home, epoch, state });

describe("a directory", () => {
  test.each<[string, readonly (readonly [string, TenantRecord])[], TenantRecord & { by: string }]>([
    ["goes by the ring where it knows nothing else", [], { ...record("b", 0), by: "hash" }],
    ["goes by the ring where a cluster says the same", [["a", record("b", 0)]], { ...record("b", 0), by: "hash" }],
    ["believes a newer epoch", [["a", record("a", 1)], ["b", record("b", 2)]], { ...record("b", 2), by: "lookup" }],
    ["does not believe an older one", [["b", record("b", 2)], ["a", record("a", 1)]], { ...record("b", 2), by: "lookup" }],
    ["believes the home that it is closed", [["b", record("b", 2)], ["b", record("b", 2, "closed")]], { ...record("b", 2, "closed"), by: "lookup" }],
    ["does not believe another that the home is open again", [["b", record("b", 2, "closed")], ["a", record("b", 2)]], { ...record("b", 2, "closed"), by: "lookup" }],
    ["knows of a tenant that never moved and is closed", [["b", record("b", 0, "closed")]], { ...record("b", 0, "closed"), by: "lookup" }],
  ])("%s", (_, said, expected) => {
    expect(known(...said).locate("42")).toEqual({ tenant: "42", ...expected });
  });

  test("believes a newer ring, and no older one", () => {
    const directory = known();
    directory.learnRing({ version: 3, clusters: ["a"] });
    directory.learnRing({ version: 2, clusters: ["b"] });
    expect(directory.locate("42").home).toBe("a");
  });

  test("tells what is news, and nothing else", () => {
    const directory = known();
    const told: unknown[] = [];
    directory.on("change", (change) => told.push(change));
    directory.learn("42", record("a", 1), "a");
    directory.learn("42", record("a", 1), "b");
    directory.learn("42", record("b", 0), "b");
    directory.learnRing({ version: 1, clusters: ["a"] });
    expect(told).toEqual([{ tenant: "42", ...record("a", 1) }]);
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
