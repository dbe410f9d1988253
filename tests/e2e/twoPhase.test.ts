import { afterAll, beforeAll, describe, expect, test } from "vitest";
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
  const coordinator = `${PREFIX}coord-1`;
  let leader: string;
  let standby: string;

  beforeAll(async () => {
    project.configure({
      topology: "active-passive",
      prefix: PREFIX,
      coordinators: 1,
      etcdMembers: 1,
      shardCount: 4,
      workers: { groups: 2, members: 2 },
      keeper: false,
      ports: { leader: 15640, standbys: 15641, nodes: 15642, statistics: 15643 },
    });
    expect(await project.command("up", "two-phase")).toMatchObject({ code: 0 });
    leader = sql(coordinator, "SELECT nodename FROM pg_dist_node WHERE groupid = 101 AND noderole = 'primary'");
    standby = [1, 2].map((number) => `${PREFIX}worker1-${number}`).find((name) => name !== leader) as string;
  });
  afterAll(() => project.dispose(PREFIX));

  test("a member in recovery refuses Citus, and nobody else", () => {
    const connect = (container: string, name: string): string => docker("exec", "-e", `PGAPPNAME=${name}`, container, "psql", "-U", "postgres", "-XAtqc", "SELECT pg_is_in_recovery()");
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
  });
});
