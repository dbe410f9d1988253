import { describe, expect, test } from "vitest";
import { createTrigger, fenceFunctions } from "../../../topology/fence";

const SHARDS = { ring: "tenancy.ring_1", tenant: "tenancy.tenant_2", generation: "tenancy.generation_3" };

const bodyOf = (name: string): string => (fenceFunctions(["room_id"], SHARDS).find((made) => made.name === name) as { body: string }).body;

describe("the functions of the fence", () => {
  test("are one for each distribution column, beside those that tell where a tenant lives", () => {
    expect(fenceFunctions(["room_id", "customer", "room_id"], SHARDS).map(({ name }) => name)).toEqual(["winner", "home", "admit", "admit_all", "fence_customer", "fence_room_id"]);
  });

  test("are created with the text that they are compared by", () => {
    for (const { name, body, statement } of fenceFunctions(["room_id"], SHARDS)) expect(statement, name).toContain(`$tenancy$${body}$tenancy$`);
  });

  test("read each node's own copy in a trigger, and never a table that Citus would plan", () => {
    const named = (body: string): string[] => [...new Set(body.match(/tenancy\.\w+/g))].sort();
    for (const name of ["admit", "admit_all"]) {
      const body = bodyOf(name);
      expect(named(body).filter((word) => word !== "tenancy.admit")).toEqual(["tenancy.generation_3", "tenancy.move", "tenancy.ring_1", "tenancy.tenant", "tenancy.tenant_2", "tenancy.winner"]);
      // Parameters of the session, not tables.
      expect(body.match(/(?<!current_setting\(')tenancy\.(tenant|move)\b/g)).toBeNull();
    }
    expect(named(bodyOf("fence_room_id"))).toEqual(["tenancy.admit", "tenancy.admit_all"]);
  });

  test("take the lock before they read", () => {
    for (const body of ["admit", "admit_all"].map(bodyOf)) {
      for (const table of [SHARDS.ring, SHARDS.tenant]) expect(body.indexOf(table)).toBeGreaterThan(body.lastIndexOf("pg_advisory_xact_lock_shared"));
    }
  });

  test("quote a column that needs it", () => {
    const { body, statement } = fenceFunctions(['my"room'], SHARDS).at(-1) as { body: string; statement: string };
    expect(body).toContain('changed."my""room"::text');
    expect(statement).toContain('tenancy."fence_my""room"()');
  });
});

test.each([
  ["tenancy_insert" as const, 'CREATE TRIGGER tenancy_insert AFTER INSERT ON rooms REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tenancy."fence_room_id"()'],
  ["tenancy_update" as const, 'CREATE TRIGGER tenancy_update AFTER UPDATE ON rooms REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tenancy."fence_room_id"()'],
  ["tenancy_delete" as const, 'CREATE TRIGGER tenancy_delete AFTER DELETE ON rooms REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tenancy."fence_room_id"()'],
])("%s sees the rows that its statement wrote", (trigger, statement) => {
  expect(createTrigger("rooms", trigger, "room_id")).toBe(statement);
});
