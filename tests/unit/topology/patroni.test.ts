import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { planPatroni, type PatroniOptions } from "../../../topology/patroni";
import type { ContainerPlan } from "../../../topology/plan";

const HOSTS = ["etcd-1:2379", "etcd-2:2379", "etcd-3:2379"];
const citus = { group: 0, shardCount: 32, replicationFactor: 1 };

function file(container: ContainerPlan | undefined, name: string): unknown {
  const content = container?.files.find(({ path }) => path === `/etc/patroni/${name}`)?.content;
  if (content === undefined) throw new Error(`no ${name}`);
  return parse(content);
}

describe("a Patroni group that is Citus's coordinator", () => {
  const plan = planPatroni("coord", HOSTS, { scope: "citusap", citus });
  const [first] = plan.members;

  test("has three members, held, without a port on the machine", () => {
    expect(plan.members.map(({ name, role, held, ports, volume, user, limits }) => ({ name, role, held, ports, volume, user, limits }))).toEqual(
      ["coord-1", "coord-2", "coord-3"].map((name) => ({
        name,
        role: "coordinator",
        held: true,
        ports: [],
        volume: { name: `${name}-data`, path: "/var/lib/postgresql/data" },
        user: "postgres",
        limits: { shm: "256 MB" },
      })),
    );
  });

  test("runs Patroni, which SIGTERM ends with a clean hand-over", () => {
    expect(first).toMatchObject({
      entrypoint: ["patroni"],
      command: ["/etc/patroni"],
      environment: { PATRONI_SUPERUSER_USERNAME: "postgres", PATRONI_REPLICATION_USERNAME: "replicator", PATRONI_REWIND_USERNAME: "rewinder" },
      healthCheck: { command: ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"], intervalSeconds: 5, timeoutSeconds: 3, retries: 3, startPeriodSeconds: 60 },
      stopSignal: "SIGTERM",
      stopGraceSeconds: 60,
    });
  });

  test("patronictl finds its configuration without options", () => {
    expect(first?.environment["PATRONICTL_CONFIG_FILE"]).toBe("/etc/patroni/patroni.yml");
    expect(first?.files.map(({ path }) => path)).toContain("/etc/patroni/patroni.yml");
  });

  test("patroni.yml of each member", () => {
    for (const member of plan.members) {
      expect(file(member, "patroni.yml")).toEqual({
        scope: "citusap",
        namespace: "/service",
        name: member.name,
        restapi: { listen: "0.0.0.0:8008", connect_address: `${member.name}:8008` },
        etcd3: { hosts: HOSTS },
        citus: { database: "postgres", group: 0 },
        postgresql: {
          listen: "0.0.0.0:5432",
          connect_address: `${member.name}:5432`,
          data_dir: "/var/lib/postgresql/data/pgdata",
          bin_dir: "/usr/lib/postgresql/17/bin",
          pgpass: "/tmp/pgpass",
          basebackup: [{ checkpoint: "fast" }],
        },
      });
    }
  });

  test("the dynamic configuration fails over fast and keeps what was acknowledged", () => {
    expect(plan.setup.dynamicConfiguration).toMatchObject({
      ttl: 20,
      loop_wait: 1,
      retry_timeout: 3,
      primary_start_timeout: 0,
      primary_stop_timeout: 20,
      synchronous_mode: "quorum",
      synchronous_node_count: 1,
      failsafe_mode: true,
      maximum_lag_on_failover: 2 ** 50,
      postgresql: { use_pg_rewind: true, use_slots: true },
    });
  });

  test("only passwords open it over the network", () => {
    expect(plan.setup.dynamicConfiguration).toMatchObject({
      postgresql: { pg_hba: ["local all all trust", "host replication replicator all scram-sha-256", "host all all all scram-sha-256"] },
    });
  });

  test("Patroni's own rule for its times holds", () => {
    const { ttl, loop_wait: loop, retry_timeout: retry } = plan.setup.dynamicConfiguration as Record<string, number>;
    expect(ttl).toBeGreaterThanOrEqual(20);
    expect((loop ?? NaN) + 2 * (retry ?? NaN)).toBeLessThanOrEqual(ttl ?? NaN);
  });

  test("a fresh group begins with the dynamic configuration that the set-up keeps", () => {
    const { bootstrap } = file(first, "bootstrap.yml") as { bootstrap: { dcs: { postgresql: { parameters: unknown } }; initdb: unknown } };
    const { postgresql, ...dcs } = plan.setup.dynamicConfiguration;
    expect(bootstrap.dcs).toEqual({ ...dcs, postgresql: { ...(postgresql as object), parameters: plan.setup.parameters } });
    expect(bootstrap.initdb).toEqual([{ encoding: "UTF8" }, { locale: "C.UTF-8" }, "data-checksums"]);
    expect(first?.files.find(({ path }) => path.endsWith("bootstrap.yml"))?.firstBoot).toBe(true);
    expect(first?.files.find(({ path }) => path.endsWith("patroni.yml"))?.firstBoot).toBeUndefined();
  });

  test("the files of all members but for their names are alike, and no secret is in them", () => {
    const texts = plan.members.map(({ name, files }) => JSON.stringify(files).replaceAll(name, "NAME"));
    expect(new Set(texts).size).toBe(1);
    expect(JSON.stringify(plan)).not.toMatch(/password"?:/i);
  });

  test("the set-up", () => {
    expect(plan.setup).toMatchObject({
      kind: "patroni",
      scope: "citusap",
      citusGroup: 0,
      members: ["coord-1", "coord-2", "coord-3"].map((name) => ({ host: name, port: 5432, container: name })),
      parameters: {
        max_connections: "300",
        wal_level: "logical",
        shared_preload_libraries: "citus,pg_stat_statements",
        "citus.shard_count": "32",
        "citus.shard_replication_factor": "1",
      },
      timeoutSeconds: 300,
    });
  });
});

describe("options of a Patroni group", () => {
  test("without Citus it is PostgreSQL alone", () => {
    const { members, setup } = planPatroni("ha", HOSTS);
    expect(members[0]?.role).toBe("member");
    expect(file(members[0], "patroni.yml")).not.toHaveProperty("citus");
    expect(setup).not.toHaveProperty("citusGroup");
    expect(setup.scope).toBe("ha");
    expect(Object.keys(setup.parameters).filter((name) => name.startsWith("citus."))).toEqual([]);
    expect(setup.parameters["shared_preload_libraries"]).toBe("pg_stat_statements");
  });

  test("another group than 0 is a worker", () => {
    const { members, setup } = planPatroni("w1", HOSTS, { citus: { ...citus, group: 1 } });
    expect(members[0]?.role).toBe("worker");
    expect(file(members[0], "patroni.yml")).toMatchObject({ citus: { group: 1 } });
    expect(setup.citusGroup).toBe(1);
  });

  test.each<[number, string, string]>([
    [17, "/var/lib/postgresql/data", "/var/lib/postgresql/data/pgdata"],
    [18, "/var/lib/postgresql", "/var/lib/postgresql/18/docker"],
  ])("PostgreSQL %d mounts %s, and its data directory %s can be renamed", (postgresMajor, mount, directory) => {
    const { members } = planPatroni("ha", HOSTS, { postgresMajor });
    expect(members[0]?.volume?.path).toBe(mount);
    expect(file(members[0], "patroni.yml")).toMatchObject({ postgresql: { data_dir: directory, bin_dir: `/usr/lib/postgresql/${postgresMajor}/bin` } });
    expect(directory.startsWith(`${mount}/`)).toBe(true);
  });

  test("a prefix is in names and in the scope that is not given", () => {
    const { members, setup } = planPatroni("ha", HOSTS, { prefix: "test-", members: 2 });
    expect(members.map(({ name, volume }) => [name, volume?.name])).toEqual([["test-ha-1", "test-ha-1-data"], ["test-ha-2", "test-ha-2-data"]]);
    expect(setup.scope).toBe("test-ha");
    expect(planPatroni("ha", HOSTS, { prefix: "test-", scope: "ours" }).setup.scope).toBe("ours");
  });

  test.each<[string, PatroniOptions, object]>([
    ["parameters", { parameters: { work_mem: "8MB" } }, { work_mem: "8MB" }],
    ["a bound on what a standby that is away keeps of the leader's disk", {}, { max_slot_wal_keep_size: "8GB" }],
    ["another bound", { parameters: { max_slot_wal_keep_size: "100GB" } }, { max_slot_wal_keep_size: "100GB" }],
    ["libraries", { preloadLibraries: ["pg_cron"] }, { shared_preload_libraries: "pg_stat_statements,pg_cron" }],
  ])("%s reach the dynamic configuration, where a failover keeps them", (_, options, parameters) => {
    const { members, setup } = planPatroni("ha", HOSTS, options);
    expect(setup.parameters).toMatchObject(parameters);
    expect(file(members[0], "bootstrap.yml")).toMatchObject({ bootstrap: { dcs: { postgresql: { parameters } } } });
  });

  test("limits win over the default shm", () => {
    const { members } = planPatroni("ha", HOSTS, { limits: { memory: "1 GB", shm: "512 MB" } });
    expect(members[0]?.limits).toEqual({ memory: "1 GB", shm: "512 MB" });
  });

  test("a parameter that changes leaves the lasting part of the containers alone", () => {
    const lasting = (options: PatroniOptions): unknown =>
      planPatroni("ha", HOSTS, options).members.map((member) => ({ ...member, files: member.files.filter(({ firstBoot }) => firstBoot !== true) }));
    expect(lasting({ parameters: { work_mem: "8MB" } })).toEqual(lasting({}));
  });

  test("no member is refused", () => {
    expect(() => planPatroni("ha", HOSTS, { members: 0 })).toThrow("PatroniGroup ha: members is 0; it must be at least 1");
  });
});
