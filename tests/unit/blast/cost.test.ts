import { describe, expect, test } from "vitest";
import { costOf, type FaultCost } from "../../../blast/cost";
import { insert, run } from "../chaos/events";
import { planted, type Planted } from "./history";

const victim = { name: "cluster:a", kind: "cluster", cluster: "a" };
const cost = (changes: Partial<Planted> = {}): FaultCost => costOf(planted(changes), victim);

describe("what a fault cost", () => {
  test("is told of each cluster, and of all", () => {
    const { clusters, all, ...rest } = cost();
    expect(clusters["a"]).toMatchObject({ tenants: 2, couldNotWrite: 2, lost: 0, doubled: 0, refused: 40, unknown: 0, acknowledged: 360 });
    expect(clusters["b"]).toMatchObject({ tenants: 2, couldNotWrite: 0, lost: 0, doubled: 0, refused: 0, acknowledged: 400 });
    expect(clusters["b"]).not.toHaveProperty("gapMs");
    expect(all).toMatchObject({ tenants: 4, couldNotWrite: 2, lost: 0, acknowledged: 760 });
    expect(rest).toMatchObject({ victim: "cluster:a", kind: "cluster", cluster: "a", targets: ["coord_a", "worker_a1"], revivedAfterMs: 1500, wholeAfterMs: 5000, troubles: [] });
  });

  test("the gap begins with the fault, not with the pause before it, and ends with the next acknowledged answer", () => {
    const { clusters } = cost({ faultAt: 10_050, silentUntil: 12_050 });
    // The write of 10,000 ms is answered before the fault; those from 10,100 on fail until 12,100, whose answer comes 4 ms later.
    expect(clusters["a"]?.gapMs).toEqual({ p50: 2054, p95: 2054, max: 2054 });
    expect(clusters["b"]?.longestGapMs).toBe(100);
  });

  test("the gap of a tenant that never writes again lasts until its last try", () => {
    const { clusters, troubles } = cost({ silentUntil: 20_000, healed: { problem: "coord_a is exited" } });
    expect(clusters["a"]?.gapMs?.max).toBe(9904);
    expect(troubles).toEqual(["1 faults that did not heal, the first of them kill of coord_a, worker_a1: should have healed: coord_a is exited"]);
  });

  test("a write that waits for more than a second counts as one that could not be made, without an error", () => {
    const waited = planted({ silentUntil: 0 }).map((event) => (event.type === "insert" && event.key === "3-10100" ? { ...event, ms: 1500 } : event));
    expect(costOf(waited, victim).clusters["b"]).toMatchObject({ couldNotWrite: 1 });
    const briefly = planted({ silentUntil: 0 }).map((event) => (event.type === "insert" && event.key === "3-10100" ? { ...event, ms: 900 } : event));
    expect(costOf(briefly, victim).clusters["b"]).toMatchObject({ couldNotWrite: 0 });
  });

  test("errors after the stack was whole again are counted as errors, not as a tenant that could not write", () => {
    const later = planted({ silentUntil: 0 }).map((event) => (event.type === "insert" && event.key === "3-18000" ? { ...event, outcome: "unknown" as const, error: "odd" } : event));
    expect(costOf(later, victim)).toMatchObject({ all: { couldNotWrite: 0, unknown: 1 }, errors: [{ kind: "odd", count: 1, longestMs: 4, ofRouter: false }] });
  });

  test("latency is of acknowledged writes, by phase; the first two seconds do not count", () => {
    const slow = planted({ silentUntil: 0 }).map((event) => (event.type !== "insert" ? event : { ...event, ms: event.at < 2000 ? 500 : event.at < 10_000 ? 3 : event.at < 15_000 ? 30 : 5 }));
    expect(costOf(slow, victim).clusters["b"]?.p99Ms).toEqual({ before: 3, during: 30, after: 5 });
  });

  test("a phase without an acknowledged write has no latency", () => {
    expect(cost({ silentUntil: 15_000 }).clusters["a"]?.p99Ms).toEqual({ before: 4, after: 4 });
  });
});

describe("acknowledged writes", () => {
  test("that are gone are counted where they were acknowledged", () => {
    const { clusters, all, troubles } = cost({ rows: ({ "3-500": _, "1-600": __, ...rows }) => rows });
    expect([clusters["a"]?.lost, clusters["b"]?.lost, all.lost]).toEqual([1, 1, 2]);
    expect(troubles).toEqual([expect.stringContaining("2 acknowledged inserts without a row, the first of them 1-600") as string]);
  });

  test("that are there twice are counted", () => {
    const { clusters, troubles } = cost({ rows: (rows) => ({ ...rows, "4-700": 2 }) });
    expect([clusters["a"]?.doubled, clusters["b"]?.doubled]).toEqual([0, 1]);
    expect(troubles).toEqual([expect.stringContaining("1 keys with more than one row") as string]);
  });

  test("whose outcome is unknown may be there or not", () => {
    const told = { outcome: "unknown", error: "read ECONNRESET" } as const;
    expect(cost({ told }).troubles).toEqual([]);
    expect(cost({ told, rows: (rows) => ({ ...rows, "1-10000": 1 }) })).toMatchObject({ troubles: [], all: { lost: 0, doubled: 0, unknown: 40 } });
  });

  test("that were refused may not be there", () => {
    expect(cost({ rows: (rows) => ({ ...rows, "1-10000": 1 }) }).troubles).toEqual([expect.stringContaining("1 rows of refused inserts") as string]);
  });

  test("are not known to be kept where nothing was read back", () => {
    const { all, troubles } = cost({ final: undefined });
    expect(all).not.toHaveProperty("lost");
    expect(all).not.toHaveProperty("doubled");
    expect(troubles).toEqual([expect.stringContaining("histories that were not read back") as string]);
  });

  test("have to be the same in every placement", () => {
    expect(cost({ final: { differing: { "a/102008": "worker_a1 has 3 rows, worker_a2 has 4 rows" } } }).troubles).toEqual([expect.stringContaining("1 placements or standbys that differ") as string]);
  });
});

describe("errors", () => {
  test("are grouped, and tell how long a client waited for one", () => {
    const told = { outcome: "refused", error: "ClusterDownError: cluster a did not answer within 900 ms", ms: 905 } as const;
    expect(cost({ told })).toMatchObject({ troubles: [], errors: [{ kind: "ClusterDownError: cluster a did not answer within # ms", count: 40, longestMs: 905, ofRouter: true }] });
  });

  test("of the router may not take longer than a second, those of a database may", () => {
    expect(cost({ told: { outcome: "refused", error: "ClusterDownError: cluster a is down", ms: 1200 } }).troubles).toEqual(["an error of the router came after 1.20 s, and should within 1 s: ClusterDownError: cluster a is down"]);
    expect(cost({ told: { outcome: "unknown", error: "57014 canceling statement due to statement timeout", ms: 5000 } }).troubles).toEqual([]);
  });
});

test("writes are counted in time, from the beginning of the run on, around the fault", () => {
  const { fromMs, clusters } = cost().timeline;
  expect(fromMs).toBe(-10_000);
  expect(clusters["a"]?.acknowledged).toHaveLength(200);
  expect(clusters["a"]?.acknowledged.slice(98, 102)).toEqual([2, 2, 0, 0]);
  expect(clusters["a"]?.failed.slice(98, 102)).toEqual([0, 0, 2, 2]);
  expect(clusters["b"]?.acknowledged.slice(98, 102)).toEqual([2, 2, 2, 2]);
});

test("a history without a fault has no cost", () => {
  expect(() => costOf([run(), insert("k")], victim)).toThrow("a history without a fault has no cost");
});
