import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { demoTables, FIRST_ID, ROOMS } from "../../../cli/demoRows";

const cells = (row: string): string[] => row.trimEnd().split("\t");

describe("the demo's rows", () => {
  test("are the load of 10,000 rooms, 20,000 members and 10,000 messages, with distinct keys", () => {
    const tables = demoTables(0, 1);
    expect(tables.map(({ table, rows }) => [table, rows.length])).toEqual([["rooms", 10_000], ["room_members", 20_000], ["messages", 10_000]]);
    for (const { table, rows, columns } of tables) {
      const keyColumns = table === "rooms" ? 1 : 2;
      expect(rows.every((row) => cells(row).length === columns.length)).toBe(true);
      expect(new Set(rows.map((row) => cells(row).slice(0, keyColumns).join())).size).toBe(rows.length);
    }
  });

  test("are the same at every call", () => {
    expect(demoTables(1, 2)).toEqual(demoTables(1, 2));
  });

  test("of any number of clusters are split, not doubled, with each room's rows together", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), (clusters) => {
        const parts = Array.from({ length: clusters }, (_, cluster) => demoTables(cluster, clusters));
        const whole = demoTables(0, 1);
        whole.forEach(({ rows }, index) => {
          expect(parts.flatMap((part) => part[index]?.rows ?? []).sort()).toEqual([...rows].sort());
        });
        for (const part of parts) {
          const rooms = new Set(part[0]?.rows.map((row) => cells(row)[0]));
          expect(part.every(({ rows }) => rows.every((row) => rooms.has(cells(row)[0])))).toBe(true);
        }
      }),
      { numRuns: 9 },
    );
  });

  test("stay in their own range of ids", () => {
    for (const { rows } of demoTables(0, 1)) {
      for (const row of rows) {
        const room = Number(cells(row)[0]);
        expect(room >= FIRST_ID && room < FIRST_ID + ROOMS).toBe(true);
      }
    }
  });
});
