import { execFile } from "node:child_process";
import * as path from "node:path";
import { Client, type QueryResult } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRouter, type Queryable } from "../../router/index";
import { moveTenant, moveTogether, openSites, type BatchReport, type MoveOptions, type MoveStep } from "../../tenants/move";
import type { ClusterAccess } from "../../tenants/clusterAccess";
import { settle, unsettledTenants } from "../../tenants/settle";
import { beforeStatement, CLOSING } from "./beforeStatement";
import { docker, eventually, hasImage, Project, query } from "./project";

const CITUS = "citusdata/citus:13.2.0";
const WORKERS = 2;
/** The first of ten rooms that are all in cluster a before there is a fence. */
const STRAY = 1000;

/** What the fence says when it refuses. */
interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly detail?: string;
}

/** A client that inserts, updates and deletes messages of one room without a rest, follows the room when it moves, and remembers what was acknowledged. */
class RoomClient {
  readonly acknowledged = new Map<string, string>();
  private readonly gone = new Set<string>();
  private running = true;
  private readonly work: Promise<void>;

  constructor(
    private readonly room: string,
    private home: string,
    private readonly sessions: Readonly<Record<string, Client>>,
  ) {
    this.work = this.run();
  }

  /** Stops, and says what is not as it was acknowledged. */
  async check(): Promise<{ lost: string[]; wrong: string[]; extra: string[]; elsewhere: number }> {
    this.running = false;
    await this.work;
    const read = async (cluster: string): Promise<Map<string, string>> => {
      const { rows } = await this.on(cluster, "SELECT message_id::text AS id, body FROM messages WHERE room_id = $1 AND user_id = 7", [this.room]);
      return new Map((rows as { id: string; body: string }[]).map(({ id, body }) => [id, body]));
    };
    const found = await read(this.home);
    const others = await Promise.all(Object.keys(this.sessions).filter((cluster) => cluster !== this.home).map(read));
    return {
      lost: [...this.acknowledged.keys()].filter((id) => !found.has(id)),
      wrong: [...this.acknowledged].filter(([id, body]) => found.has(id) && found.get(id) !== body).map(([id]) => id),
      extra: [...found.keys()].filter((id) => !this.acknowledged.has(id)),
      elsewhere: others.reduce((sum, { size }) => sum + size, 0),
    };
  }

  private async run(): Promise<void> {
    for (let next = 1_000_000; this.running; next += 1) {
      const id = String(next);
      const old = next % 5 === 0 ? [...this.acknowledged.keys()][next % Math.max(1, this.acknowledged.size)] : undefined;
      if (old === undefined) {
        await this.write("INSERT INTO messages (room_id, message_id, user_id, body) VALUES ($1, $2, 7, $3)", [this.room, id, `new ${id}`]);
        this.acknowledged.set(id, `new ${id}`);
      } else if (next % 2 === 0) {
        await this.write("UPDATE messages SET body = $3 WHERE room_id = $1 AND message_id = $2", [this.room, old, `changed ${id}`]);
        this.acknowledged.set(old, `changed ${id}`);
      } else {
        await this.write("DELETE FROM messages WHERE room_id = $1 AND message_id = $2", [this.room, old]);
        this.acknowledged.delete(old);
        this.gone.add(old);
      }
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  }

  /** A write that the fence refused was not applied, and is done at the home that it names. */
  private async write(text: string, values: readonly string[]): Promise<void> {
    for (;;) {
      try {
        const { rowCount } = await this.on(this.home, text, values);
        if (rowCount !== 1) throw new Error(`${text} met ${rowCount} rows`);
        return;
      } catch (error) {
        const { code, detail } = error as Refusal;
        if (code !== "TN001" && code !== "TN002") throw error;
        if (code === "TN001") this.home = (JSON.parse(detail as string) as { home: string }).home;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    }
  }

  private on(cluster: string, text: string, values: readonly string[]): Promise<QueryResult> {
    return (this.sessions[cluster] as Client).query(text, [...values]);
  }
}

describe.skipIf(!hasImage(CITUS)).each([1, 2])("tenants of clusters with replication factor %i", (replicationFactor) => {
  const prefix = `e2e-tn${replicationFactor}-`;
  const ports = { a: 15432 + 400 * replicationFactor, b: 15532 + 400 * replicationFactor, c: 15632 + 400 * replicationFactor };
  const project = new Project("active-active");
  let clusters: ClusterAccess[];
  let sessions: Record<string, Client>;
  /** A room of each cluster. */
  let rooms: Record<string, string>;

  const sql = async (cluster: string, text: string): Promise<Record<string, unknown>[]> => (await (sessions[cluster] as Client).query<Record<string, unknown>>(text)).rows;
  const refusal = async (work: Promise<unknown>): Promise<Refusal> => {
    const error = await work.then(() => undefined, (reason: unknown) => reason);
    expect(error, "the write was taken").toBeInstanceOf(Error);
    const { code, message, detail } = error as Refusal;
    return { code, message, ...(detail !== undefined && { detail }) };
  };
  /** The sessions with which movers hold their locks go, as they do when a machine sleeps for long. */
  const endMovers = async (): Promise<void> => {
    for (const cluster of ["a", "b"]) await sql(cluster, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7778 AND pid <> pg_backend_pid()");
  };
  const nothingPublished = async (step: string): Promise<void> => {
    for (const cluster of ["a", "b"]) expect(await sql(cluster, "SELECT nodename, result FROM run_command_on_workers('SELECT count(*) FROM pg_publication') WHERE result <> '0'"), step).toEqual([]);
  };
  const homeOf = async (room: string): Promise<string> => (await sql("a", `SELECT tenancy.home('${room}') AS home`))[0]?.["home"] as string;
  const other = (cluster: string): string => (cluster === "a" ? "b" : "a");

  beforeAll(async () => {
    // Without a fence to begin with, as a stack is that is older than it.
    project.configure({ prefix, shardCount: 6, replicationFactor, tenantFence: false, clusters: { a: { workers: WORKERS, port: ports.a }, b: { workers: WORKERS, port: ports.b } } });
    await project.create();
    await project.up();
    const { uris } = await project.outputs<{ uris: Record<"a" | "b", string> }>();
    clusters = (["a", "b"] as const).map((name) => ({
      name,
      uri: uris[name],
      nodes: Object.fromEntries(Array.from({ length: WORKERS }, (_, index) => [`${prefix}worker_${name}${index + 1}:5432`, { host: "127.0.0.1", port: ports[name] + index + 1 }])),
    }));
    sessions = Object.fromEntries(
      await Promise.all(
        clusters.map(async ({ name, uri }) => {
          const client = new Client({ connectionString: uri });
          client.on("error", () => undefined);
          await client.connect();
          return [name, client] as const;
        }),
      ),
    );
    await sql("a", `INSERT INTO rooms (room_id, name) SELECT n, 'before the fence' FROM generate_series(${STRAY}, ${STRAY + 9}) n`);
    project.configure({ tenantFence: true });
    await project.up();
    const found = await sql("a", "SELECT tenancy.home(n::text) AS home, min(n)::text AS room FROM generate_series(1, 100) n GROUP BY 1");
    rooms = Object.fromEntries(found.map(({ home, room }) => [home as string, room as string]));
  });
  afterAll(() => {
    for (const session of Object.values(sessions ?? {})) void session.end().catch(() => undefined);
    project.dispose(prefix);
    expect(project.leftovers(prefix)).toEqual([]);
  });

  /** What does not depend on how many copies shards have is seen once. */
  const whateverTheFactor = replicationFactor === 1 ? test : test.skip;

  test("up again changes nothing", async () => {
    expect(await project.up()).toEqual({ same: expect.any(Number) as number });
  });

  test("tenants that were there before the fence stay where they are", async () => {
    for (const cluster of ["a", "b"]) {
      const [row] = await sql(cluster, `SELECT count(*) FILTER (WHERE tenancy.home(n::text) = 'a')::int AS home, count(*) FILTER (WHERE tenancy.winner(n::text, '{a,b}') = 'b')::int AS strayed FROM generate_series(${STRAY}, ${STRAY + 9}) n`);
      expect(row).toMatchObject({ home: 10 });
      expect(row?.["strayed"]).toBeGreaterThan(0);
      expect(await sql(cluster, "SELECT count(*)::int AS strayed FROM tenancy.tenant WHERE pinned")).toEqual([{ strayed: row?.["strayed"] }]);
    }
    await sql("a", `UPDATE rooms SET name = 'still here' WHERE room_id BETWEEN ${STRAY} AND ${STRAY + 9}`);
  });

  test("each cluster takes its own tenants' writes, and refuses the others' with their home", async () => {
    for (const cluster of ["a", "b"]) {
      const [own, foreign] = [rooms[cluster] as string, rooms[other(cluster)] as string];
      await sql(cluster, `INSERT INTO rooms (room_id, name) VALUES (${own}, 'own')`);
      await sql(cluster, `INSERT INTO messages (room_id, message_id, user_id, body) SELECT ${own}, 100000 + n, 1, 'base' FROM generate_series(1, 100) n`);
      expect(await refusal(sql(cluster, `INSERT INTO rooms (room_id, name) VALUES (${foreign}, 'foreign')`))).toEqual({
        code: "TN001",
        message: `tenant ${foreign} lives in cluster ${other(cluster)}, not in ${cluster}`,
        detail: `{"tenant" : "${foreign}", "home" : "${other(cluster)}", "epoch" : 0}`,
      });
    }
  });

  describe("a tenant that is closed", () => {
    let room: string;
    const closed = (open: boolean): string =>
      `INSERT INTO tenancy.tenant AS known (tenant, home, epoch, state, move) VALUES ('${room}', 'a', 0, '${open ? "settled" : "closed"}', ${open ? "NULL" : "'m1'"})
       ON CONFLICT (tenant) DO UPDATE SET state = excluded.state, move = excluded.move`;
    beforeAll(async () => {
      room = rooms["a"] as string;
      await sql("a", closed(false));
    });
    afterAll(async () => {
      await sql("a", closed(true));
      await sql("a", `DELETE FROM tenancy.tenant WHERE tenant = '${room}'`);
    });

    test.each<[string, (room: string) => string, string]>([
      ["a row", (id) => `INSERT INTO messages (room_id, user_id, body) VALUES (${id}, 1, 'x')`, "TN002"],
      ["several rows", (id) => `INSERT INTO messages (room_id, user_id, body) VALUES (${id}, 1, 'x'), (${id}, 2, 'y')`, "TN002"],
      ["rows of several tenants", (id) => `INSERT INTO messages (room_id, user_id, body) SELECT n, 1, 'x' FROM unnest(ARRAY[${id}, ${id}]) n`, "TN002"],
      ["an upsert", (id) => `INSERT INTO messages (room_id, message_id, user_id, body) VALUES (${id}, 100001, 1, 'x') ON CONFLICT (room_id, message_id) DO UPDATE SET body = 'y'`, "TN002"],
      ["an update", (id) => `UPDATE messages SET body = 'x' WHERE room_id = ${id}`, "TN002"],
      ["an update of all tenants", () => "UPDATE messages SET body = body", "TN002"],
      ["a delete", (id) => `DELETE FROM messages WHERE room_id = ${id}`, "TN002"],
      ["rows from its own", (id) => `INSERT INTO messages (room_id, message_id, user_id, body) SELECT room_id, message_id + 1000, user_id, body FROM messages WHERE room_id = ${id}`, "TN002"],
    ])("does not take %s", async (_, statement, code) => {
      const refused = await refusal(sql("a", statement(room)));
      // Where the coordinator pulls rows, Citus keeps message and detail, and not the code.
      expect([code, "XX000"]).toContain(refused.code);
      expect(refused).toMatchObject({ message: `tenant ${room} is being moved`, detail: `{"tenant" : "${room}", "home" : "a", "epoch" : 0}` });
    });

    test("does not take a COPY", async () => {
      const { from } = await import("pg-copy-streams");
      const stream = (sessions["a"] as Client).query(from("COPY messages (room_id, message_id, user_id, body) FROM STDIN"));
      const failed = new Promise<Refusal>((resolve, reject) => stream.on("error", (error) => resolve(error as unknown as Refusal)).on("finish", () => reject(new Error("the write was taken"))));
      stream.end(`${room}\t5000\t1\tx\n`);
      expect(await failed).toMatchObject({ code: "XX000", message: `tenant ${room} is being moved`, detail: `{"tenant" : "${room}", "home" : "a", "epoch" : 0}` });
    });

    test("does not take a write through a worker, nor into the shard itself", async () => {
      for (const { port } of Object.values((clusters[0] as ClusterAccess).nodes)) {
        const uri = new URL((clusters[0] as ClusterAccess).uri);
        uri.port = String(port);
        // Writes through workers are refused by Citus itself where shards have copies.
        const message = (await refusal(query(uri.href, `UPDATE messages SET body = 'x' WHERE room_id = ${room}`))).message;
        if (replicationFactor === 1) expect(message).toBe(`tenant ${room} is being moved`);
        const [shards] = await query(uri.href, `SELECT shard_name('messages'::regclass, get_shard_id_for_distribution_column('messages', ${room}::bigint), false) AS shard`);
        const shard = (shards as { shard: string }[])[0]?.shard as string;
        const [[local]] = (await query(uri.href, `SELECT to_regclass('${shard}') IS NOT NULL AS here`)) as [[{ here: boolean }]];
        if (local.here) expect(await refusal(query(uri.href, `DELETE FROM ${shard} WHERE room_id = ${room}`))).toMatchObject({ code: "TN002" });
      }
    });

    test("is left alone by statements that meet no row, and can be read", async () => {
      await sql("a", `UPDATE messages SET body = 'x' WHERE room_id = ${room} AND message_id < 0`);
      expect(await sql("a", `SELECT count(*)::int AS count FROM messages WHERE room_id = ${room} AND body = 'base'`)).toEqual([{ count: 100 }]);
    });

    test("takes the writes of the move that it names while it lives elsewhere, and no other's, nor any at home", async () => {
      const write = async (move: string, home: string): Promise<void> => {
        await sql("a", "BEGIN");
        try {
          await sql("a", `UPDATE tenancy.tenant SET home = '${home}' WHERE tenant = '${room}'`);
          await sql("a", "SET LOCAL citus.propagate_set_commands TO 'local'");
          await sql("a", `SET LOCAL tenancy.move = '${move}'`);
          await sql("a", `INSERT INTO messages (room_id, message_id, user_id, body) VALUES (${room}, 6000, 1, 'moved')`);
        } finally {
          await sql("a", "ROLLBACK");
        }
      };
      await write("m1", "b");
      for (const [move, home] of [["m2", "b"], ["m1", "a"]] as const) expect(await refusal(write(move, home))).toMatchObject({ code: "TN004" });
    });

    test("does not take the writes of a session whose role is replica, nor a TRUNCATE of all", async () => {
      await sql("a", "BEGIN");
      try {
        await sql("a", "SET LOCAL citus.propagate_set_commands TO 'local'");
        await sql("a", "SET LOCAL session_replication_role = replica");
        expect(await refusal(sql("a", `UPDATE messages SET body = 'x' WHERE room_id = ${room}`))).toMatchObject({ code: "TN002" });
      } finally {
        await sql("a", "ROLLBACK");
      }
      expect(await refusal(sql("a", "TRUNCATE messages"))).toMatchObject({ code: "55006", message: `messages cannot be truncated while tenant ${room} is being moved` });
    });
  });

  test.each(["REPEATABLE READ", "SERIALIZABLE"])("a %s transaction that began before a tenant was closed does not write it afterwards", async (isolation) => {
    const room = rooms["b"] as string;
    const writer = new Client({ connectionString: (clusters[1] as ClusterAccess).uri });
    await writer.connect();
    try {
      await writer.query(`BEGIN ISOLATION LEVEL ${isolation}`);
      // Takes the snapshot on the workers, too.
      await writer.query("SELECT count(*) FROM messages");
      await sql("b", "BEGIN");
      await sql("b", `UPDATE tenancy.generation SET n = n + 1 WHERE bucket = (hashtextextended('${room}', 0) & 1023)::int`);
      await sql("b", `INSERT INTO tenancy.tenant (tenant, home, epoch, state, move) VALUES ('${room}', 'b', 0, 'closed', 'm1')`);
      await sql("b", "COMMIT");
      expect((await refusal(writer.query(`UPDATE messages SET body = 'late' WHERE room_id = ${room}`))).code).toMatch(/^(40001|TN002)$/);
    } finally {
      await writer.end();
      await sql("b", `DELETE FROM tenancy.tenant WHERE tenant = '${room}'`);
    }
  });

  test("a transaction that is bound to a tenant does not write another's", async () => {
    const [own, foreign] = (await sql("a", "SELECT n::text AS room FROM generate_series(1, 200) n WHERE tenancy.home(n::text) = 'a' LIMIT 2")).map(({ room }) => room as string) as [string, string];
    await sql("a", "BEGIN");
    try {
      await sql("a", "SET LOCAL citus.propagate_set_commands TO 'local'");
      await sql("a", `SET LOCAL tenancy.tenant = '${own}'`);
      await sql("a", `INSERT INTO messages (room_id, user_id, body) VALUES (${own}, 1, 'x')`);
      expect(await refusal(sql("a", `INSERT INTO messages (room_id, user_id, body) VALUES (${foreign}, 1, 'x')`))).toMatchObject({ code: "TN003", message: `this transaction is of tenant ${own}, and the statement writes tenant ${foreign}` });
    } finally {
      await sql("a", "ROLLBACK");
    }
  });

  test("a node passes its own tenants' writes without a query, until a record or the ring is written", async () => {
    const [{ own, late } = {}] = await sql("a", "SELECT min(n)::text AS own, max(n)::text AS late FROM generate_series(6000, 6100) n WHERE tenancy.home(n::text) = 'a'");
    const foreign = rooms["b"] as string;
    const everywhere = async (statement: string): Promise<string[]> => [...new Set((await sql("a", `SELECT result FROM run_command_on_all_nodes($$${statement}$$)`)).map(({ result }) => result as string))];
    const passed = (room: unknown): Promise<string[]> => everywhere(`SELECT tenancy.plain('${room as string}') IS TRUE`);
    const arm = (): Promise<string[]> => everywhere("SELECT tenancy.arm()");
    const rolledBack = async (statement: string, meanwhile: () => Promise<void>): Promise<void> => {
      await sql("a", "BEGIN");
      try {
        await sql("a", statement);
        await meanwhile();
      } finally {
        await sql("a", "ROLLBACK");
      }
    };
    expect(await arm()).toEqual(["t"]);
    expect([await passed(own), await passed(foreign)]).toEqual([["t"], ["f"]]);
    // On every node before it is committed, and though it is not.
    const worker = new URL((clusters[0] as ClusterAccess).uri);
    worker.port = String((clusters[0] as ClusterAccess).nodes[`${prefix}worker_a1:5432`]?.port);
    await rolledBack(`INSERT INTO tenancy.tenant (tenant, home, epoch, state, move) VALUES ('${own as string}', 'a', 0, 'closed', 'm1')`, async () => {
      expect(await query(worker.href, `SELECT tenancy.plain('${own as string}') AS passed, tenancy.arm() AS armed`)).toEqual([[{ passed: false, armed: false }]]);
    });
    expect(await passed(own)).toEqual(["f"]);
    await sql("a", `INSERT INTO rooms (room_id, name) VALUES (${own as string}, 'looked at closer')`);
    expect([await arm(), await passed(own)]).toEqual([["t"], ["t"]]);
    await rolledBack("UPDATE tenancy.ring SET version = version + 1", () => Promise.resolve());
    expect([await passed(own), await passed(late)]).toEqual([["f"], ["f"]]);
    expect(await refusal(sql("a", `INSERT INTO rooms (room_id, name) VALUES (${foreign}, 'foreign')`))).toMatchObject({ code: "TN001" });
    await sql("a", `DELETE FROM rooms WHERE room_id = ${own as string}`);
    expect([await arm(), await passed(own)]).toEqual([["t"], ["t"]]);
  });

  test("the fence moves with a shard", async () => {
    const foreign = rooms["b"] as string;
    const [placement] = await sql("a", `SELECT shardid, nodename, nodeport FROM pg_dist_shard_placement WHERE shardid = get_shard_id_for_distribution_column('messages', ${foreign}::bigint) LIMIT 1`);
    const [target] = await sql("a", `SELECT nodename, nodeport FROM pg_dist_node WHERE shouldhaveshards AND groupid NOT IN (SELECT groupid FROM pg_dist_placement WHERE shardid = ${String(placement?.["shardid"])})`);
    if (replicationFactor === 1) {
      await sql("a", `SELECT citus_move_shard_placement(${String(placement?.["shardid"])}, '${String(placement?.["nodename"])}', 5432, '${String(target?.["nodename"])}', 5432, 'block_writes')`);
    } else expect(target).toBeUndefined();
    expect(await refusal(sql("a", `INSERT INTO rooms (room_id, name) VALUES (${foreign}, 'x')`))).toMatchObject({ code: "TN001" });
  });

  test("a room moves back and forth under writes, and nothing is lost or doubled", async () => {
    const room = rooms["a"] as string;
    const client = new RoomClient(room, "a", sessions);
    for (const to of ["b", "a", "b", "a"]) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      const { rows, closedMs } = await moveTenant(clusters, room, to);
      expect(rows).toMatchObject({ "public.rooms": 1 });
      expect(closedMs).toBeLessThan(2000);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await client.check()).toEqual({ lost: [], wrong: [], extra: [], elsewhere: 0 });
    expect(client.acknowledged.size).toBeGreaterThan(50);
    expect(await sql("a", `SELECT count(*)::int AS count FROM messages WHERE room_id = ${room} AND body = 'base'`)).toEqual([{ count: 100 }]);
    expect(await homeOf(room)).toBe("a");
  });

  const steps: MoveStep[] = ["announced", "emptied", "copied", "caught up", "verified", "closed", "drained", "complete", "decided", "opened", "told", "cleaned"];
  test("a mover that is killed after any step leaves a tenant that can be settled, and nothing is lost", async () => {
    const room = rooms["b"] as string;
    const client = new RoomClient(room, "b", sessions);
    const moved: MoveStep[] = [];
    for (const step of steps) {
      const from = await homeOf(room);
      await killedMover(step, room, other(from), clusters);
      const sites = await openSites(clusters, "citus-sharding test", ["a", "b"]);
      try {
        expect(await unsettledTenants(sites), step).toEqual(step === "cleaned" ? [] : [room]);
        if (step !== "cleaned") await settle(sites, ["a", "b"], room);
        expect(await unsettledTenants(sites), step).toEqual([]);
      } finally {
        for (const site of sites) site.close();
      }
      if ((await homeOf(room)) !== from) moved.push(step);
      await nothingPublished(step);
    }
    // Up to the decision the tenant stays, from then on it goes.
    expect(moved).toEqual(["decided", "opened", "told", "cleaned"]);
    expect(await client.check()).toEqual({ lost: [], wrong: [], extra: [], elsewhere: 0 });
  });

  test("a move whose new home takes writes was taken, though the row that decided it is lost", async () => {
    const [{ room } = {}] = (await sql("a", "SELECT min(n)::text AS room FROM generate_series(7000, 7100) n WHERE tenancy.home(n::text) = 'a'")) as { room: string }[];
    const write = (cluster: string, body: string): Promise<unknown> => sql(cluster, `INSERT INTO messages (room_id, user_id, body) VALUES (${String(room)}, 8, '${body}')`);
    await write("a", "before");
    await killedMover("opened", String(room), "b", clusters);
    await write("b", "acknowledged");
    await sql("a", `DELETE FROM tenancy.handover WHERE tenant = '${String(room)}'`);
    expect((await project.command("tenant", "recover", String(room))).stdout).toContain("it lives in cluster b");
    expect(await sql("b", `SELECT body FROM messages WHERE room_id = ${String(room)} ORDER BY 1`)).toEqual([{ body: "acknowledged" }, { body: "before" }]);
    expect(await refusal(write("a", "too late"))).toMatchObject({ code: "TN001" });
    expect(await sql("a", `SELECT FROM messages WHERE room_id = ${String(room)}`)).toEqual([]);
  });

  test("a mover that stood still, and wakes up after the room has come back, changes nothing", async () => {
    const room = rooms["b"] as string;
    for (const step of ["copied", "complete", "decided", "told", "cleaning"] as const) {
      const from = await homeOf(room);
      // Every client begins with the same ids.
      await sql(from, `DELETE FROM messages WHERE room_id = ${room} AND user_id = 7`);
      const client = new RoomClient(room, from, sessions);
      const wake = await pausedMover(step, room, other(from), clusters);
      await endMovers();
      await eventually(10_000, async () => expect(await project.command("tenant", "recover", room)).toMatchObject({ code: 0 }));
      if ((await homeOf(room)) !== from) await moveTenant(clusters, room, from);
      await wake();
      expect(await homeOf(room), step).toBe(from);
      expect(await client.check(), step).toEqual({ lost: [], wrong: [], extra: [], elsewhere: 0 });
      await project.command("tenant", "recover");
    }
  });

  describe("rooms that move together", () => {
    let together: string[];
    const all = async (home: string): Promise<void> => expect(await Promise.all(together.map(homeOf))).toEqual(together.map(() => home));
    const move = async (to: string, options: MoveOptions = {}): Promise<BatchReport> => {
      const sites = await openSites(clusters, "citus-sharding test", ["a", "b"]);
      try {
        return await moveTogether(sites, ["a", "b"], together, { to }, options);
      } finally {
        for (const site of sites) site.close();
      }
    };
    /** Clients of some of the rooms. Each room has rows that nobody changes, too. */
    const begin = async (home: string, count = 2): Promise<RoomClient[]> => {
      await sql(home, `DELETE FROM messages WHERE room_id IN (${together.join(", ")})`);
      await sql(home, `INSERT INTO messages (room_id, message_id, user_id, body) SELECT room, n, 1, 'base' FROM unnest(ARRAY[${together.join(", ")}]) room, generate_series(1, 3) n`);
      return together.slice(0, count).map((room) => new RoomClient(room, home, sessions));
    };
    const whole = async (clients: readonly RoomClient[], homes: Readonly<Record<string, number>>): Promise<void> => {
      for (const client of clients) expect(await client.check()).toEqual({ lost: [], wrong: [], extra: [], elsewhere: 0 });
      for (const cluster of ["a", "b"]) {
        const [row] = await sql(cluster, `SELECT count(DISTINCT room_id)::int AS rooms, count(*)::int AS rows FROM messages WHERE room_id IN (${together.join(", ")}) AND body = 'base'`);
        expect(row, cluster).toEqual({ rooms: homes[cluster] ?? 0, rows: 3 * (homes[cluster] ?? 0) });
        expect(await sql(cluster, "SELECT tenant FROM tenancy.tenant WHERE move IS NOT NULL OR state <> 'settled'"), cluster).toEqual([]);
      }
    };
    beforeAll(async () => {
      const [row] = await sql("a", "SELECT array_agg(n::text ORDER BY n) AS rooms FROM generate_series(6000, 6400) n WHERE tenancy.home(n::text) = 'a' GROUP BY get_shard_id_for_distribution_column('rooms', n) ORDER BY count(*) DESC LIMIT 1");
      together = (row?.["rooms"] as string[]).slice(0, 8);
    });

    test("are all there afterwards, but for those that a transaction writes all the time, which stay and are open", async () => {
      // Where shards have copies Citus has an update wait for every transaction that has written the shard, and it meets no row where its room has gone meanwhile.
      const clients = await begin("a", replicationFactor === 1 ? 2 : 0);
      const held = together.slice(-2);
      // One waits for locks, the other has a snapshot from before, which the generation of its bucket is held for.
      const writers = await Promise.all(
        (["READ COMMITTED", "REPEATABLE READ"] as const).map(async (isolation, index) => {
          const writer = new Client({ connectionString: (clusters[0] as ClusterAccess).uri });
          await writer.connect();
          return { writer, isolation, room: held[index] as string };
        }),
      );
      const write = ({ writer, room }: { writer: Client; room: string }, id: number): Promise<unknown> => writer.query(`INSERT INTO messages (room_id, message_id, user_id, body) VALUES (${room}, ${id}, 1, 'held')`);
      try {
        const { moved, left } = await move("b", {
          onStep: async (step) => {
            if (step !== "verified") return;
            for (const one of writers) {
              await one.writer.query(`BEGIN ISOLATION LEVEL ${one.isolation}`);
              await write(one, 9);
            }
          },
        });
        expect(new Set(moved.keys())).toEqual(new Set(together.filter((room) => !held.includes(room))));
        expect(new Set(left.keys())).toEqual(new Set(held));
        for (const [room, { message }] of left) expect(message).toContain(`Tenant ${room} was not moved and is open in cluster a: transactions that write the tenant were open all the time`);
        await write(writers[0] as (typeof writers)[number], 10);
        for (const { writer } of writers) await writer.query("COMMIT");
      } finally {
        for (const { writer } of writers) await writer.end();
      }
      expect(await sql("a", `SELECT count(*)::int AS count FROM messages WHERE room_id IN (${held.join(", ")}) AND body = 'held'`)).toEqual([{ count: 3 }]);
      await whole(clients, { a: held.length, b: together.length - held.length });
      for (const room of held) await moveTenant(clusters, room, "b");
      const back = await move("a");
      expect([back.moved.size, [...back.left.keys()]]).toEqual([together.length, []]);
      await all("a");
    });

    whateverTheFactor("are each settled after their mover was killed", async () => {
      for (const [step, goes] of [["closed", false], ["decided", true], ["opened", true]] as const) {
        const from = await homeOf(together[0] as string);
        const clients = await begin(from);
        await killedMover(step, together.join(","), other(from), clusters);
        const { stdout } = await project.command("tenant", "recover", "--json");
        const { settled } = JSON.parse(stdout) as { settled: { tenant: string; outcome: string }[] };
        expect(new Set(settled.map(({ tenant }) => tenant)), step).toEqual(new Set(together));
        const outcomes = goes ? ["taken", "cleaned"] : ["kept"];
        expect(settled.filter(({ outcome }) => !outcomes.includes(outcome)), step).toEqual([]);
        await all(goes ? other(from) : from);
        await whole(clients, { [goes ? other(from) : from]: together.length });
      }
    });

    whateverTheFactor("and come back while their mover stands still are not touched by it when it wakes up", async () => {
      for (const step of ["complete", "cleaning"] as const) {
        const from = await homeOf(together[0] as string);
        const clients = await begin(from);
        const wake = await pausedMover(step, together.join(","), other(from), clusters);
        await endMovers();
        await eventually(10_000, async () => expect(await project.command("tenant", "recover", ...together)).toMatchObject({ code: 0 }));
        if ((await homeOf(together[0] as string)) !== from) expect((await move(from)).left.size).toBe(0);
        await wake();
        await all(from);
        await project.command("tenant", "recover");
        await whole(clients, { [from]: together.length });
      }
    });
  });

  whateverTheFactor("a mover that stood still, and wakes up after another move, changes nothing", async () => {
    const room = rooms["b"] as string;
    for (const step of ["announced", "emptied", "caught up", "closed", "drained"] as const) {
      const from = await homeOf(room);
      await sql(from, `DELETE FROM messages WHERE room_id = ${room} AND user_id = 7`);
      const client = new RoomClient(room, from, sessions);
      const wake = await pausedMover(step, room, other(from), clusters);
      await endMovers();
      await eventually(10_000, async () => expect(await project.command("tenant", "recover", room)).toMatchObject({ code: 0 }));
      expect(await homeOf(room), step).toBe(from);
      await moveTenant(clusters, room, other(from));
      await wake();
      expect(await homeOf(room), step).toBe(other(from));
      expect(await client.check(), step).toEqual({ lost: [], wrong: [], extra: [], elsewhere: 0 });
      await project.command("tenant", "recover");
      await nothingPublished(step);
    }
  });

  whateverTheFactor("a mover that wakes up during another move leaves that alone", async () => {
    const room = rooms["b"] as string;
    for (const step of ["copied", "told"] as const) {
      const wake = await pausedMover(step, room, other(await homeOf(room)), clusters);
      await endMovers();
      await eventually(10_000, async () => expect(await project.command("tenant", "recover", room)).toMatchObject({ code: 0 }));
      const to = other(await homeOf(room));
      await moveTenant(clusters, room, to, {
        onStep: async (done) => {
          if (done === "caught up") await wake();
        },
      });
      expect(await homeOf(room), step).toBe(to);
    }
  });

  test("a mover whose sessions are ended gives the move up, and the room is open and everything tidy without anybody else", async () => {
    const room = rooms["b"] as string;
    const from = await homeOf(room);
    const end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'citus-sharding move %'";
    for (const [step, side, statement] of [
      ["copied", "giver", `SELECT run_command_on_workers($$${end}$$)`],
      ["closed", "giver", end],
      ["drained", "taker", end],
      ["complete", "giver", end],
    ] as const) {
      await sql(from, `DELETE FROM messages WHERE room_id = ${room} AND user_id = 7`);
      const client = new RoomClient(room, from, sessions);
      const move = moveTenant(clusters, room, other(from), {
        onStep: async (done) => {
          if (done === step) await sql(side === "giver" ? from : other(from), statement);
        },
      });
      await expect(move, step).rejects.toThrow(`Tenant ${room} was not moved and is open in cluster ${from}`);
      expect(await client.check(), step).toEqual({ lost: [], wrong: [], extra: [], elsewhere: 0 });
      for (const cluster of ["a", "b"]) {
        expect(await sql(cluster, "SELECT FROM tenancy.tenant WHERE move IS NOT NULL OR state <> 'settled'"), step).toEqual([]);
      }
      await nothingPublished(step);
    }
  });

  whateverTheFactor("a node that has not got the closed record keeps a room from being given away", async () => {
    const [{ room } = {}] = await sql("a", "SELECT min(n)::text AS room FROM generate_series(5400, 5500) n WHERE tenancy.home(n::text) = 'a'");
    await sql("a", `INSERT INTO messages (room_id, user_id, body) VALUES (${room as string}, 1, 'kept')`);
    const [copy] = await sql("a", "SELECT shard_name('tenancy.tenant'::regclass, shardid, false) AS name FROM pg_dist_shard WHERE logicalrelid = 'tenancy.tenant'::regclass");
    const lagging = moveTenant(clusters, room as string, "b", {
      patienceMs: 2000,
      onStep: async (step) => {
        // As where a worker was not told to commit what it had prepared: each worker's copy says that the room is open.
        if (step !== "closed") return;
        for (const { host, port } of Object.values((clusters[0] as ClusterAccess).nodes)) {
          const uri = new URL((clusters[0] as ClusterAccess).uri);
          Object.assign(uri, { hostname: host, port: String(port) });
          await query(uri.href, `UPDATE ${copy?.["name"] as string} SET state = 'moving' WHERE tenant = '${room as string}'`);
        }
      },
    });
    await expect(lagging).rejects.toThrow("was not moved and is open in cluster a");
    expect(await sql("a", `SELECT body FROM messages WHERE room_id = ${room as string}`)).toEqual([{ body: "kept" }]);
  });

  whateverTheFactor("a room is not given away while a worker could not be told to commit that it is closed", async () => {
    const [{ room } = {}] = await sql("a", "SELECT min(n)::text AS room FROM generate_series(5500, 5600) n WHERE tenancy.home(n::text) = 'a'");
    const [placement] = await sql("a", `SELECT nodename || ':' || nodeport AS node FROM pg_dist_shard_placement WHERE shardid = get_shard_id_for_distribution_column('messages', ${room as string}::bigint)`);
    const { host, port } = (clusters[0] as ClusterAccess).nodes[placement?.["node"] as string] as { host: string; port: number };
    const uri = new URL((clusters[0] as ClusterAccess).uri);
    Object.assign(uri, { hostname: host, port: String(port) });
    const onWorker = async (text: string): Promise<Record<string, unknown>[]> => (await query(uri.href, text))[0] ?? [];
    const [copy] = await sql("a", "SELECT shard_name('tenancy.tenant'::regclass, shardid, false) AS name FROM pg_dist_shard WHERE logicalrelid = 'tenancy.tenant'::regclass");
    const known = async (): Promise<unknown> => (await onWorker(`SELECT state FROM ${copy?.["name"] as string} WHERE tenant = '${room as string}'`))[0]?.["state"];
    const set = async (...settings: string[]): Promise<void> => {
      for (const setting of settings) await sql("a", `ALTER SYSTEM ${setting}`);
      await sql("a", "SELECT pg_reload_conf()");
    };
    // The worker has prepared, and the coordinator waits in its own commit for a standby that there is not. Then the session by which the worker would be told to commit is ended, and the coordinator goes on.
    const unheard = async (): Promise<void> => {
      await eventually(20_000, async () => expect(await sql("a", "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'")).not.toEqual([]));
      expect(await onWorker("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'PREPARE TRANSACTION%' AND state = 'idle'")).not.toEqual([]);
      await set("RESET synchronous_standby_names");
    };
    const [recovery] = await sql("a", "SHOW citus.recover_2pc_interval");
    await set("SET citus.recover_2pc_interval = -1");
    let told: Promise<void> | undefined;
    const end = beforeStatement(CLOSING, async () => {
      await set("SET synchronous_standby_names = 'nobody'");
      // Whether commits wait is the checkpointer's to say, which reads the file when it is told.
      await new Promise((resolve) => setTimeout(resolve, 1000));
      told = unheard();
    });
    const client = new RoomClient(room as string, "a", sessions);
    const closed: unknown[] = [];
    const drained: unknown[] = [];
    try {
      const { attempts } = await moveTenant(clusters, room as string, "b", {
        onStep: async (step) => {
          if (step === "drained") drained.push(await known());
          if (step !== "closed") return;
          closed.push(await known());
          if (closed.length > 1) return;
          expect(await sql("a", `SELECT state FROM tenancy.tenant WHERE tenant = '${room as string}'`)).toEqual([{ state: "closed" }]);
          await told;
          // What the maintenance daemon does every 5 s, and does not here, so that the mover meets it.
          setTimeout(() => void sql("a", "SELECT recover_prepared_transactions()"), 1000);
        },
      });
      expect(attempts).toBeGreaterThan(1);
      expect([closed[0], drained]).toEqual(["moving", ["closed"]]);
      expect(await client.check()).toEqual({ lost: [], wrong: [], extra: [], elsewhere: 0 });
    } finally {
      end();
      await set(`SET citus.recover_2pc_interval = '${String(recovery?.["citus.recover_2pc_interval"])}'`, "RESET synchronous_standby_names");
    }
  });

  whateverTheFactor("a room with foreign keys, triggers and partitions moves as it is; what would stay behind is said before", async () => {
    const [{ room } = {}] = await sql("a", "SELECT min(n)::text AS room FROM generate_series(5600, 5700) n WHERE tenancy.home(n::text) = 'a'");
    const id = room as string;
    const [{ foreign } = {}] = await sql("a", "SELECT min(n)::text AS foreign FROM generate_series(5600, 5700) n WHERE tenancy.home(n::text) = 'b'");
    for (const cluster of ["a", "b"]) {
      await sql(cluster, "CREATE TABLE visits (room_id bigint NOT NULL, day date NOT NULL, PRIMARY KEY (room_id, day)) PARTITION BY RANGE (day)");
      await sql(cluster, "CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')");
      await sql(cluster, "SELECT create_distributed_table('visits', 'room_id', colocate_with => 'rooms')");
      await sql(cluster, "ALTER TABLE messages ADD CONSTRAINT messages_rooms FOREIGN KEY (room_id) REFERENCES rooms (room_id) NOT VALID");
      await sql(cluster, "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.body := NEW.body || '!'; RETURN NEW; END $$");
      await sql(cluster, "SET citus.enable_unsafe_triggers = on");
      await sql(cluster, "CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION shout()");
    }
    await sql("a", `INSERT INTO rooms (room_id, name) VALUES (${id}, 'shouting')`);
    await sql("a", `INSERT INTO messages (room_id, user_id, body) VALUES (${id}, 1, 'one')`);
    const said = "public.visits is spread as public.messages is and has no fence";
    await expect(moveTenant(clusters, id, "b")).rejects.toThrow(said);
    expect((await project.command("status", "active-active")).stdout).toContain(said);
    project.configure({ schema: { tables: { rooms: "room_id", room_members: "room_id", messages: "room_id", visits: "room_id" } } });
    await project.up();
    expect(await refusal(sql("a", `INSERT INTO visits_2026 VALUES (${foreign as string}, '2026-01-01')`))).toMatchObject({ code: "TN001" });
    // A partition that comes later has the fence from its table; what only the set-up gives it is said.
    await sql("a", "CREATE TABLE visits_2027 PARTITION OF visits FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')");
    for (const table of ["visits", "visits_2027"]) expect(await refusal(sql("a", `INSERT INTO ${table} VALUES (${foreign as string}, '2027-01-01')`))).toMatchObject({ code: "TN001" });
    await expect(moveTenant(clusters, id, "b")).rejects.toThrow("The partition public.visits_2027 is not wholly fenced yet");
    await sql("a", "DROP TABLE visits_2027");
    await sql("a", `INSERT INTO visits VALUES (${id}, '2026-02-02')`);
    await moveTenant(clusters, `0${id}`, "b", {
      onStep: async (step) => {
        if (step === "verified") await sql("a", `INSERT INTO messages (room_id, user_id, body) VALUES (${id}, 1, 'two')`);
      },
    });
    expect(await sql("b", `SELECT body FROM messages WHERE room_id = ${id} ORDER BY body`)).toEqual([{ body: "one!" }, { body: "two!" }]);
    expect(await sql("b", `SELECT day::text FROM visits WHERE room_id = ${id}`)).toEqual([{ day: "2026-02-02" }]);
    for (const cluster of ["a", "b"]) {
      await sql(cluster, "DROP TABLE visits");
      await sql(cluster, "DROP FUNCTION shout CASCADE");
      await sql(cluster, "ALTER TABLE messages DROP CONSTRAINT IF EXISTS messages_rooms");
    }
    project.configure({ schema: { tables: { rooms: "room_id", room_members: "room_id", messages: "room_id" } } });
    await project.up();
  });

  whateverTheFactor("a cluster that is taken away under a move leaves the tenant where it was, and open", async () => {
    const room = rooms["a"] as string;
    const worker = `${prefix}worker_b1`;
    await expect(
      moveTenant(clusters, room, "b", {
        onStep: (step) => {
          if (step === "emptied") for (const name of [worker, `${prefix}worker_b2`]) docker("kill", name);
        },
      }),
    ).rejects.toThrow(`Tenant ${room} was not moved and is open in cluster a`);
    await sql("a", `INSERT INTO messages (room_id, user_id, body) VALUES (${room}, 1, 'open')`);
    await sql("a", `DELETE FROM messages WHERE room_id = ${room} AND body = 'open'`);
    for (const name of [worker, `${prefix}worker_b2`]) docker("start", name);
    await eventually(60_000, async () => expect(await project.command("tenant", "recover")).toMatchObject({ code: 0 }));
    await eventually(60_000, () => moveTenant(clusters, room, "b"));
    expect(await homeOf(room)).toBe("b");
    // The guard copies the killed workers' shards anew, and a move into a shard that is being copied is refused.
    const whole = `SELECT FROM pg_dist_node WHERE noderole = 'primary' AND NOT isactive UNION ALL
      SELECT FROM (SELECT shardid FROM pg_dist_shard JOIN pg_dist_partition USING (logicalrelid) LEFT JOIN pg_dist_placement USING (shardid) WHERE partmethod = 'h' GROUP BY shardid HAVING count(placementid) < ${replicationFactor}) AS short`;
    await eventually(60_000, async () => expect(await sql("b", whole)).toEqual([]));
  });

  test("an application behind the router notices a frozen cluster by its tenants alone, and a move not at all", async () => {
    const found = await sql("a", "SELECT tenancy.home(n::text) AS home, min(n)::text AS room FROM generate_series(5000, 5100) n GROUP BY 1");
    const room = Object.fromEntries(found.map(({ home, room: first }) => [home as string, first as string])) as Record<"a" | "b", string>;
    const access = Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max: 4 }]));
    const router = await createRouter({ clusters: access });
    const write = (id: string): Promise<unknown> => router.for(id).query("INSERT INTO messages (room_id, user_id, body) VALUES ($1, 1, 'routed')", [id]);
    try {
      await Promise.all([write(room.a), write(room.b)]);
      docker("pause", `${prefix}coord_b`);
      try {
        const beganAt = performance.now();
        await expect(write(room.b)).rejects.toMatchObject({ code: "CLUSTER_DOWN", cluster: "b" });
        // It gives up after 0.9 s; the rest is for a machine that is busy.
        expect(performance.now() - beganAt).toBeLessThan(1500);
        await write(room.a);
        const { rows, missing } = await router.all<{ count: number }>("SELECT count(*)::int AS count FROM messages WHERE body = 'routed'");
        expect(rows).toEqual([{ cluster: "a", row: { count: 2 } }]);
        expect(missing).toMatchObject([{ cluster: "b" }]);
        await using late = await createRouter({ clusters: access });
        await late.for(room.a).query("SELECT");
      } finally {
        docker("unpause", `${prefix}coord_b`);
      }
      await eventually(10_000, () => write(room.b));
      await moveTenant(clusters, room.a, "b");
      await write(room.a);
      await eventually(1000, async () => expect(await router.locate(room.a)).toMatchObject({ home: "b" }));
      expect(await sql("b", `SELECT count(*)::int AS count FROM messages WHERE room_id = ${room.a}`)).toEqual([{ count: 3 }]);
    } finally {
      await router.end();
    }
  });

  test("a write through a router that stood still during a move meets its row where the tenant is now", async () => {
    const [{ room } = {}] = await sql("a", "SELECT min(n)::text AS room FROM generate_series(5200, 5300) n WHERE tenancy.home(n::text) = 'a'");
    await using router = await createRouter({ clusters: Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max: 4 }])) });
    const tenant = router.for(room as string);
    await tenant.query("INSERT INTO messages (room_id, user_id, body) VALUES ($1, 1, 'one'), ($1, 1, 'two')", [room]);
    // Nothing runs in this process meanwhile: it hears of the move after it has sent the next statement to the old home, where the rows are gone.
    project.commandSync("tenant", "move", room as string, "--to", "b");
    // The word "with" makes it no statement that begins with a WITH.
    const missed = tenant.query("DELETE FROM messages WHERE room_id = $1 AND body = 'one' AND now() > '2020-01-01'::timestamp with time zone", [room]);
    expect(await tenant.locate()).toMatchObject({ home: "a" });
    expect((await missed).rowCount).toBe(1);
    project.commandSync("tenant", "move", room as string, "--to", "a");
    const again = tenant.transaction(async (tx) => (await tx.query("UPDATE messages SET body = 'three' WHERE room_id = $1 AND body = 'two'", [room])).rowCount);
    expect(await tenant.locate()).toMatchObject({ home: "b" });
    expect(await again).toBe(1);
    expect(await sql("a", `SELECT body FROM messages WHERE room_id = ${room as string}`)).toEqual([{ body: "three" }]);
  });

  test("a router counts a room that moves once, and reads it as a whole", async () => {
    const [{ room } = {}] = await sql("a", "SELECT min(n)::text AS room FROM generate_series(5400, 5500) n WHERE tenancy.home(n::text) = 'a'");
    await using router = await createRouter({ clusters: Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max: 4 }])) });
    // Another spelling of the id is the same room.
    const tenant = router.for(`0${room as string}`);
    await tenant.query("INSERT INTO messages (room_id, user_id, body) SELECT $1::bigint, 1, 'counted' FROM generate_series(1, 10)", [room]);
    const counted = async (): Promise<number> => {
      const { rows, moved, complete } = await router.all<{ count: number }>((here) => `SELECT count(*)::int AS count FROM messages m WHERE m.body = 'counted' AND ${here("m.room_id")}`);
      expect({ moved, complete }).toEqual({ moved: false, complete: true });
      return rows.reduce((sum, { row }) => sum + row.count, 0);
    };
    const steps: string[] = [];
    for (const to of ["b", "a"]) {
      await moveTenant(clusters, room as string, to, {
        onStep: async (step) => {
          expect(await counted(), step).toBe(10);
          expect((await tenant.query("SELECT body FROM messages WHERE room_id = $1 AND body = 'counted'", [room])).rows, step).toHaveLength(10);
          steps.push(step);
        },
      });
    }
    expect(steps).toContain("opened");
    expect(await counted()).toBe(10);
  });

  test("a router that loses its own connection loses no statement, and takes no forged news for true", async () => {
    const [{ room } = {}] = await sql("a", "SELECT min(n)::text AS room FROM generate_series(5600, 5700) n WHERE tenancy.home(n::text) = 'a'");
    await using router = await createRouter({ clusters: Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max: 4 }])) });
    const down: string[] = [];
    router.on("down", (cluster) => void down.push(cluster));
    const running = Promise.all([1, 2, 3].map(() => router.for(room as string).query("SELECT pg_sleep(1)")));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await sql("a", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'citus-sharding router'")).toHaveLength(1);
    await running;
    await sql("a", `NOTIFY tenancy, '${JSON.stringify({ tenant: room, home: "nowhere", epoch: 1_000_000_000, state: "settled" })}'`);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect([(await router.locate(room as string)).home, down]).toEqual(["a", []]);
    await router.for(room as string).query("SELECT");
  });

  describe("a router", () => {
    /** The first room of a hundred that lives in cluster a. */
    const roomFrom = async (first: number): Promise<string> => (await sql("a", `SELECT min(n)::text AS room FROM generate_series(${first}, ${first + 99}) n WHERE tenancy.home(n::text) = 'a'`))[0]?.["room"] as string;
    const access = (max = 4): Record<string, { connectionString: string; max: number }> => Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max }]));
    const INSERT = "INSERT INTO messages (room_id, user_id, body) VALUES ($1, 1, $2)";
    const bodies = async (cluster: string, room: string): Promise<unknown[]> => (await sql(cluster, `SELECT body FROM messages WHERE room_id = ${room} ORDER BY 1`)).map(({ body }) => body);

    whateverTheFactor("runs nothing of a transaction that has ended, and lets others run what was begun in it", async () => {
      const [room, neighbour] = [await roomFrom(6200), await roomFrom(6300)];
      await using router = await createRouter({ clusters: access(1) });
      let late: Promise<unknown> = Promise.resolve();
      let background: Promise<unknown> = Promise.resolve();
      const stray = router.for(room).transaction(async (tx) => {
        await tx.query(INSERT, [room, "rolled back"]);
        late = new Promise((resolve) => setTimeout(resolve, 200)).then(() => tx.query(INSERT, [room, "late"]));
        background = new Promise((resolve) => setTimeout(resolve, 300)).then(() => router.for(neighbour).query(INSERT, [neighbour, "in the background"]));
        await Promise.all([tx.query("SELECT 1 / 0"), late]);
      });
      await expect(stray).rejects.toMatchObject({ code: "22012" });
      await expect(late).rejects.toMatchObject({ code: "TRANSACTION_OVER", applied: "no" });
      await background;
      expect([await bodies("a", room), await bodies("a", neighbour)]).toEqual([[], ["in the background"]]);
    });

    whateverTheFactor("gives nobody a connection that came back in a transaction", async () => {
      const [room, neighbour] = [await roomFrom(6400), await roomFrom(6500)];
      await using router = await createRouter({ clusters: access(1) });
      const client = await router.for(room).connect();
      await client.query("BEGIN");
      await client.query(INSERT, [room, "never committed"]);
      client.release();
      await router.for(neighbour).query(INSERT, [neighbour, "acknowledged"]);
      await eventually(5000, async () => expect([await bodies("a", room), await bodies("a", neighbour)]).toEqual([[], ["acknowledged"]]));
    });

    whateverTheFactor("does not repeat what has committed in part", async () => {
      const room = await roomFrom(6600);
      await sql("a", `CREATE PROCEDURE charge(room bigint) LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO messages (room_id, user_id, body) VALUES (room, 1, 'charged'); COMMIT;
        PERFORM pg_sleep(4); INSERT INTO messages (room_id, user_id, body) VALUES (room, 1, 'told'); END $$`);
      await using router = await createRouter({ clusters: access() });
      const charge = router.for(room).query("CALL charge($1)", [room]).then(() => undefined, (error: unknown) => error);
      await eventually(3000, async () => expect(await bodies("a", room)).toEqual(["charged"]));
      await moveTenant(clusters, room, "b");
      expect(await charge).toMatchObject({ code: "TENANT_MOVED", home: "b", applied: "unknown" });
      expect([await bodies("a", room), await bodies("b", room)]).toEqual([[], ["charged"]]);
      await sql("a", "DROP PROCEDURE charge(bigint)");
    });

    whateverTheFactor("runs a transaction again that took longer than a move may, before the move", async () => {
      const room = await roomFrom(6700);
      await using router = await createRouter({ clusters: access(), moveTimeoutMs: 1000 });
      let runs = 0;
      await router.for(room).transaction(async (tx) => {
        runs += 1;
        await tx.query("SELECT FROM messages WHERE room_id = $1", [room]);
        if (runs === 1) {
          await new Promise((resolve) => setTimeout(resolve, 1500));
          await moveTenant(clusters, room, "b");
        }
        await tx.query(INSERT, [room, "once"]);
      });
      expect([runs, await bodies("a", room), await bodies("b", room)]).toEqual([2, [], ["once"]]);
    });

    whateverTheFactor("says what somebody has to mend, and whose mistake it is", async () => {
      const room = await roomFrom(6800);
      const [a, b] = [access()["a"], access()["b"]] as { connectionString: string }[];
      const made = (settings: Record<string, unknown>): Promise<unknown> => createRouter({ clusters: settings as never });
      await expect(made({ a: b, b: a })).rejects.toMatchObject({ code: "CONFIGURATION", message: expect.stringMatching(/leads to cluster [ab]\./) as string });
      await expect(made({ a, b: { connectionString: b?.connectionString.replace(/:[^:@]*@/, ":wrong@") } })).rejects.toMatchObject({ code: "CONFIGURATION", cause: { code: "28P01" } });
      await expect(made({ a, b: { connectionString: b?.connectionString.replace(/\/postgres($|\?)/, "/nowhere$1") } })).rejects.toMatchObject({ code: "CONFIGURATION", cause: { code: "3D000" } });
      await using router = await createRouter({ clusters: access() });
      await expect(router.for(room).query("SELECT $1::jsonb", [{ n: 1n }])).rejects.toThrow(TypeError);
      expect((await router.for(room).query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
      expect(router.clusters.map(({ up }) => up)).toEqual([true, true]);
    });
  });

  test("a tenant's statement ends at its time, and a cluster is changed and left under its statements", async () => {
    const [{ room } = {}] = await sql("a", "SELECT min(n)::text AS room FROM generate_series(6000, 6100) n WHERE tenancy.home(n::text) = 'a'");
    const access = Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max: 4 }]));
    await using free = await createRouter({ clusters: access });
    await using router = await createRouter({ clusters: access, maxPerTenant: 2, statementTimeoutMs: 500, onConnect: (client) => client.query("SET work_mem TO '5MB'") });
    const tenant = router.for(room as string);
    const insert = (): Promise<unknown> => tenant.query("INSERT INTO messages (room_id, user_id, body) VALUES ($1, 1, 'one')", [room]);
    const late = (on: Queryable): Promise<unknown> => on.query("UPDATE messages SET body = 'late' WHERE room_id = $1", [room]);
    await insert();
    await free.for(room as string).transaction(async (tx) => {
      await tx.query("UPDATE messages SET body = 'held' WHERE room_id = $1", [room]);
      await expect(late(tenant)).rejects.toMatchObject({ code: "STATEMENT_TIMEOUT", applied: "unknown" });
      await expect(tenant.transaction(late)).rejects.toMatchObject({ code: "STATEMENT_TIMEOUT", applied: "no" });
    });
    await eventually(5000, async () => expect(await sql("a", "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%''late''%' AND pid <> pg_backend_pid()")).toEqual([]));
    expect((await tenant.query("SELECT body FROM messages WHERE room_id = $1", [room])).rows).toEqual([{ body: "held" }]);
    expect((await tenant.query("SELECT current_setting('work_mem') AS set, current_setting('statement_timeout') AS time")).rows).toEqual([{ set: "5MB", time: "0" }]);
    const writing = Array.from({ length: 20 }, insert);
    await router.updateCluster("a", { application_name: "changed" });
    writing.push(...Array.from({ length: 20 }, insert));
    await Promise.all(writing);
    await router.removeCluster("a");
    await expect(insert()).rejects.toMatchObject({ code: "UNKNOWN_CLUSTER", cluster: "a" });
    expect(await sql("a", `SELECT count(*)::int AS count FROM messages WHERE room_id = ${room as string}`)).toEqual([{ count: 41 }]);
  });

  test("a write of an old snapshot meets its row where the tenant has gone meanwhile", async () => {
    const [{ room } = {}] = await sql("a", "SELECT min(n)::text AS room FROM generate_series(5800, 5900) n WHERE tenancy.home(n::text) = 'a'");
    await using router = await createRouter({ clusters: Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max: 4 }])) });
    const tenant = router.for(room as string);
    await tenant.query("INSERT INTO messages (room_id, user_id, body) VALUES ($1, 1, 'one')", [room]);
    let runs = 0;
    const written = await tenant.transaction(
      async (tx) => {
        runs += 1;
        // The coordinator's snapshot is taken here, the worker's by the update.
        await tx.query("SELECT FROM tenancy.ring");
        if (runs === 1) project.commandSync("tenant", "move", room as string, "--to", "b");
        return (await tx.query("UPDATE messages SET body = 'two' WHERE room_id = $1", [room])).rowCount;
      },
      { isolation: "repeatable read" },
    );
    expect([written, runs]).toEqual([1, 2]);
  });

  whateverTheFactor("the commands say where tenants are, and refuse what is meaningless", async () => {
    const room = rooms["a"] as string;
    expect((await project.command("tenant", "locate", room)).stdout).toContain(`Tenant ${room} lives in cluster b, where it was moved`);
    expect((await project.command("tenant", "locate", "4711000")).stdout).toMatch(/Tenant 4711000 lives in cluster [ab], by the hash of its id/);
    expect((await project.command("tenant", "list", "--cluster", "b")).stdout).toContain(room);
    expect((await project.command("tenant", "move", room, "--to", "c")).stderr).toContain("There is no cluster c. There is a, b");
    expect((await project.command("tenant", "move", room, "--to", "b")).stderr).toContain(`Tenant ${room} lives in cluster b already`);
    expect((await project.command("tenant", "move", "many", "--to", "b")).stderr).toContain("many cannot be a tenant");
    expect((await project.command("tenant", "move", `0${room}`, "--to", "b")).stderr).toContain(`Tenant ${room} lives in cluster b already`);
  });

  whateverTheFactor("a cluster that owns tenants is not taken away; drained, it is, and everything is still there", async () => {
    const before = await Promise.all(["a", "b"].map((cluster) => sql(cluster, "SELECT count(*)::int AS count FROM messages")));
    const total = before.reduce((sum, [row]) => sum + (row?.["count"] as number), 0);
    project.configure({ clusters: { b: { workers: WORKERS, port: ports.b } } });
    const refused = await project.up().then(() => "", (error: unknown) => String(error));
    expect(refused).toMatch(/a is no longer among the clusters of active-active \(now b\), and cluster a has data in public\.messages/);
    expect(docker("ps", "--format", "{{.Names}}").split("\n")).toContain(`${prefix}coord_a`);
    project.configure({ clusters: { a: { workers: WORKERS, port: ports.a }, b: { workers: WORKERS, port: ports.b } } });
    await project.up();
    // A tenant that was pinned and whose rows are gone is an owner, too.
    for (const cluster of ["a", "b"]) await sql(cluster, "INSERT INTO tenancy.tenant (tenant, home, epoch, state, pinned) VALUES ('5999', 'a', 100, 'settled', true) ON CONFLICT (tenant) DO UPDATE SET home = 'a', epoch = 100");
    const drained = await project.command("tenant", "drain", "a");
    expect(drained.stdout).toContain("Cluster a owns no tenants any more");
    expect(await sql("b", "SELECT count(*)::int AS count FROM messages")).toEqual([{ count: total }]);
    expect(await sql("b", "SELECT home, count(*)::int FROM tenancy.tenant WHERE home = 'a' GROUP BY 1")).toEqual([]);
    // All live where the only cluster of the ring is: what says no more than that is gone, and who was moved by hand stays where the ring changes.
    expect(await sql("b", "SELECT FROM tenancy.tenant WHERE pinned")).toEqual([]);
    project.configure({ clusters: { b: { workers: WORKERS, port: ports.b } } });
    expect(await project.up()).toMatchObject({ delete: expect.any(Number) as number });
    expect(docker("ps", "--format", "{{.Names}}")).not.toContain(`${prefix}coord_a`);
    await sql("b", `INSERT INTO rooms (room_id, name) VALUES (${rooms["a"] as string}, 'still here') ON CONFLICT (room_id) DO UPDATE SET name = excluded.name`);
  });

  whateverTheFactor("a cluster that is added gets the tenants that it wins, and no other", async () => {
    const [{ count: total } = {}] = await sql("b", "SELECT count(*)::int AS count FROM messages");
    project.configure({ clusters: { b: { workers: WORKERS, port: ports.b }, c: { workers: WORKERS, port: ports.c } } });
    await project.up();
    const { uris } = await project.outputs<{ uris: Record<"b" | "c", string> }>();
    const newcomer = new Client({ connectionString: uris.c });
    newcomer.on("error", () => undefined);
    await newcomer.connect();
    sessions = { b: sessions["b"] as Client, c: newcomer };
    expect(await sql("c", "SELECT count(*)::int AS count FROM rooms")).toEqual([{ count: 0 }]);
    // Rooms that were moved by hand stay where somebody wanted them.
    const moved = (await sql("b", "SELECT tenant FROM tenancy.tenant WHERE home = 'b' AND NOT pinned")).map(({ tenant }) => tenant as string);
    expect(moved).toEqual(expect.arrayContaining([rooms["a"], rooms["b"]]));
    const byHand = moved.join(", ");
    await using router = await createRouter({ clusters: { b: { connectionString: uris.b } } });
    expect((await project.command("tenant", "rebalance")).stdout).toMatch(/^✓ Moved \d+ tenants/m);
    const misplaced = (cluster: string): Promise<Record<string, unknown>[]> => sql(cluster, `SELECT room_id FROM rooms WHERE tenancy.winner(room_id::text, '{b,c}') <> '${cluster}' AND room_id NOT IN (${byHand})`);
    expect(await sql("c", `SELECT room_id FROM rooms WHERE room_id IN (${byHand})`)).toEqual([]);
    expect([...(await misplaced("b")), ...(await misplaced("c"))]).toEqual([]);
    const counts = await Promise.all(["b", "c"].map((cluster) => sql(cluster, "SELECT count(*)::int AS count FROM messages")));
    expect(counts.reduce((sum, [row]) => sum + (row?.["count"] as number), 0)).toBe(total);
    expect(await sql("c", "SELECT FROM rooms")).not.toEqual([]);
    // A router that has not been given the new cluster says which one it lacks, and takes it while it runs.
    const [{ room } = {}] = await sql("c", "SELECT min(room_id)::text AS room FROM rooms");
    const write = (): Promise<unknown> => router.for(room as string).query("INSERT INTO messages (room_id, user_id, body) VALUES ($1, 1, 'to the newcomer')", [room]);
    await expect(write()).rejects.toMatchObject({ code: "UNKNOWN_CLUSTER", cluster: "c", applied: "no" });
    await router.addCluster("c", { connectionString: uris.c });
    await write();
    expect(await sql("c", "SELECT room_id::text AS room FROM messages WHERE body = 'to the newcomer'")).toEqual([{ room }]);
    expect((await project.command("status", "active-active")).stdout).not.toContain("on the way");
  });
});

/** Runs a mover that stands still at a step. @returns what wakes it up, and waits for its end. */
function pausedMover(step: MoveStep | "cleaning", tenant: string, to: string, clusters: readonly ClusterAccess[]): Promise<() => Promise<void>> {
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, ["--import", "tsx", path.join(__dirname, "mover.ts"), "SIGSTOP", step, tenant, to]);
    const ended = new Promise<void>((over) => child.on("exit", () => over()));
    void ended.then(() => reject(new Error(`the mover was to stand still at "${step}", and has ended`)));
    child.stdout?.once("data", () =>
      resolve(async () => {
        child.kill("SIGCONT");
        await ended;
      }),
    );
    child.stdin?.end(JSON.stringify(clusters));
  });
}

/** Runs a mover that kills itself after a step. */
function killedMover(step: MoveStep, tenant: string, to: string, clusters: readonly ClusterAccess[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, ["--import", "tsx", path.join(__dirname, "mover.ts"), "SIGKILL", step, tenant, to], (error, _, stderr) => {
      if (error?.signal === "SIGKILL") resolve();
      else reject(new Error(`the mover was to be killed after "${step}", and was not: ${stderr}`));
    });
    child.stdin?.end(JSON.stringify(clusters));
  });
}
