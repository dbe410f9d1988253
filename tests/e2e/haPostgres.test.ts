import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { docker, eventually, Project, query } from "./project";

const PREFIX = "e2e-ha-";
const PORT = 15400;

interface Outputs {
  readonly password: string;
}

/** EtcdCluster, PatroniGroup and HAProxy as a highly available PostgreSQL; needs no Citus. */
describe("examples/ha-postgres", () => {
  const project = new Project("e2e", "examples/ha-postgres");
  let uri: string;
  let standbysUri: string;

  beforeAll(async () => {
    project.configure({ prefix: PREFIX, port: PORT });
    await project.create();
  });
  afterAll(() => project.dispose(PREFIX));

  const leader = (): string => {
    const members = JSON.parse(docker("exec", `${PREFIX}db-1`, "patronictl", "list", "-f", "json")) as { Member: string; Role: string }[];
    return members.find(({ Role }) => Role === "Leader")?.Member ?? "none";
  };

  test("comes up with a leader and two streaming standbys", async () => {
    expect(await project.up()).toMatchObject({ create: expect.any(Number) as number });
    const { password } = await project.outputs<Outputs>();
    uri = `postgresql://postgres:${password}@127.0.0.1:${PORT}/postgres`;
    standbysUri = `postgresql://postgres:${password}@127.0.0.1:${PORT + 1}/postgres`;
    const [rows] = await query(uri, "select application_name, state from pg_stat_replication order by 1");
    expect(rows).toHaveLength(2);
    expect(rows?.map(({ state }) => state)).toEqual(["streaming", "streaming"]);
  });

  test("up again changes nothing", async () => {
    const { same, ...changes } = await project.up();
    expect(changes).toEqual({});
    expect(same).toBeGreaterThan(20);
  });

  test("the leader's port writes, the standbys' port reads and refuses writes", async () => {
    await query(uri, "create table kept (id int primary key)", "insert into kept select generate_series(1, 100)");
    await eventually(5000, async () => {
      const [recovery, rows] = await query(standbysUri, "select pg_is_in_recovery() as standby", "select count(*)::int as count from kept");
      expect([recovery, rows]).toEqual([[{ standby: true }], [{ count: 100 }]]);
    });
    await expect(query(standbysUri, "insert into kept values (101)")).rejects.toThrow(/read-only transaction/);
  });

  test("a changed parameter reaches every member, and a failover keeps it", async () => {
    project.configure({ workMem: "24MB" });
    expect(await project.up()).toMatchObject({ update: 1 });
    expect(await query(uri, "show work_mem")).toEqual([[{ work_mem: "24MB" }]]);
    const before = leader();
    docker("exec", `${PREFIX}db-1`, "patronictl", "switchover", "--force");
    await eventually(15_000, async () => {
      expect(leader()).not.toBe(before);
      expect(await query(uri, "show work_mem", "select pg_is_in_recovery() as standby")).toEqual([[{ work_mem: "24MB" }], [{ standby: false }]]);
    });
  });

  test("a leader that is killed is followed by a standby, and no row is lost", async () => {
    const before = leader();
    docker("exec", before, "bash", "-c", "kill -9 $(head -1 /var/lib/postgresql/data/pgdata/postmaster.pid)");
    await eventually(60_000, async () => {
      await query(uri, "insert into kept select coalesce(max(id), 0) + 1 from kept");
    });
    const [rows] = await query(uri, "select count(*)::int as count from kept where id <= 100");
    expect(rows).toEqual([{ count: 100 }]);
  });

  test("works after every member and etcd were restarted at once", async () => {
    const containers = docker("ps", "--format", "{{.Names}}").split("\n").filter((name) => name.startsWith(PREFIX) && !name.endsWith("-holder"));
    docker("restart", "-t", "30", ...containers);
    await eventually(60_000, async () => {
      const [rows] = await query(uri, "select count(*)::int as count from kept where id <= 100", "insert into kept select max(id) + 1 from kept");
      expect(rows).toEqual([{ count: 100 }]);
    });
  });

  test("destroy leaves no container, network or volume", async () => {
    await project.pulumi("destroy", "--yes", "--skip-preview");
    expect(project.leftovers(PREFIX)).toEqual([]);
  });
});
