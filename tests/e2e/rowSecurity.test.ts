import { writeFileSync } from "node:fs";
import * as path from "node:path";
import { Client, type QueryResult } from "pg";
import { to as copyTo } from "pg-copy-streams";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRouter, type Gathered } from "../../router/index";
import type { ClusterAccess } from "../../tenants/clusterAccess";
import { moveTenant } from "../../tenants/move";
import { placeTenant } from "../../tenants/place";
import { hasImage, Project, query } from "./project";

const CITUS = "citusdata/citus:13.2.0";
const TABLES = { rooms: "room_id", room_members: "room_id", messages: "room_id", visits: "room_id" };
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS rooms (room_id bigint PRIMARY KEY, name text NOT NULL);
  CREATE TABLE IF NOT EXISTS room_members (room_id bigint NOT NULL, user_id bigint NOT NULL, PRIMARY KEY (room_id, user_id));
  CREATE TABLE IF NOT EXISTS messages (room_id bigint NOT NULL, message_id bigint NOT NULL, body text NOT NULL, PRIMARY KEY (room_id, message_id));
  CREATE TABLE IF NOT EXISTS visits (room_id bigint NOT NULL, day date NOT NULL, PRIMARY KEY (room_id, day)) PARTITION BY RANGE (day);
  CREATE TABLE IF NOT EXISTS visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');`;
/** What the guide has one do in each cluster for the application's role, beside one that sees all tenants, and one that places them. */
const ROLES = [
  "CREATE ROLE app LOGIN PASSWORD 'of the app'",
  "CREATE ROLE report LOGIN BYPASSRLS PASSWORD 'of the report'",
  "GRANT SELECT, INSERT, UPDATE, DELETE ON rooms, room_members, messages, visits, visits_2026 TO app",
  "GRANT SELECT ON messages TO report",
  "CREATE ROLE signup LOGIN PASSWORD 'of the signup'",
  "GRANT SELECT ON rooms, room_members, messages, visits, visits_2026 TO signup",
  "GRANT INSERT, UPDATE ON tenancy.tenant TO signup",
  "GRANT UPDATE ON tenancy.generation TO signup",
  "GRANT SELECT ON tenancy.horizon TO signup",
  "GRANT SELECT, INSERT, UPDATE ON tenancy.handover TO signup",
  "INSERT INTO pg_dist_authinfo VALUES (0, 'app', 'password=''of the app'''), (0, 'report', 'password=''of the report'''), (0, 'signup', 'password=''of the signup''')",
];

describe.skipIf(!hasImage(CITUS))("row-level security", () => {
  const prefix = "e2e-rs-";
  const ports = { a: 18632, b: 18642 };
  const project = new Project("active-active");
  let clusters: ClusterAccess[];
  /** A session of the application's role in a. */
  let app: Client;
  /** Rooms of a: the one that the session is bound to, and others. */
  let [own, ...others]: string[] = [];

  const uriOf = (cluster: string, user?: string): string => {
    const uri = new URL((clusters.find(({ name }) => name === cluster) as ClusterAccess).uri);
    if (user !== undefined) [uri.username, uri.password] = [user, `of the ${user}`];
    return uri.href;
  };
  const everywhere = (...statements: string[]): Promise<unknown> => Promise.all(["a", "b"].map((cluster) => query(uriOf(cluster), ...statements)));
  /** Does something in a transaction that is bound to a tenant, and takes it back. */
  const bound = async <Result>(tenant: string, work: () => Promise<Result>): Promise<Result> => {
    await app.query(`BEGIN; SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL tenancy.tenant = '${tenant}'`);
    try {
      return await work();
    } finally {
      await app.query("ROLLBACK");
    }
  };
  const tenantsIn = ({ rows }: QueryResult<Record<string, unknown>>): unknown[] => [...new Set(rows.map(({ room_id: room }) => room))];

  beforeAll(async () => {
    project.configure({ prefix, shardCount: 4, replicationFactor: 1, guard: false, keeper: false, clusters: { a: { workers: 2, port: ports.a }, b: { workers: 1, port: ports.b } } });
    writeFileSync(path.join(project.directory, "rooms.sql"), SCHEMA);
    project.configure({ schema: { file: "rooms.sql", tables: TABLES, rowSecurity: true } });
    await project.create();
    await project.up();
    const { uris } = await project.outputs<{ uris: Record<"a" | "b", string> }>();
    clusters = (["a", "b"] as const).map((name) => ({
      name,
      uri: uris[name],
      nodes: Object.fromEntries([1, 2].map((index) => [`${prefix}worker_${name}${index}:5432`, { host: "127.0.0.1", port: ports[name] + index }])),
    }));
    await everywhere(...ROLES);
    const [found = []] = await query(uriOf("a"), "SELECT n::text AS room FROM generate_series(1, 100) n WHERE tenancy.home(n::text) = 'a' LIMIT 6");
    [own, ...others] = found.map(({ room }) => room as string);
    for (const room of [own, ...others]) {
      await query(uriOf("a"), `INSERT INTO rooms VALUES (${room}, 'room ${room}')`, `INSERT INTO messages SELECT ${room}, n, 'secret of ${room}' FROM generate_series(1, 3) n`, `INSERT INTO visits VALUES (${room}, '2026-05-05')`);
    }
    app = new Client({ connectionString: uriOf("a", "app") });
    app.on("error", () => undefined);
    await app.connect();
  });
  afterAll(() => {
    void app?.end().catch(() => undefined);
    project.dispose(prefix);
    expect(project.leftovers(prefix)).toEqual([]);
  });

  test("up again changes nothing", async () => {
    expect(await project.up()).toEqual({ same: expect.any(Number) as number });
    const [policies] = await query(uriOf("a"), "SELECT polrelid::regclass::text AS table, count(*)::int FROM pg_policy GROUP BY 1 ORDER BY 1");
    expect(policies).toEqual(["messages", "room_members", "rooms", "visits", "visits_2026"].map((table) => ({ table, count: 1 })));
  });

  test.each([
    ["a table", "SELECT room_id FROM messages"],
    ["another tenant by its id", "SELECT room_id FROM messages WHERE room_id = $other"],
    ["all but its own", "SELECT room_id FROM messages WHERE room_id <> $own"],
    ["a join", "SELECT m.room_id FROM rooms r JOIN messages m ON m.room_id = r.room_id WHERE r.room_id IN ($own, $other)"],
    ["a subquery", "SELECT room_id FROM rooms WHERE room_id IN (SELECT room_id FROM messages WHERE body LIKE 'secret%')"],
    ["a CTE that is kept", "WITH all_of_them AS MATERIALIZED (SELECT room_id FROM messages) SELECT room_id FROM all_of_them"],
    ["a union", "SELECT room_id FROM rooms UNION ALL SELECT room_id FROM visits"],
    ["a partition by its name", "SELECT room_id FROM visits_2026"],
    ["a lock", "SELECT room_id FROM rooms WHERE room_id = $other FOR UPDATE"],
    ["what an update gives back", "UPDATE messages SET body = 'taken' RETURNING room_id"],
    ["an update of another's", "UPDATE messages SET body = 'taken' WHERE room_id = $other RETURNING room_id"],
    ["what a deletion gives back", "DELETE FROM messages RETURNING room_id"],
    ["a deletion of another's", "DELETE FROM rooms WHERE room_id = $other RETURNING room_id"],
    ["an upsert of its own", "INSERT INTO rooms VALUES ($own, 'mine') ON CONFLICT (room_id) DO UPDATE SET name = 'mine' RETURNING room_id"],
  ])("%s shows no other tenant", async (_, text) => {
    const statement = text.replaceAll("$own", own as string).replaceAll("$other", others[0] as string);
    const seen = await bound(own as string, async () => tenantsIn(await app.query(statement)));
    expect([[], [own]]).toContainEqual(seen);
    if (!text.includes("$other") && !text.includes("<>")) expect(seen).toEqual([own]);
  });

  test.each([
    ["a row of another tenant", "INSERT INTO rooms VALUES (123456, 'new')"],
    ["a row over another's", "INSERT INTO rooms VALUES ($other, 'mine') ON CONFLICT (room_id) DO UPDATE SET name = 'mine'"],
    ["rows of several", "INSERT INTO messages SELECT n, 9, 'x' FROM generate_series(1, 20) n"],
    ["a wish to see all", "SET LOCAL row_security = off; SELECT count(*) FROM messages"],
    ["a function that it calls leakproof", "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LEAKPROOF LANGUAGE sql AS 'SELECT true'"],
    ["the policies gone", "ALTER TABLE rooms DISABLE ROW LEVEL SECURITY"],
    ["an empty table", "TRUNCATE rooms"],
  ])("%s is refused", async (_, text) => {
    const statement = text.replaceAll("$other", others[0] as string);
    await expect(bound(own as string, () => app.query(statement))).rejects.toMatchObject({ message: expect.stringMatching(/row-level security|leakproof|must be owner|permission denied|TN00/) as string });
  });

  test("a function of the statement is not shown other tenants' rows", async () => {
    await query(uriOf("a"), "CREATE FUNCTION told(body text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN IF body <> 'secret of ' || current_setting('tenancy.tenant') THEN RAISE 'leaked %', body; END IF; RETURN true; END $$");
    expect(await bound(own as string, async () => tenantsIn(await app.query("SELECT room_id FROM messages WHERE told(body)")))).toEqual([own]);
  });

  test("a copy has the tenant's rows alone", async () => {
    const copied = await bound(own as string, async () => {
      let text = "";
      for await (const chunk of app.query(copyTo("COPY (SELECT room_id, body FROM messages) TO STDOUT"))) text += String(chunk);
      return text.trim().split("\n");
    });
    expect(new Set(copied)).toEqual(new Set([`${own as string}\tsecret of ${own as string}`]));
  });

  test("who names no tenant sees nothing and writes nothing, also after a transaction that was bound", async () => {
    await bound(own as string, () => app.query("SELECT FROM rooms"));
    expect(await app.query("SELECT room_id FROM messages")).toMatchObject({ rows: [] });
    expect(await app.query(`UPDATE rooms SET name = 'x' WHERE room_id = ${own as string}`)).toMatchObject({ rowCount: 0 });
    await expect(app.query(`INSERT INTO room_members VALUES (${own as string}, 1)`)).rejects.toThrow("row-level security");
  });

  test("a tenant's statements go to one shard, by its index", async () => {
    const plan = await bound(own as string, async () => (await app.query<{ "QUERY PLAN": string }>("EXPLAIN (COSTS OFF) SELECT body FROM messages WHERE room_id = $1", [own])).rows.map((row) => row["QUERY PLAN"]).join("\n"));
    expect(plan).toContain("Task Count: 1");
    expect(plan).toMatch(/Index .*messages_pkey/);
  });

  test("a router on one connection shows each tenant its own, also where one moves, and all only to who may see all", async () => {
    const configs = (user: string) => Object.fromEntries(["a", "b"].map((name) => [name, { connectionString: uriOf(name, user), max: 1 }]));
    await using router = await createRouter({ clusters: configs("app"), bindStatements: true });
    const seenBy = async (room: string): Promise<unknown[]> => tenantsIn(await router.for(room).query("SELECT room_id FROM messages"));
    for (const room of [own, others[0], own, others[1]] as string[]) expect(await seenBy(room)).toEqual([room]);
    await expect(router.for(own as string).query("INSERT INTO messages VALUES ($1, 50, 'forged')", [others[0]])).rejects.toThrow();
    await moveTenant(clusters, own as string, "b");
    expect(await router.for(own as string).query("SELECT room_id, body FROM messages")).toMatchObject({ rowCount: 3 });
    await router.for(own as string).query("INSERT INTO messages VALUES ($1, 4, $2)", [own, `secret of ${own as string}`]);
    const count = (here: (column: string) => string): string => `SELECT count(*)::int FROM messages WHERE ${here("room_id")}`;
    const total = async (gathered: Promise<Gathered<{ count: number }>>): Promise<number> => (await gathered).rows.reduce((sum, { row }) => sum + row.count, 0);
    expect(await total(router.all<{ count: number }>(count))).toBe(0);
    await using report = await createRouter({ clusters: configs("report") });
    expect(await total(report.all<{ count: number }>(count))).toBe(3 * 6 + 1);
  });

  test("who places tenants sees that one has rows, and has every node refuse one that was placed elsewhere", async () => {
    const access = ["a", "b"].map((name) => ({ name, uri: uriOf(name, "signup"), nodes: {} }));
    const used = others[2] as string;
    await expect(placeTenant(access, used, { cluster: "b" })).rejects.toThrow(`Tenant ${used} has rows in cluster a, where it lives (public.`);
    const [[found] = []] = await query(uriOf("a"), "SELECT n::text AS room FROM generate_series(200, 300) n WHERE tenancy.home(n::text) = 'a' LIMIT 1");
    const fresh = found?.["room"] as string;
    const passes = `SELECT DISTINCT result FROM run_command_on_all_nodes($$SELECT tenancy.plain('${fresh}') IS TRUE$$)`;
    expect(await query(uriOf("a"), passes)).toEqual([[{ result: "t" }]]);
    expect(await placeTenant(access, fresh, { cluster: "b" })).toMatchObject({ cluster: "b", placed: true, unreached: [] });
    expect(await query(uriOf("a"), passes)).toEqual([[{ result: "f" }]]);
    await expect(query(uriOf("a"), `INSERT INTO rooms VALUES (${fresh}, 'left')`)).rejects.toMatchObject({ code: "TN001" });
    await query(uriOf("b"), `INSERT INTO rooms VALUES (${fresh}, 'placed')`);
  });

  test("a policy that would show more is not left beside it; off takes away what it made and nothing else", async () => {
    await everywhere("CREATE POLICY theirs ON rooms AS RESTRICTIVE USING (name <> 'hidden')");
    project.configure({ schema: { file: "rooms.sql", tables: TABLES, rowSecurity: true }, shardCount: 5 });
    await expect(project.up()).rejects.toThrow("rooms has a policy of its own, theirs");
    project.configure({ schema: { file: "rooms.sql", tables: TABLES } });
    await project.up();
    const [left, on] = await query(uriOf("a"), "SELECT polname::text AS name FROM pg_policy", "SELECT relname::text AS name FROM pg_class JOIN pg_dist_partition ON logicalrelid = oid WHERE relrowsecurity");
    expect([left, on]).toEqual([[{ name: "theirs" }], [{ name: "rooms" }]]);
    const { rows } = await app.query<{ count: number }>("SELECT count(DISTINCT room_id)::int FROM messages");
    expect(rows).toEqual([{ count: others.length }]);
  });
});
