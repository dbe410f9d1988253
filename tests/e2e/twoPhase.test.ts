import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SteadyWriters } from "../steadyWriters";
import { docker, eventually, hasImage, Project } from "./project";

const PREFIX = "e2e-2p-";
const GID = "citus_0_999999_888888_0";

/** Runs statements in a container's PostgreSQL, and gives what they print. */
function sql(container: string, ...statements: string[]): string {
  return docker("exec", "-e", "PGOPTIONS=-c client_min_messages=warning", container, "psql", "-U", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", ...statements.flatMap((statement) => ["-c", statement]));
}

/** Citus' recovery of two-phase commits asks whoever the metadata names, also a member that is a standby, which shows no prepared transaction. */
describe.skipIf(!hasImage("citusdata/citus:13.2.0"))("a transaction over two worker groups, decided and not finished", () => {
  const project = new Project("two-phase");
  let coordinator: string;
  let otherCoordinator: string;
  let leader: string;
  let standby: string;

  beforeAll(async () => {
    project.configure({
      topology: "active-passive",
      prefix: PREFIX,
      coordinators: 2,
      etcdMembers: 1,
      shardCount: 4,
      workers: { groups: 2, members: 2 },
      keeper: false,
      ports: { leader: 15640, standbys: 15641, nodes: 15642, statistics: 15643 },
    });
    expect(await project.command("up", "two-phase")).toMatchObject({ code: 0 });
    [coordinator, otherCoordinator] = ([1, 2].map((number) => `${PREFIX}coord-${number}`) as [string, string]).sort((one) => (sql(one, "SELECT pg_is_in_recovery()") === "f" ? -1 : 1));
    leader = sql(coordinator, "SELECT nodename FROM pg_dist_node WHERE groupid = 101 AND noderole = 'primary'");
    standby = [1, 2].map((number) => `${PREFIX}worker1-${number}`).find((name) => name !== leader) as string;
  });
  afterAll(() => project.dispose(PREFIX));

  const connect = (container: string, name: string): string => docker("exec", "-e", `PGAPPNAME=${name}`, container, "psql", "-U", "postgres", "-XAtqc", "SELECT pg_is_in_recovery()");

  test("a member in recovery refuses Citus, and nobody else", () => {
    for (const name of ["citus_internal gpid=10000000001", "citus_rebalancer gpid=10000000001", "citus_run_command gpid=10000000001"]) {
      expect(() => connect(standby, name)).toThrow(/FATAL: {2}this member is in recovery/);
      expect(connect(leader, name)).toBe("f");
    }
    expect(connect(standby, "psql")).toBe("t");
  });

  test("is finished later, and not rolled back, where the metadata names a standby for a moment", async () => {
    const [shard, key] = sql(
      coordinator,
      `SELECT 'rooms_' || shardid, room_id FROM (SELECT room_id, get_shard_id_for_distribution_column('rooms', room_id) AS shardid FROM generate_series(1, 1000) AS room_id) AS rooms
       JOIN citus_shards USING (shardid) WHERE nodename = '${leader}' LIMIT 1`,
    ).split("|") as [string, string];
    const rename = (from: string, to: string): string => `UPDATE pg_dist_node SET nodename = '${to}' WHERE nodename = '${from}'`;
    const swap = [rename(leader, "between"), rename(standby, leader), rename("between", standby)].join("; ");
    sql(coordinator, "ALTER SYSTEM SET citus.recover_2pc_interval = -1", "SELECT pg_reload_conf()");
    docker("exec", coordinator, "patronictl", "pause", "--wait");
    docker(
      ...["exec", leader, "psql", "-U", "postgres", "-q", "-v", "ON_ERROR_STOP=1"],
      ...["BEGIN", "SET LOCAL citus.enable_manual_changes_to_shards = on", `INSERT INTO ${shard} (room_id, name) VALUES (${key}, 'acknowledged')`, `PREPARE TRANSACTION '${GID}'`].flatMap((statement) => ["-c", statement]),
    );
    sql(coordinator, `INSERT INTO pg_dist_transaction (groupid, gid) VALUES (101, '${GID}')`);

    await eventually(10_000, () => Promise.resolve(expect(sql(standby, "SELECT pg_last_wal_replay_lsn() = pg_last_wal_receive_lsn()")).toBe("t")));
    expect(sql(standby, "SELECT count(*) FROM pg_prepared_xacts")).toBe("0");
    sql(coordinator, swap);
    sql(coordinator, "SELECT recover_prepared_transactions()");
    expect(sql(coordinator, `SELECT count(*) FROM pg_dist_transaction WHERE gid = '${GID}'`)).toBe("1");
    sql(coordinator, swap);
    sql(coordinator, "SELECT recover_prepared_transactions()");
    expect(sql(coordinator, `SELECT name FROM rooms WHERE room_id = ${key}`)).toBe("acknowledged");
    expect(sql(leader, "SELECT count(*) FROM pg_prepared_xacts")).toBe("0");
    docker("exec", coordinator, "patronictl", "resume", "--wait");
  });

  test("and a set-up whose session is ended meanwhile begins again, over another one", async () => {
    // It takes a while in the middle of its work.
    appendFileSync(path.join(project.directory, "assets/sql/schema.sql"), "\nSELECT pg_sleep(3);\n");
    const updated = project.pulumi("up", "--yes", "--skip-preview");
    const ends = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'citus-sharding set-up' AND wait_event = 'PgSleep'";
    await eventually(60_000, () => Promise.resolve(expect(sql(coordinator, ends)).toBe("1")));
    const out = await updated;
    expect(out).toMatch(/ended the session while .*: the set-up begins again/);
  });

  test("is finished by no leader whose standbys did not confirm it, and who stops because it has lost its lease", async () => {
    const etcd = `${PREFIX}etcd-1`;
    const client = spawn("docker", [
      ...["exec", coordinator, "psql", "-U", "postgres", "-q"],
      ...["BEGIN", "CREATE TABLE decided (id bigint PRIMARY KEY)", "SELECT create_distributed_table('decided', 'id')", "SELECT pg_sleep(2)", "COMMIT"].flatMap((statement) => ["-c", statement]),
    ]);
    const ended = new Promise<number | null>((resolve) => client.on("close", resolve));
    const waiting = (event: string): string => sql(coordinator, `SELECT count(*) FROM pg_stat_activity WHERE wait_event = '${event}'`);
    await eventually(20_000, () => Promise.resolve(expect(waiting("PgSleep")).toBe("1")));
    // Without etcd the leader cannot take its standby out of those that it waits for.
    docker("pause", etcd, otherCoordinator);
    // What is in the standby's socket already would reach it afterwards.
    sql(coordinator, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication");
    await eventually(5000, () => Promise.resolve(expect(Number(waiting("SyncRep"))).toBeGreaterThan(0)));
    expect(await ended).not.toBe(0);
    expect(sql(leader, "SELECT to_regclass('decided') IS NULL")).toBe("t");

    docker("kill", coordinator);
    docker("unpause", etcd, otherCoordinator);
    await eventually(60_000, () => Promise.resolve(expect(sql(otherCoordinator, "SELECT pg_is_in_recovery()")).toBe("f")));
    await eventually(30_000, () => {
      sql(otherCoordinator, "SELECT recover_prepared_transactions()");
      return Promise.resolve(expect(sql(leader, "SELECT count(*) FROM pg_prepared_xacts")).toBe("0"));
    });
    expect([otherCoordinator, leader].map((container) => sql(container, "SELECT to_regclass('decided') IS NULL"))).toEqual(["t", "t"]);
    docker("start", coordinator);
    await eventually(60_000, () => Promise.resolve(expect(sql(otherCoordinator, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")).toBe("1")));
  });

  test("an update replaces the members of worker groups one after the other, and who leads afterwards takes Citus, and who follows refuses it", async () => {
    const { uris } = await project.outputs<{ uris: Record<string, string> }>();
    const members = [1, 2].flatMap((group) => [1, 2].map((number) => `${PREFIX}worker${group}-${number}`));
    const inspect = (format: string): string[] => members.map((name) => docker("inspect", "--format", format, name));
    const writers = new SteadyWriters(uris["leader"] as string, "INSERT INTO rooms (room_id, name) VALUES ($1, 'turn') ON CONFLICT (room_id) DO UPDATE SET name = rooms.name", [1, 2, 3, 4, 5, 6]);
    project.configure({ limits: { worker: { shm: "300 MB" } } });
    const out = await project.pulumi("up", "--yes", "--skip-preview");
    // A machine that runs tests is slower than one that is measured.
    expect((await writers.stop()).longestMs).toBeLessThan(4000);
    expect(inspect("{{.HostConfig.ShmSize}}")).toEqual(members.map(() => String(300 * 1024 ** 2)));
    const created = inspect("{{.Created}}");
    for (const first of [0, 2]) expect((created[first] as string) < (created[first + 1] as string)).toBe(true);
    for (const group of [1, 2]) expect(out).toMatch(new RegExp(`${PREFIX}worker${group}-[12]: leads now, after ${PREFIX}worker${group}-[12]`));
    for (const member of members) {
      const isStandby = sql(member, "SELECT pg_is_in_recovery()") === "t";
      if (isStandby) expect(() => connect(member, "citus_internal gpid=10000000001")).toThrow(/FATAL: {2}this member is in recovery/);
      else expect(connect(member, "citus_internal gpid=10000000001")).toBe("f");
    }
  });
});
