import { spawnSync } from "node:child_process";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLeader, patroniCluster } from "../../cli/patroniCluster";
import { docker, eventually, hasImage, Project, query } from "./project";

const PREFIX = "e2e-gu-";
const SHARDS = 6;
const ROOMS = 60;

/** Inserts one message after the other, each over a session that it opens anew after an error. */
class Writer {
  acknowledged = 0;
  /** Statements that a server refused. */
  readonly refused: string[] = [];
  /** Attempts that met no server, as while HAProxy takes a configuration. */
  unmet = 0;
  /** The longest time between two answers that were good, in milliseconds. */
  longestGapMs = 0;
  private stopped = false;
  private readonly done: Promise<void>;

  constructor(private readonly uri: string) {
    this.done = this.write();
  }

  async stop(): Promise<this> {
    this.stopped = true;
    await this.done;
    return this;
  }

  private async write(): Promise<void> {
    let lastAt = performance.now();
    for (let turn = 0; !this.stopped; turn += 1) {
      const room = (turn % ROOMS) + 1;
      await query(this.uri, `insert into messages (room_id, user_id, body) values (${room}, 9, 'written meanwhile')`).then(
        () => {
          this.acknowledged += 1;
          this.longestGapMs = Math.max(this.longestGapMs, performance.now() - lastAt);
          lastAt = performance.now();
        },
        (error: unknown) => {
          if ((error as { severity?: string }).severity === undefined) this.unmet += 1;
          else this.refused.push((error as Error).message);
        },
      );
    }
  }
}

describe.skipIf(!hasImage("citusdata/citus:13.2.0"))("copies of shards and the guard", () => {
  const project = new Project("active-passive");
  let uris: Record<string, string>;

  beforeAll(async () => {
    project.configure({ prefix: PREFIX, shardCount: SHARDS, coordinators: 2, etcdMembers: 1, replicationFactor: 1, standbyLag: "1 MB", ports: { leader: 18200, standbys: 18201, nodes: 18202, statistics: 18203 } });
    await project.create();
    await project.up();
    ({ uris } = await project.outputs<{ uris: Record<string, string> }>());
    await sql(`insert into rooms (room_id, name) select n, 'first' from generate_series(1, ${ROOMS}) n`);
  });
  afterAll(() => project.dispose(PREFIX));

  const uri = (name: string): string => uris[name] as string;
  const sql = async (statement: string, name = "leader"): Promise<Record<string, unknown>[]> => (await query(uri(name), statement))[0] ?? [];
  const placements = async (): Promise<unknown> => (await sql("select count(*)::int as placed from citus_shards where table_name = 'messages'::regclass"))[0]?.["placed"];
  const workers = async (): Promise<Record<string, unknown>> => Object.fromEntries((await sql("select nodename, isactive from pg_dist_node where groupid > 0")).map(({ nodename, isactive }) => [nodename as string, isactive]));
  const whole = { [`${PREFIX}worker1`]: true, [`${PREFIX}worker2`]: true, [`${PREFIX}worker3`]: true };
  const isWhole = (): Promise<void> =>
    eventually(90_000, async () => {
      expect(await workers()).toEqual(whole);
      expect(await placements()).toBe(2 * SHARDS);
    });
  const differing = (): Promise<Record<string, unknown>[]> =>
    sql("select shardid from run_command_on_placements('messages', 'select count(*) from %s') group by 1 having count(distinct result) > 1");
  const members = [`${PREFIX}coord-1`, `${PREFIX}coord-2`];
  /** What the guard beside the leader has logged. */
  const guardLog = async (): Promise<string> => {
    const leader = (await patroniCluster(members))?.find(isLeader)?.name ?? "";
    return docker("logs", leader.replace("coord", "guard"));
  };
  const inPostgres = (worker: string, command: string): string => docker("exec", `${PREFIX}${worker}`, "bash", "-c", command);

  test("a changed replication factor gives tables that exist more copies, and takes them away, while they are written to", async () => {
    const before = (await sql("select count(*)::int as count from messages"))[0]?.["count"] as number;
    let acknowledged = 0;
    let unknown = 0;
    for (const replicationFactor of [2, 1, undefined]) {
      const writer = new Writer(uri("leader"));
      project.configure({ replicationFactor });
      await project.up();
      await writer.stop();
      acknowledged += writer.acknowledged;
      unknown += writer.unmet;
      console.log(`to ${replicationFactor}: ${writer.acknowledged} acknowledged, ${writer.unmet} met no server, longest gap ${Math.round(writer.longestGapMs)} ms`);
      // An HAProxy that has just begun takes a standby for the leader until it has asked it.
      expect(writer.refused.filter((message) => message !== "writing to worker nodes is not currently allowed"), `to ${replicationFactor}`).toEqual([]);
      expect(await placements()).toBe((replicationFactor ?? 2) * SHARDS);
      expect(await differing()).toEqual([]);
    }
    const count = (await sql("select count(*)::int as count from messages"))[0]?.["count"] as number;
    expect(count).toBeGreaterThanOrEqual(before + acknowledged);
    // A write whose connection ended may have been done.
    expect(count).toBeLessThanOrEqual(before + acknowledged + unknown);
    expect((await project.up())["update"] ?? 0).toBe(0);
  });

  test("a worker that recovers from a crash is waited for, and not copied", async () => {
    await isWhole();
    const writer = new Writer(uri("leader"));
    const known = await sql("select max(placementid)::int as last from pg_dist_placement");
    inPostgres("worker1", "pkill -9 -f '^postgres: .*checkpointer'");
    await eventually(30_000, async () => expect(await sql("select count(*)::int as count from rooms")).toEqual([{ count: ROOMS }]));
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await writer.stop();
    expect(await workers()).toEqual(whole);
    expect(await guardLog()).not.toContain(`${PREFIX}worker1 disabled`);
    expect(await sql("select max(placementid)::int as last from pg_dist_placement")).toEqual(known);
    expect(writer.longestGapMs).toBeLessThan(20_000);
    console.log(`crash of a worker's process: longest gap ${Math.round(writer.longestGapMs)} ms, ${writer.refused.length} refused`);
  });

  test("a worker that was disabled is no node of the cluster before it is back in step", async () => {
    await isWhole();
    const [room] = await sql(`select room_id from rooms where get_shard_id_for_distribution_column('rooms', room_id) = any (select shardid from citus_shards where nodename = '${PREFIX}worker1') order by 1 limit 1`);
    const value = `select name from rooms where room_id = ${String(room?.["room_id"])}`;
    const nodes = async (): Promise<Set<unknown>> => new Set((await Promise.all(Array.from({ length: 12 }, () => sql("select inet_server_addr()::text as node", "nodes").catch(() => [])))).flat().map(({ node }) => node));
    await eventually(30_000, async () => expect((await nodes()).size).toBe(4));
    docker("pause", `${PREFIX}worker1`);
    await eventually(30_000, async () => expect(await workers()).toMatchObject({ [`${PREFIX}worker1`]: false }));
    await sql(`update rooms set name = 'second' where room_id = ${String(room?.["room_id"])}`);
    docker("unpause", `${PREFIX}worker1`);
    const read: unknown[] = [];
    for (const endsAt = Date.now() + 8000; Date.now() < endsAt; ) read.push(...(await sql(value, "nodes").catch(() => [])).map(({ name }) => name));
    expect(read.length).toBeGreaterThan(50);
    expect(new Set(read)).toEqual(new Set(["second"]));
    await isWhole();
    await eventually(30_000, async () => expect((await nodes()).size).toBe(4));
    expect(await differing()).toEqual([]);
  });

  test("a worker that was away keeps no table of a shard that was copied to another one", async () => {
    await isWhole();
    await sql("create table uneven (key int primary key)");
    await sql("select create_distributed_table('uneven', 'key', colocate_with := 'none', shard_count := 4)");
    const uneven = (): Promise<Record<string, unknown>[]> => sql("select shardid, array_agg(nodename order by nodename) as places from citus_shards where table_name = 'uneven'::regclass group by 1 order by 1");
    // All on two workers: the one that comes back and the third one are as empty, and Citus copies to both.
    for (const { shardid, places } of await uneven()) {
      if (!(places as string[]).includes(`${PREFIX}worker2`)) continue;
      const to = ["worker1", "worker3"].map((name) => `${PREFIX}${name}`).find((name) => !(places as string[]).includes(name)) as string;
      await sql(`select citus_move_shard_placement(${String(shardid)}, '${PREFIX}worker2', 5432, '${to}', 5432, 'block_writes')`);
    }
    docker("kill", `${PREFIX}worker1`);
    await eventually(30_000, async () => expect(await workers()).toMatchObject({ [`${PREFIX}worker1`]: false }));
    docker("start", `${PREFIX}worker1`);
    await isWhole();
    await eventually(60_000, async () => {
      const places = await uneven();
      expect(places.map(({ places: own }) => (own as string[]).length)).toEqual([2, 2, 2, 2]);
      expect(JSON.stringify(places)).toContain(`${PREFIX}worker2`);
      const there = await sql("select nodename, result from run_command_on_workers('select string_agg(relname, '','') from pg_class where relname ~ ''^uneven_[0-9]+$''') join pg_dist_node using (nodename, nodeport)");
      const found = there.flatMap(({ nodename, result }) => (result as string).split(",").map((name) => `${String(nodename)} ${name}`));
      expect(found.sort()).toEqual(places.flatMap(({ shardid, places: own }) => (own as string[]).map((node) => `${node} uneven_${String(shardid)}`)).sort());
    });
    await sql("drop table uneven");
  });

  test("a table that is dropped while a worker is being brought back leaves nothing there", async () => {
    await isWhole();
    await sql("create table zz_dropped (key int primary key)");
    await sql("select create_distributed_table('zz_dropped', 'key', colocate_with := 'none', shard_count := 4)");
    const left = (): string => docker("exec", "-e", "PGOPTIONS=-c citus.override_table_visibility=off", `${PREFIX}worker1`, "psql", "-X", "-U", "postgres", "-At", "-c", "select count(*) from pg_class where relname ~ '^zz_dropped_[0-9]+$'");
    const had = left();
    expect(Number(had)).toBeGreaterThan(0);
    docker("kill", `${PREFIX}worker1`);
    await eventually(30_000, async () => expect(await workers()).toMatchObject({ [`${PREFIX}worker1`]: false }));
    docker("start", `${PREFIX}worker1`);
    // In the moment of the activation: copies of other tables, by their names, come first.
    await sql(`do $$ begin
      while not (select isactive from pg_dist_node where nodename = '${PREFIX}worker1') loop perform pg_sleep(0.005); end loop;
      drop table zz_dropped;
    end $$`);
    expect(left()).toBe(had);
    await isWhole();
    await eventually(60_000, () => Promise.resolve(expect(left()).toBe("0")));
  });

  test("a worker that is back is taken back as soon as a dead one with the only copies is there: Citus activates none before", async () => {
    await isWhole();
    docker("pause", `${PREFIX}worker1`);
    await eventually(30_000, async () => expect(await workers()).toMatchObject({ [`${PREFIX}worker1`]: false }));
    docker("kill", `${PREFIX}worker2`);
    await eventually(30_000, async () => expect(await guardLog()).toMatch(/worker2 is not disabled .*only usable copy/));
    docker("unpause", `${PREFIX}worker1`);
    docker("start", `${PREFIX}worker2`);
    await isWhole();
    expect(await differing()).toEqual([]);
  });

  test("a worker comes back that kept the locks of transactions which others had prepared on it, and each ends as it was decided", async () => {
    await isWhole();
    const groups = Object.fromEntries((await sql("select nodename, groupid from pg_dist_node")).map(({ nodename, groupid }) => [nodename as string, Number(groupid)]));
    const group = (worker: string): number => groups[`${PREFIX}${worker}`] as number;
    const psql = (worker: string, ...statements: string[]): string => docker("exec", `${PREFIX}${worker}`, "psql", "-X", "-U", "postgres", "-At", ...statements.flatMap((statement) => ["-c", statement]));
    /** A transaction of another node that changed the worker's own table `decided`, and the definition of one that an activation drops. */
    const prepare = (gid: string, table: string): string =>
      psql("worker1", "begin", `insert into decided values ('${gid}')`, "set local citus.enable_ddl_propagation to off", `comment on table ${table} is 'prepared'`, `prepare transaction '${gid}'`);
    const record = (gid: string): string => `insert into pg_dist_transaction (groupid, gid) values (${group("worker1")}, '${gid}')`;
    psql("worker1", "create table decided (gid text)");
    docker("pause", `${PREFIX}worker1`);
    await eventually(30_000, async () => expect(await workers()).toMatchObject({ [`${PREFIX}worker1`]: false }));
    docker("stop", `${PREFIX}guard-1`, `${PREFIX}guard-2`);
    try {
      docker("unpause", `${PREFIX}worker1`);
      // Numbers of transactions that no node has come to.
      const [ofCoordinator, ofWorker, ofNobody] = ["citus_0_1000000_9000000000_0", `citus_${group("worker2")}_1000000_9000000000_0`, "citus_0_1000000_9000000001_0"] as const;
      await sql(record(ofCoordinator));
      psql("worker2", record(ofWorker));
      for (const [gid, table] of [[ofCoordinator, "rooms"], [ofWorker, "room_members"], [ofNobody, "messages"]] as const) prepare(gid, table);
      docker("start", `${PREFIX}guard-1`, `${PREFIX}guard-2`);
      await isWhole();
      expect(psql("worker1", "select gid from decided order by gid").split("\n")).toEqual([ofCoordinator, ofWorker]);
      expect(psql("worker1", "select gid from pg_prepared_xacts where gid like '%_9000000%'")).toBe("");
    } finally {
      docker("start", `${PREFIX}guard-1`, `${PREFIX}guard-2`);
      psql("worker1", "drop table decided");
    }
  });

  test("a copy that takes longer than it may stand still goes on while bytes move", async () => {
    await isWhole();
    for (let part = 0; part < 3; part += 1) {
      // So much at once keeps the processors of a small machine so busy that HAProxy may give a session up.
      await eventually(60_000, () => sql("insert into messages (room_id, user_id, body) select 1, 1, string_agg(md5(random()::text), '') from generate_series(1, 8000) row, generate_series(1, 250) part group by row"));
    }
    const leader = (await patroniCluster(members))?.find(isLeader)?.name ?? "";
    const [image, network, environment] = ["{{.Config.Image}}", "{{.HostConfig.NetworkMode}}", "{{json .Config.Env}}"].map((format) => docker("inspect", "--format", format, leader.replace("coord", "guard"))) as [string, string, string];
    docker("stop", `${PREFIX}guard-1`, `${PREFIX}guard-2`);
    const impatient = `${PREFIX}impatient`;
    docker("run", "--detach", "--name", impatient, "--network", network, "--cap-add", "NET_ADMIN", ...[...(JSON.parse(environment) as string[]), "GUARD_STALL_MS=2000"].flatMap((variable) => ["--env", variable]), image);
    try {
      const [place] = await sql("select nodename from citus_shards where shardid = get_shard_id_for_distribution_column('messages', 1) order by 1 limit 1");
      const worker = String(place?.["nodename"]);
      docker("pause", worker);
      await eventually(30_000, async () => expect(await workers()).toMatchObject({ [worker]: false }));
      docker("unpause", worker);
      await isWhole();
      const log = docker("logs", impatient);
      expect(log).not.toContain("stood still");
      expect(Number(/\(force_logical\) in ([\d.]+) s/.exec(log)?.[1])).toBeGreaterThan(2);
    } finally {
      docker("rm", "--force", impatient);
      docker("start", `${PREFIX}guard-1`, `${PREFIX}guard-2`);
    }
  });

  test("a standby that is too far behind is not read from, and status says so", async () => {
    const standby = (await patroniCluster(members))?.find((member) => !isLeader(member))?.name as string;
    const replay = (signal: string): string => docker("exec", standby, "pkill", `-${signal}`, "-f", "^postgres: .*startup");
    replay("STOP");
    try {
      await eventually(60_000, () => sql("create table if not exists filler (text text)"));
      await eventually(60_000, () => query(uri("leader"), "truncate filler", "insert into filler select repeat(md5(n::text), 20) from generate_series(1, 20000) n"));
      await sql("update rooms set name = 'third' where room_id = 1");
      // The leader's position that a standby compares with is up to 1 s old, and HAProxy asks every second.
      await new Promise((resolve) => setTimeout(resolve, 3000));
      expect(await sql("select pg_is_in_recovery() as standby, count(*)::int as count from filler", "standbys")).toEqual([{ standby: false, count: 20_000 }]);
      const { stdout } = await project.command("status", "active-passive");
      expect(stdout).toMatch(new RegExp(`${standby} is .* behind: it is not read from on port 18201 until it is within standbyLag, 1 MB`));
    } finally {
      replay("CONT");
    }
    await eventually(30_000, async () => expect(await sql("select pg_is_in_recovery() as standby", "standbys")).toEqual([{ standby: true }]));
    await sql("drop table filler");
  });

  test("a table with one copy is named by status and by up", async () => {
    await sql("create table alone (id int primary key)");
    await query(uri("leader"), "set citus.shard_replication_factor = 1", "select create_distributed_table('alone', 'id', colocate_with := 'none', shard_count := 3)");
    const { stdout } = await project.command("status", "active-passive");
    expect(stdout).toMatch(/alone of .* has one copy of each shard: a worker with one of them is not taken out of service/);
    await sql("drop table alone");
  });
});

describe.skipIf(!hasImage("citusdata/citus:13.2.0"))("a worker's own port", () => {
  const project = new Project("active-active");
  let uris: Record<string, string>;
  const PORT = 18210;

  beforeAll(async () => {
    project.configure({ prefix: PREFIX, shardCount: 4, clusters: { a: { workers: 3, port: PORT } } });
    await project.create();
    await project.up();
    ({ uris } = await project.outputs<{ uris: Record<string, string> }>());
    await sql(`insert into rooms (room_id, name) select n, 'first' from generate_series(1, ${ROOMS}) n`);
  });
  afterAll(() => project.dispose(PREFIX));

  const sql = async (statement: string): Promise<Record<string, unknown>[]> => (await query(uris["a"] as string, statement))[0] ?? [];
  /** The port of the first worker, which is not on it while it is out of service. */
  const own = (): string => (uris["a"] as string).replace(`:${PORT}`, `:${PORT + 1}`);
  const isActive = async (): Promise<unknown> => (await sql(`select isactive from pg_dist_node where nodename = '${PREFIX}worker_a1'`))[0]?.["isactive"];
  const isOpen = (): Promise<void> => eventually(90_000, async () => expect((await query(own(), "select inet_server_port() as port"))[0]).toEqual([{ port: 5432 }]));

  /** Has what one member sends to another go nowhere. @returns what undoes it. */
  const cutOff = (from: string, to: string): (() => void) => {
    const address = docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", `${to}-holder`);
    const image = docker("inspect", "--format", "{{.Config.Image}}", `${PREFIX}guard_a`);
    const route = (verb: string): string => docker("run", "--rm", "--network", `container:${from}-holder`, "--cap-add", "NET_ADMIN", "--entrypoint", "ip", image, "route", verb, "blackhole", address);
    route("add");
    return () => route("del");
  };

  test.each<[string, number, () => () => void]>([
    [
      "is not there for one that was frozen, from when it wakes up",
      0,
      () => {
        docker("pause", `${PREFIX}worker_a1`);
        return () => docker("unpause", `${PREFIX}worker_a1`);
      },
    ],
    ["is not there for one that runs, and that its coordinator's packets do not reach", 2500, () => cutOff(`${PREFIX}coord_a`, `${PREFIX}worker_a1`)],
    ["is not there for one that runs, and whose packets do not reach its coordinator", 2500, () => cutOff(`${PREFIX}worker_a1`, `${PREFIX}coord_a`)],
  ])("%s", async (_, shutsWithinMs, breakIt) => {
    await isOpen();
    const [room] = await sql(`select room_id from rooms where get_shard_id_for_distribution_column('rooms', room_id) = any (select shardid from citus_shards where nodename = '${PREFIX}worker_a1') order by 1 limit 1`);
    const only = `where room_id = ${String(room?.["room_id"])}`;
    await sql(`update rooms set name = 'first' ${only}`);
    const session = new Client({ connectionString: own() });
    let ended = false;
    session.on("error", () => (ended = true));
    await session.connect();

    const heal = breakIt();
    const read: unknown[] = [];
    try {
      await eventually(30_000, async () => expect(await isActive()).toBe(false));
      await sql(`update rooms set name = 'second' ${only}`);
      await new Promise((resolve) => setTimeout(resolve, shutsWithinMs));
      for (const endsAt = Date.now() + 1000; Date.now() < endsAt; ) read.push(...((await query(own(), `select name from rooms ${only}`).catch(() => [[]]))[0] ?? []).map(({ name }) => name));
      expect(read).toEqual([]);
      expect(ended).toBe(true);
    } finally {
      heal();
    }
    for (const endsAt = Date.now() + 8000; Date.now() < endsAt; ) read.push(...((await query(own(), `select name from rooms ${only}`).catch(() => [[]]))[0] ?? []).map(({ name }) => name));
    expect(new Set(read)).toEqual(new Set(["second"]));
    await session.end().catch(() => undefined);
  });

  test("stays there while the guard is away, which disables nobody then", async () => {
    await isOpen();
    docker("stop", `${PREFIX}guard_a`);
    try {
      await new Promise((resolve) => setTimeout(resolve, 3000));
      expect((await query(own(), "select 1 as one"))[0]).toEqual([{ one: 1 }]);
    } finally {
      docker("start", `${PREFIX}guard_a`);
    }
  });

  test("does not keep a worker from shutting down in order when its holder is stopped", async () => {
    await isOpen();
    const since = new Date().toISOString();
    docker("stop", `${PREFIX}worker_a1-holder`);
    docker("start", `${PREFIX}worker_a1-holder`, `${PREFIX}worker_a1`);
    await isOpen();
    // PostgreSQL logs to standard error.
    const log = spawnSync("docker", ["logs", "--since", since, `${PREFIX}worker_a1`], { encoding: "utf8", timeout: 30_000 }).stderr;
    expect(log).toContain("database system was shut down at");
    expect(log).not.toContain("not properly shut down");
  });

  test("asks for the password", async () => {
    await isOpen();
    await expect(query(own().replace(/:[^:@]*@/, ":wrong@"), "select 1")).rejects.toThrow(/password authentication failed/);
  });
});
