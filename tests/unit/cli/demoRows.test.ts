import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { demoRooms, demoTables, FIRST_ID, ROOMS } from "../../../cli/demoRows";

const cells = (row: string): string[] => row.trimEnd().split("\t");

describe("the demo's rows", () => {
  test("are the load of 10,000 rooms, 20,000 members and 10,000 messages, with distinct keys", () => {
    const tables = demoTables(demoRooms());
    expect(tables.map(({ table, rows }) => [table, rows.length])).toEqual([["rooms", 10_000], ["room_members", 20_000], ["messages", 10_000]]);
    for (const { table, rows, columns } of tables) {
      const keyColumns = table === "rooms" ? 1 : 2;
      expect(rows.every((row) => cells(row).length === columns.length)).toBe(true);
      expect(new Set(rows.map((row) => cells(row).slice(0, keyColumns).join())).size).toBe(rows.length);
    }
  });

  test("are the same at every call", () => {
    expect(demoTables(demoRooms())).toEqual(demoTables(demoRooms()));
  });

  test("are split, not doubled, however rooms are spread over clusters, with each room's rows together", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(), (clusters, seed) => {
        const homeOf = (room: number): number => ((room + seed) * 2_654_435_761) % clusters;
        const parts = Array.from({ length: clusters }, (_, cluster) => demoTables(demoRooms().filter((room) => homeOf(room) === cluster)));
        demoTables(demoRooms()).forEach(({ rows }, index) => {
          expect(parts.flatMap((part) => part[index]?.rows ?? []).sort()).toEqual([...rows].sort());
        });
        parts.forEach((part, cluster) => {
          expect(part.every(({ rows }) => rows.every((row) => homeOf(Number(cells(row)[0])) === cluster))).toBe(true);
        });
      }),
      { numRuns: 9 },
    );
  });

  test("stay in their own range of ids", () => {
    for (const { rows } of demoTables(demoRooms())) {
      for (const row of rows) {
        const room = Number(cells(row)[0]);
        expect(room >= FIRST_ID && room < FIRST_ID + ROOMS).toBe(true);
      }
    }
  });
});
