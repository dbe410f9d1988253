import { expect, test } from "vitest";
import { summed } from "../../../cli/tenant/plan";

test("moves are summed up by where they come from and go to", () => {
  const move = (tenant: string, home: string, to: string, rows: number, bytes: number) => ({ tenant, home, to, rows, bytes });
  expect(summed([move("1", "b", "c", 1, 10), move("2", "a", "c", 2, 20), move("3", "a", "c", 3, 30), move("4", "a", "b", 4, 40)])).toEqual([
    { from: "a", to: "b", tenants: 1, rows: 4, bytes: 40 },
    { from: "a", to: "c", tenants: 2, rows: 5, bytes: 50 },
    { from: "b", to: "c", tenants: 1, rows: 1, bytes: 10 },
  ]);
});
