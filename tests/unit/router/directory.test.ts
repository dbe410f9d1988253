import { describe, expect, test } from "vitest";
import { Directory, type Claim, type RingClaim, type TenantRecord } from "../../../router/directory";

const RING: RingClaim = { version: 1, tickets: ["a", "b"] };

/** By the ring of a and b, 3 lives in a, and 42 in b. */
function known(...said: readonly (readonly [string, Claim])[]): Directory {
  const directory = new Directory(1000);
  directory.spread("a", RING);
  directory.spread("b", RING);
  for (const [source, claim] of said) directory.take(source, "42", claim);
  return directory;
}

const record = (home: string, epoch: number, state: TenantRecord["state"] = "settled"): TenantRecord => ({ home, epoch, state });
const claim = (home: string, epoch: number, state: TenantRecord["state"] = "settled", target: string | null = null, over = state === "settled"): Claim => ({ home, epoch, state, target, over });

describe("what clusters say of a tenant", () => {
  test.each<[string, readonly (readonly [string, Claim])[], TenantRecord | undefined]>([
    ["nothing is known of it at first", [], undefined],
    ["its home is believed, also of a tenant that never moved", [["a", claim("a", 0, "moving", "b")]], record("a", 0, "moving")],
    ["nobody is believed of another's tenant of which nothing is known", [["a", claim("b", 3)]], undefined],
    ["a newer epoch is believed, whoever says it", [["a", claim("a", 1)], ["c", claim("b", 2)]], record("b", 2)],
    ["an older one is not", [["b", claim("b", 2)], ["a", claim("a", 1)]], record("b", 2)],
    ["the home is believed that it is closed", [["b", claim("b", 2)], ["b", claim("b", 2, "closed", "a")]], record("b", 2, "closed")],
    ["another is not believed that the home is open again", [["b", claim("b", 2, "closed", "a")], ["a", claim("b", 2)]], record("b", 2, "closed")],
    ["of its own tenant the home is believed whatever it says", [["b", claim("b", 5)], ["b", claim("b", 4)]], record("b", 4)],
  ])("%s", (_, said, expected) => {
    expect(known(...said).recordOf("42")).toEqual(expected);
  });

  test("a record that went away says what the hash says, to who had heard of it", () => {
    const directory = known(["b", claim("b", 5)]);
    expect(directory.locate("42")).toEqual({ tenant: "42", ...record("b", 5), by: "lookup" });
    directory.take("b", "42", undefined);
    expect(directory.locate("42")).toEqual({ tenant: "42", ...record("b", 0), by: "hash" });
    directory.take("b", "3", undefined);
    expect(directory.locate("3")).toBeUndefined();
  });

  test("what the fence says counts where it is newer", () => {
    const directory = known(["b", claim("b", 5)]);
    expect(directory.learn("42", record("a", 4), "b")).toBe(false);
    expect(directory.learn("42", record("a", 6), "b")).toBe(true);
    expect(directory.learn("42", record("a", 6, "closed"), "a")).toBe(true);
    expect(directory.recordOf("42")).toEqual(record("a", 6, "closed"));
  });
});

describe("a departure", () => {
  const departures = (directory: Directory): unknown[] => {
    const told: unknown[] = [];
    directory.on("departure", (departure) => void told.push(departure));
    return told;
  };

  test("is told once, of a tenant that was asked for", () => {
    const directory = known();
    const told = departures(directory);
    directory.remember("3", undefined);
    for (const state of ["moving", "moving", "closed", "moving"] as const) directory.take("a", "3", claim("a", 1, state, "b"));
    expect(told).toEqual([{ tenant: "3", home: "a", target: "b" }]);
  });

  test("of a tenant that nobody asked for is not told", () => {
    const directory = known();
    const told = departures(directory);
    directory.take("a", "3", claim("a", 1, "moving", "b"));
    expect(told).toEqual([]);
  });
});

describe("what was found", () => {
  test("is remembered, and does not hide what was heard meanwhile", () => {
    const directory = known();
    directory.remember("3", undefined);
    expect(directory.locate("3")).toEqual({ tenant: "3", ...record("a", 0), by: "hash" });
    directory.take("a", "42", claim("a", 2));
    expect(directory.remember("42", claim("b", 1))).toEqual(record("a", 2));
    expect(directory.recordOf("42")).toEqual(record("a", 2));
  });

  test("is forgotten where there are too many, but for tenants that are moving", () => {
    const directory = known(["b", claim("b", 1, "moving", "a")]);
    for (let tenant = 100; tenant < 5000; tenant += 1) directory.remember(String(tenant), undefined);
    expect([directory.recordOf("100"), directory.recordOf("42")]).toEqual([undefined, record("b", 1, "moving")]);
  });
});

test("a newer ring counts, and no older one, but where a cluster takes it back", () => {
  const directory = known();
  directory.spread("a", { version: 3, tickets: ["a"] });
  directory.spread("b", { version: 2, tickets: ["b"] });
  expect(directory.winnerOf("42")).toBe("a");
  directory.spread("a", RING);
  expect([directory.winnerOf("42"), directory.ring]).toEqual(["b", ["b"]]);
});

test("a change of the ring has every tenant asked for anew", () => {
  const directory = known(["b", claim("b", 5)]);
  directory.spread("a", { version: 2, tickets: ["a"] });
  expect(directory.recordOf("42")).toBeUndefined();
});

test("tells what is news, and nothing else", () => {
  const directory = known();
  const told: unknown[] = [];
  directory.on("change", (change) => told.push(change));
  directory.take("a", "42", claim("a", 1));
  directory.take("b", "42", claim("a", 1));
  directory.take("b", "42", claim("b", 0));
  directory.spread("b", RING);
  directory.remember("3", undefined);
  expect([told, directory.moves]).toEqual([[{ tenant: "42", ...record("a", 1) }], 2]);
});

test("who takes a tenant for its own that lives elsewhere is known, and where one that is closed may be open", () => {
  const directory = known(["a", claim("a", 1, "closed", "b")]);
  expect([directory.closed, directory.strangersOf("a")]).toEqual([[["42", "b"]], []]);
  directory.take("b", "42", claim("b", 2));
  expect([directory.closed, directory.strangersOf("a"), directory.strangersOf("b")]).toEqual([[], ["42"], []]);
  directory.take("a", "42", claim("b", 2, "settled", null, false));
  expect(directory.strangersOf("a")).toEqual([]);
  directory.take("a", "42", claim("b", 2));
  expect(directory.recordOf("42")).toEqual(record("b", 2));
});

test("what a silent cluster said is kept while it is in the ring, and forgotten where the ring goes on without it", () => {
  const directory = known(["b", claim("b", 5, "moving", "a")]);
  directory.take("b", "3", claim("b", 5));
  directory.silence("b");
  expect([directory.recordOf("3"), directory.recordOf("42")]).toEqual([record("b", 5), record("b", 5, "moving")]);
  directory.spread("a", { version: 2, tickets: ["a"] });
  expect([directory.recordOf("3"), directory.recordOf("42")]).toEqual([undefined, undefined]);
});

test("what a cluster said counts no more where it is read from the beginning", () => {
  const directory = known(["b", claim("b", 5, "moving", "a")]);
  directory.take("a", "3", claim("a", 1));
  directory.forget("b");
  expect([directory.recordOf("42"), directory.recordOf("3")]).toEqual([undefined, record("a", 1)]);
});

test("who waits for a tenant is woken when something is new of it, and after a while", async () => {
  const directory = known();
  const began = performance.now();
  const waiting = directory.changed("42", 5000);
  directory.take("a", "43", claim("a", 1));
  directory.take("a", "42", claim("a", 1));
  await waiting;
  expect(performance.now() - began).toBeLessThan(1000);
  await directory.changed("42", 5);
});
