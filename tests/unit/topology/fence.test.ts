import { describe, expect, test } from "vitest";
import { CREATE_MARKS, createTrigger, enableTrigger, fenceFunctions } from "../../../topology/fence";

const SHARDS = { ring: "tenancy.ring_1", tenant: "tenancy.tenant_2", generation: "tenancy.generation_3" };

const TYPE = "pg_catalog.int8";

const bodyOf = (name: string): string => (fenceFunctions(["room_id"], TYPE, SHARDS).find((made) => made.name === name) as { body: string }).body;

describe("the functions of the fence", () => {
  test("are three for each distribution column, beside those that tell where tenants live", () => {
    expect(fenceFunctions(["room_id", "customer", "room_id"], TYPE, SHARDS).map(({ name }) => name)).toEqual(
      ["canonical", "winner", "home", "changes", "claims", "digests", "share", "admit", "fence", ...["customer", "room_id"].flatMap((column) => [`insert_${column}`, `update_${column}`, `delete_${column}`]), "mark", "unmark", "watch", "arm", "quicken"],
    );
  });

  test("are created with the text that they are compared by", () => {
    for (const { name, body, statement } of fenceFunctions(["room_id"], TYPE, SHARDS)) expect(statement, name).toContain(`$tenancy$${body}$tenancy$`);
  });

  test("read each node's own copy in a trigger, and never a table that Citus would plan", () => {
    const named = (body: string): string[] => [...new Set(body.match(/tenancy\.\w+/g))].sort();
    expect(named(bodyOf("admit"))).toEqual(["tenancy.admitted", "tenancy.canonical", "tenancy.move", "tenancy.ring_1", "tenancy.share", "tenancy.tenant", "tenancy.tenant_2", "tenancy.winner"]);
    // Parameters of the session, not tables.
    expect(bodyOf("admit").match(/(?<!(current_setting|set_config)\(')tenancy\.(tenant|move|admitted)\b/g)).toBeNull();
    expect([named(bodyOf("share")), named(bodyOf("fence"))]).toEqual([["tenancy.generation_3"], ["tenancy.tenant_2"]]);
    for (const operation of ["insert", "update", "delete"]) expect(named(bodyOf(`${operation}_room_id`))).toEqual(["tenancy.admit"]);
    expect([named(bodyOf("mark")), named(bodyOf("unmark"))]).toEqual([["tenancy.mark", "tenancy.marks", "tenancy.ring_1", "tenancy.tenant", "tenancy.tenant_2", "tenancy.winner"], ["tenancy.marks"]]);
  });

  test("let who calls itself a move write where a record names it and the tenant lives elsewhere, before anything else is looked at", () => {
    expect(bodyOf("admit")).toMatch(/CASE\s+WHEN mover <> '' THEN t\.move = mover AND t\.home <> r\.self AND current_setting\('is_superuser'\) = 'on'/);
  });

  test("believe nobody but a superuser that it was admitted, and only of the same tenant and move", () => {
    expect(bodyOf("admit")).toContain("asked text := concat(mover, ' ', wanted);");
    expect(bodyOf("admit")).toContain("IF current_setting('tenancy.admitted', true) = asked AND current_setting('is_superuser') = 'on' THEN");
  });

  test("lend the right to hold a generation to who writes, and no other", () => {
    const { statement } = fenceFunctions(["room_id"], TYPE, SHARDS).find(({ name }) => name === "share") as { statement: string };
    expect(statement).toContain("SECURITY DEFINER SET search_path = pg_catalog, pg_temp");
  });

  test("set marks for who writes a record and may not set them, and look at a row of no other table", () => {
    const { statement, body } = fenceFunctions(["room_id"], TYPE, SHARDS).find(({ name }) => name === "mark") as { statement: string; body: string };
    expect(statement).toContain("SECURITY DEFINER SET search_path = pg_catalog, pg_temp");
    expect(body.indexOf("TG_RELID <> 'tenancy.tenant_2'::regclass")).toBeGreaterThan(0);
    expect(body.indexOf("TG_RELID")).toBeLessThan(body.indexOf("NEW."));
  });

  test("take the lock before they read", () => {
    for (const table of [SHARDS.ring, SHARDS.tenant]) expect(bodyOf("admit").indexOf(table)).toBeGreaterThan(bodyOf("admit").lastIndexOf("pg_advisory_xact_lock_shared"));
    // What passes without a query: CASE alone is sure of the order.
    expect(bodyOf("quicken")).toMatch(/RETURN CASE WHEN pg_advisory_xact_lock_shared\(7777, [^\n]* IS NULL THEN false ELSE\s+pg_sequence_last_value/);
  });

  test("pass without a query what is no move, of no other tenant, and has fresh snapshots", () => {
    const [plain = ""] = bodyOf("quicken").match(/\$plain\$[\s\S]*\$plain\$/) ?? [];
    for (const setting of ["tenancy.tenant", "tenancy.move", "transaction_isolation"]) expect(plain).toContain(`current_setting('${setting}'`);
    expect(plain).not.toMatch(/\b(SELECT|PERFORM|FROM)\b/);
  });

  test("pass without a query the tenants of every ticket of a cluster", () => {
    expect(bodyOf("quicken")).toContain("FILTER (WHERE split_part(name, '#', 1) = r.self) AS own");
    expect(bodyOf("quicken")).toContain("FILTER (WHERE split_part(name, '#', 1) <> r.self) AS others");
  });

  test("quote a column that needs it", () => {
    const { body, statement } = fenceFunctions(['my"room'], TYPE, SHARDS).find(({ name }) => name === 'insert_my"room') as { body: string; statement: string };
    expect(body).toContain('NEW."my""room"::text');
    expect(statement).toContain('tenancy."insert_my""room"()');
  });
});

test.each([
  ["tenancy_insert" as const, 'AFTER INSERT ON rooms FOR EACH ROW WHEN (tenancy.plain(NEW."room_id"::text) IS NOT TRUE) EXECUTE FUNCTION tenancy."insert_room_id"()'],
  ["tenancy_update" as const, 'AFTER UPDATE ON rooms FOR EACH ROW WHEN (OLD."room_id" IS DISTINCT FROM NEW."room_id" OR tenancy.plain(NEW."room_id"::text) IS NOT TRUE) EXECUTE FUNCTION tenancy."update_room_id"()'],
  ["tenancy_delete" as const, 'AFTER DELETE ON rooms FOR EACH ROW WHEN (tenancy.plain(OLD."room_id"::text) IS NOT TRUE) EXECUTE FUNCTION tenancy."delete_room_id"()'],
  ["tenancy_truncate" as const, 'BEFORE TRUNCATE ON rooms FOR EACH STATEMENT EXECUTE FUNCTION tenancy."fence"()'],
])("%s is asked for what its condition does not pass, in whatever role", (trigger, rest) => {
  expect(createTrigger("rooms", trigger, "room_id")).toBe(`CREATE TRIGGER ${trigger} ${rest}`);
  expect(enableTrigger("rooms", trigger)).toBe(`ALTER TABLE rooms ENABLE ALWAYS TRIGGER ${trigger}`);
});

test("the marks are brought to every node by the function that lists them", () => {
  const [list = ""] = CREATE_MARKS.filter((statement) => statement.includes("FUNCTION tenancy.marks("));
  for (const statement of CREATE_MARKS) {
    const [, sequence] = /^CREATE SEQUENCE (\S+) /.exec(statement) ?? [];
    if (sequence !== undefined) expect(list).toContain(`DEFAULT '${sequence}'::regclass`);
  }
});
