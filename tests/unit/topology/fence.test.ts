import { describe, expect, test } from "vitest";
import { createTrigger, enableTrigger, fenceFunctions } from "../../../topology/fence";

const SHARDS = { ring: "tenancy.ring_1", tenant: "tenancy.tenant_2", generation: "tenancy.generation_3" };

const TYPE = "pg_catalog.int8";

const bodyOf = (name: string): string => (fenceFunctions(["room_id"], TYPE, SHARDS).find((made) => made.name === name) as { body: string }).body;

describe("the functions of the fence", () => {
  test("are one for each distribution column, beside those that tell where tenants live", () => {
    expect(fenceFunctions(["room_id", "customer", "room_id"], TYPE, SHARDS).map(({ name }) => name)).toEqual(["canonical", "winner", "home", "changes", "claims", "digests", "share", "admit", "admit_all", "fence", "fence_customer", "fence_room_id"]);
  });

  test("are created with the text that they are compared by", () => {
    for (const { name, body, statement } of fenceFunctions(["room_id"], TYPE, SHARDS)) expect(statement, name).toContain(`$tenancy$${body}$tenancy$`);
  });

  test("read each node's own copy in a trigger, and never a table that Citus would plan", () => {
    const named = (body: string): string[] => [...new Set(body.match(/tenancy\.\w+/g))].sort();
    for (const name of ["admit", "admit_all"]) {
      const body = bodyOf(name);
      expect(named(body).filter((word) => word !== "tenancy.admit")).toEqual(["tenancy.canonical", "tenancy.move", "tenancy.ring_1", "tenancy.share", "tenancy.tenant", "tenancy.tenant_2", "tenancy.winner"]);
      // Parameters of the session, not tables.
      expect(body.match(/(?<!current_setting\(')tenancy\.(tenant|move)\b/g)).toBeNull();
    }
    expect([named(bodyOf("share")), named(bodyOf("fence"))]).toEqual([["tenancy.generation_3"], ["tenancy.tenant_2"]]);
    expect(named(bodyOf("fence_room_id"))).toEqual(["tenancy.admit", "tenancy.admit_all"]);
  });

  test("ask once where most statements go: of one tenant, by a transaction with fresh snapshots", () => {
    const [hot = ""] = bodyOf("admit").split("SELECT r.self");
    expect(hot.match(/\b(SELECT|PERFORM)\b/g)).toEqual(["PERFORM", "SELECT"]);
    expect(hot).toMatch(/IF current_setting\('transaction_isolation'\) <> 'read committed' THEN\s+PERFORM/);
  });

  test("let who calls itself a move write where a record names it and the tenant lives elsewhere, before anything else is looked at", () => {
    for (const body of ["admit", "admit_all"].map(bodyOf)) expect(body).toMatch(/CASE\s+WHEN mover <> '' THEN t\.move = mover AND t\.home <> r\.self AND current_setting\('is_superuser'\) = 'on'/);
  });

  test("lend the right to hold a generation to who writes, and no other", () => {
    const { statement } = fenceFunctions(["room_id"], TYPE, SHARDS).find(({ name }) => name === "share") as { statement: string };
    expect(statement).toContain("SECURITY DEFINER SET search_path = pg_catalog, pg_temp");
  });

  test("take the lock before they read", () => {
    for (const body of ["admit", "admit_all"].map(bodyOf)) {
      for (const table of [SHARDS.ring, SHARDS.tenant]) expect(body.indexOf(table)).toBeGreaterThan(body.lastIndexOf("pg_advisory_xact_lock_shared"));
    }
  });

  test("quote a column that needs it", () => {
    const { body, statement } = fenceFunctions(['my"room'], TYPE, SHARDS).at(-1) as { body: string; statement: string };
    expect(body).toContain('changed."my""room"::text');
    expect(statement).toContain('tenancy."fence_my""room"()');
  });
});

test.each([
  ["tenancy_insert" as const, 'CREATE TRIGGER tenancy_insert AFTER INSERT ON rooms REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tenancy."fence_room_id"()'],
  ["tenancy_update" as const, 'CREATE TRIGGER tenancy_update AFTER UPDATE ON rooms REFERENCING OLD TABLE AS previous NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tenancy."fence_room_id"()'],
  ["tenancy_delete" as const, 'CREATE TRIGGER tenancy_delete AFTER DELETE ON rooms REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tenancy."fence_room_id"()'],
  ["tenancy_truncate" as const, 'CREATE TRIGGER tenancy_truncate BEFORE TRUNCATE ON rooms FOR EACH STATEMENT EXECUTE FUNCTION tenancy."fence"()'],
])("%s sees the rows that its statement wrote, in whatever role", (trigger, statement) => {
  expect(createTrigger("rooms", trigger, "room_id")).toBe(statement);
  expect(enableTrigger("rooms", trigger)).toBe(`ALTER TABLE rooms ENABLE ALWAYS TRIGGER ${trigger}`);
});
