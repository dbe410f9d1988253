import { describe, expect, test } from "vitest";
import { againOf, BATCH_LIMITS, batchesOf, type BatchLimits } from "../../../tenants/batches";
import type { PlannedMove } from "../../../tenants/plan";

const LIMITS: BatchLimits = { tenants: 3, bytes: 100, aloneBytes: 50 };
const move = (tenant: string, bytes: number, home = "a", to = "b"): PlannedMove => ({ tenant, home, to, rows: 1, bytes });
/** The first letter of a tenant is its shard at home, the second, where it has one, at its new home. */
const shardsOf = (cluster: string, tenant: string): string => (cluster === "a" ? tenant.slice(0, 1) : tenant.slice(1, 2));

describe("small tenants go together", () => {
  test.each<[string, PlannedMove[], string[]]>([
    ["none", [], []],
    ["that are in one shard", [move("x1", 1), move("x1b", 1)], ["x1 x1b"]],
    ["not of two shards, in turns", [move("x1", 1), move("x1b", 1), move("x1c", 1), move("x1d", 1), move("y1", 1)], ["x1 x1b x1c", "y1", "x1d"]],
    ["not into two shards", [move("x1", 1), move("x2", 1)], ["x1", "x2"]],
    ["not to two clusters", [move("x1", 1), move("x1b", 1, "a", "c")], ["x1", "x1b"]],
    ["not from two clusters", [move("x1", 1), move("x1b", 1, "b", "a")], ["x1", "x1b"]],
    ["up to so many", [1, 2, 3, 4].map((n) => move(`x1${n}`, 1)), ["x11 x12 x13", "x14"]],
    ["up to so many bytes", [move("x1", 50), move("x1b", 50), move("x1c", 1)], ["x1 x1b", "x1c"]],
    ["and large ones alone", [move("x1", 51), move("x1b", 51), move("x1c", 1), move("x1d", 1)], ["x1", "x1b", "x1c x1d"]],
    ["and those without rows", [move("x1", 0), move("x1b", 0)], ["x1 x1b"]],
  ])("%s", (_, moves, expected) => {
    const batches = batchesOf(moves, shardsOf, LIMITS);
    expect(batches.map((batch) => batch.moves.map(({ tenant }) => tenant).join(" "))).toEqual(expected);
    for (const batch of batches) expect(batch.bytes).toBe(batch.moves.reduce((sum, { bytes }) => sum + bytes, 0));
  });

  test("100,000 at once", () => {
    const moves = Array.from({ length: 100_000 }, (_, index) => move(String(index), 500));
    const batches = batchesOf(moves, (_, tenant) => String(Number(tenant) % 32));
    expect(batches).toHaveLength(32 * Math.ceil(100_000 / 32 / BATCH_LIMITS.tenants));
    expect(new Set(batches.flatMap((batch) => batch.moves.map(({ tenant }) => tenant))).size).toBe(100_000);
    expect(Math.max(...batches.map((batch) => batch.moves.length))).toBe(BATCH_LIMITS.tenants);
  });
});

describe("what a batch left is tried again", () => {
  test.each<[string, number, number, boolean, number[]]>([
    ["not where it was one tenant", 1, 1, false, []],
    ["not where it was one tenant with rows at fault", 1, 1, true, []],
    ["not where there is none", 200, 0, false, []],
    ["together where others were moved", 200, 60, false, [60]],
    ["alone in the end", 200, 1, false, [1]],
    ["in parts where none was", 9, 9, false, [2, 2, 2, 2, 1]],
    ["in parts by their rows", 200, 60, true, [8, 8, 8, 8, 8, 8, 8, 4]],
    ["in parts of one", 2, 2, true, [1, 1]],
  ])("%s", (_, all, left, ofRows, sizes) => {
    const moves = Array.from({ length: all }, (__, index) => move(String(index), 2));
    const again = againOf({ home: "a", to: "b", moves, bytes: 2 * all }, moves.slice(0, left), ofRows);
    expect(again.map((part) => part.moves.length)).toEqual(sizes);
    expect(again.flatMap((part) => part.moves)).toEqual(sizes.length === 0 ? [] : moves.slice(0, left));
    for (const part of again) expect(part).toMatchObject({ home: "a", to: "b", bytes: 2 * part.moves.length });
  });
});
