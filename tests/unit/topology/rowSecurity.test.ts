import { expect, test } from "vitest";
import { freeRows, secureRows } from "../../../topology/rowSecurity";

test("a table is held to the tenant of the setting, which is cast so that the column's index serves", () => {
  const own = `("room_id" = nullif(current_setting('tenancy.tenant', true), '')::pg_catalog.int8)`;
  expect(secureRows("rooms", "room_id", "pg_catalog.int8")).toEqual([
    `CREATE POLICY tenancy_tenant ON rooms USING ${own} WITH CHECK ${own}`,
    "ALTER TABLE rooms ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE rooms FORCE ROW LEVEL SECURITY",
  ]);
});

test("a column is quoted", () => {
  expect(secureRows("rooms", 'my"room', "pg_catalog.text")[0]).toContain(`USING ("my""room" = nullif(`);
});

test.each([
  ["is off where the last policy goes", true, ["DROP POLICY tenancy_tenant ON rooms", "ALTER TABLE rooms NO FORCE ROW LEVEL SECURITY", "ALTER TABLE rooms DISABLE ROW LEVEL SECURITY"]],
  ["stays on for policies of the user", false, ["DROP POLICY tenancy_tenant ON rooms"]],
])("it %s", (_, last, statements) => {
  expect(freeRows("rooms", last)).toEqual(statements);
});
