import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { publishedPorts } from "../../../config/names";
import { parseSettings, SettingsError } from "../../../config/parse";
import type { Settings } from "../../../config/settings";
import { containersOf, holderName, ROLE_LABEL, STACK_LABEL, type StackPlan } from "../../../topology/plan";
import { planStack } from "../../../topology/stack";

const read = (path: string): string => `text of ${path}`;
const plan = (input: Record<string, unknown>): StackPlan => planStack(parseSettings(input).settings, read);
const names = (stack: StackPlan): string[] => containersOf(stack).map(({ name }) => name);

describe("active-active", () => {
  test("by default", () => {
    const stack = plan({ topology: "active-active" });
    expect(stack).toMatchObject({ topology: "active-active", network: "citus-active-active" });
    expect(names(stack)).toEqual(["coord_a", "worker_a1", "worker_a2", "worker_a3", "guard_a", "coord_b", "worker_b1", "worker_b2", "worker_b3", "guard_b", "keeper-active-active"]);
    expect(containersOf(stack).flatMap(({ ports }) => ports.map(({ external }) => external))).toEqual([5432, 5433, 5434, 5435, 6432, 6433, 6434, 6435]);
    for (const { setup } of stack.clusters) {
      expect(setup).toMatchObject({ replicationFactor: 2, shardCount: 32, schema: { sql: "text of assets/sql/schema.sql", tables: { rooms: "room_id", room_members: "room_id", messages: "room_id" } } });
    }
    expect([stack.etcd, stack.coordinators, stack.haproxy]).toEqual([undefined, undefined, undefined]);
  });

  test("a third cluster gets 7432 to 7435 and leaves the others alone", () => {
    const before = plan({ topology: "active-active" });
    const after = plan({ topology: "active-active", clusters: { a: {}, b: {}, c: {} } });
    expect(after.clusters.slice(0, 2)).toEqual(before.clusters);
    const { coordinator, workers } = after.clusters[2] ?? {};
    expect([coordinator, ...(workers ?? [])].map((node) => [node?.name, node?.ports[0]?.external])).toEqual([["coord_c", 7432], ["worker_c1", 7433], ["worker_c2", 7434], ["worker_c3", 7435]]);
  });

  test("clusters share their tenants, unless nobody wants a fence or there are no tables", () => {
    const { clusters, tenancy } = plan({ topology: "active-active" });
    expect(tenancy?.clusters.map(({ name, endpoint }) => [name, endpoint.port])).toEqual([["a", 5432], ["b", 6432]]);
    expect(tenancy?.clusters.map(({ weight, region }) => [weight, region])).toEqual([[1, undefined], [1, undefined]]);
    const weighted = plan({ topology: "active-active", clusters: { a: { weight: 3 }, b: { region: "eu" } } });
    expect(weighted.tenancy?.clusters).toMatchObject([{ name: "a", weight: 3 }, { name: "b", weight: 1, region: "eu" }]);
    expect(weighted.clusters).toEqual(clusters);
    expect(clusters.map(({ setup }) => setup.fence)).toEqual([true, true]);
    for (const without of [plan({ topology: "active-active", tenantFence: false }), plan({ topology: "active-active", schema: { tables: {} } })]) {
      expect(without.tenancy).toBeUndefined();
      expect(without.clusters.map(({ setup }) => setup.fence)).toEqual([undefined, undefined]);
    }
    expect(plan({ topology: "active-passive" })).not.toHaveProperty("tenancy");
  });

  test("row-level security is part of the set-up where it is wanted, in both topologies", () => {
    for (const topology of ["active-active", "active-passive"]) {
      expect(plan({ topology }).clusters[0]?.setup.schema).not.toHaveProperty("rowSecurity");
      expect(plan({ topology, schema: { rowSecurity: true } }).clusters[0]?.setup.schema).toHaveProperty("rowSecurity", true);
    }
  });

  test("a fourth worker of b changes b alone, by one worker", () => {
    const before = plan({ topology: "active-active" });
    const after = plan({ topology: "active-active", clusters: { a: {}, b: { workers: 4 } } });
    expect(after.clusters[0]).toEqual(before.clusters[0]);
    expect(after.clusters[1]?.workers.slice(0, 3)).toEqual(before.clusters[1]?.workers);
    expect(after.clusters[1]?.workers[3]).toMatchObject({ name: "worker_b4", ports: [{ external: 6436 }] });
  });
});

describe("active-passive", () => {
  const stack = plan({ topology: "active-passive" });

  test("by default", () => {
    expect(stack).toMatchObject({ topology: "active-passive", network: "citus-active-passive" });
    expect(names(stack)).toEqual(["etcd-1", "etcd-2", "etcd-3", "coord-1", "coord-2", "coord-3", "worker1", "worker2", "worker3", "guard-1", "guard-2", "guard-3", "haproxy", "keeper-active-passive"]);
    expect(containersOf(stack).flatMap(({ ports }) => ports.map(({ external }) => external))).toEqual([5000, 5001, 5002, 7000]);
  });

  test("the coordinator is the Patroni group, which the set-up reaches through HAProxy", () => {
    expect(stack.coordinators?.setup).toMatchObject({ scope: "citusap", citusGroup: 0 });
    expect(stack.clusters).toHaveLength(1);
    expect(stack.clusters[0]).toMatchObject({ name: "citusap", setup: { endpoint: { host: "127.0.0.1", port: 5000 }, coordinatorParameters: {}, replicationFactor: 2 } });
    expect(stack.clusters[0]?.coordinator).toBeUndefined();
    expect(stack.clusters[0]?.setup.coordinator).toBeUndefined();
  });

  test("HAProxy and Patroni know the members and etcd by the plan's names", () => {
    const configuration = stack.haproxy?.files[0]?.content ?? "";
    for (const name of ["coord-1", "coord-2", "coord-3"]) expect(configuration).toContain(`server ${name} ${name}:5432`);
    expect(stack.haproxy?.files[1]?.content).toBe("text of assets/haproxy/cut.lua");
    for (const { files } of stack.coordinators?.members ?? []) for (const host of stack.etcd?.hosts ?? []) expect(files[0]?.content).toContain(host);
  });

  test("the pooler is there if it is asked for, and finds HAProxy by its name and its port inside", () => {
    expect(stack.pooler).toBeUndefined();
    const pooled = plan({ topology: "active-passive", prefix: "t-", pooler: { poolSize: 7 }, ports: { leader: 15000, pooler: 16432 } });
    expect(names(pooled).slice(-3)).toEqual(["t-haproxy", "t-pooler", "t-keeper-active-passive"]);
    expect(pooled.pooler).toMatchObject({ role: "pooler", environment: { PGHOST: pooled.haproxy?.name, PGPORT: String(pooled.haproxy?.ports[0]?.internal) }, ports: [{ external: 16432 }] });
    expect(pooled.pooler?.files.map(({ content }) => content)).toEqual([expect.stringContaining("default_pool_size = 7\n"), "text of assets/pgbouncer/start.sh", "text of assets/pgbouncer/pause.sh"]);
    expect({ ...pooled, pooler: undefined }).toEqual({ ...plan({ topology: "active-passive", prefix: "t-", ports: { leader: 15000 } }), pooler: undefined });
  });

  test("parameters go where their members are: by Patroni to coordinators, by the set-up to workers", () => {
    const { coordinators, clusters } = plan({
      topology: "active-passive",
      parameters: { work_mem: "8MB" },
      coordinatorParameters: { jit: false },
      workerParameters: { work_mem: "4MB" },
      preloadLibraries: ["pg_cron"],
      shardCount: 16,
    });
    expect(coordinators?.setup.parameters).toMatchObject({ work_mem: "8MB", jit: "off", shared_preload_libraries: "citus,pg_stat_statements,pg_cron", "citus.shard_count": "16" });
    expect(clusters[0]?.setup.workerParameters).toMatchObject({ work_mem: "4MB", shared_preload_libraries: "citus,pg_stat_statements,pg_cron", "citus.shard_count": "16" });
    expect(clusters[0]?.setup.workerParameters).not.toHaveProperty("jit");
  });
});

test.each(["active-active", "active-passive"])("%s: limits and PostgreSQL's major reach the containers", (topology) => {
  const stack = plan({ topology, images: { citus: "citusdata/citus:14.1.0" }, limits: { worker: { memory: "1 GB" }, coordinator: { memory: "2 GB" } } });
  const members = containersOf(stack).filter(({ role }) => role === "worker" || role === "coordinator");
  expect(members.length).toBeGreaterThan(0);
  for (const { role, limits, volume } of members) {
    expect(limits.memory).toBe(role === "worker" ? "1 GB" : "2 GB");
    expect(volume?.path).toBe("/var/lib/postgresql");
  }
});

test.each(["active-active", "active-passive"])("%s: what applications connect to is held, and nothing else is", (topology) => {
  for (const { name, role, held } of containersOf(plan({ topology }))) expect(held, name).toBe(["coordinator", "worker", "haproxy", "pooler"].includes(role));
});

test("a member's holder and the labels have names that do not change: what runs already has them", () => {
  expect([holderName("coord-1"), STACK_LABEL, ROLE_LABEL]).toEqual(["coord-1-holder", "io.citus-sharding.stack", "io.citus-sharding.role"]);
});

const prefix = fc.constantFrom("", "test-", "x");
const workers = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9_-]{1,8}$/), { minLength: 1, maxLength: 5 }));
const optionalPort = fc.oneof(fc.constant({}), fc.record({ port: fc.integer({ min: 1024, max: 65000 }) }));
const clusters = fc.dictionary(fc.stringMatching(/^[a-z]([a-z0-9]{0,2}[a-z])?$/), fc.tuple(workers, optionalPort).map(([count, port]) => ({ workers: count, ...port })), { minKeys: 1, maxKeys: 5 });
const activeActive = fc.record({ topology: fc.constant("active-active"), prefix, clusters, replicationFactor: fc.constant(1) });
const ports = fc.record({ leader: fc.integer({ min: 1, max: 65535 }), standbys: fc.integer({ min: 1, max: 65535 }), statistics: fc.integer({ min: 1, max: 65535 }) });
const activePassive = fc.record({
  topology: fc.constant("active-passive"),
  prefix,
  workers,
  ports,
  pooler: fc.boolean(),
  coordinators: fc.integer({ min: 1, max: 9 }),
  etcdMembers: fc.constantFrom(1, 3, 5, 7, 9),
});

/** Settings from any input that the rules let pass. */
const anySettings: fc.Arbitrary<Settings> = fc
  .oneof(activeActive, activePassive)
  .map((input) => {
    try {
      return parseSettings(input).settings;
    } catch (error) {
      if (error instanceof SettingsError) return undefined;
      throw error;
    }
  })
  .filter((settings) => settings !== undefined);

describe("any stack that the rules let pass", () => {
  const unique = (values: readonly unknown[]): void => {
    expect(new Set(values).size).toBe(values.length);
  };

  test("has containers, holders, volumes and ports of their own, in names that Docker takes", () => {
    fc.assert(
      fc.property(anySettings, (settings) => {
        const containers = containersOf(planStack(settings, read));
        const all = containers.flatMap(({ name, held }) => (held ? [name, holderName(name)] : [name]));
        unique(all);
        for (const name of all) expect(name).toMatch(/^[a-z0-9][a-z0-9_.-]{1,62}$/);
        unique(containers.flatMap(({ volume }) => (volume === undefined ? [] : [volume.name])));
        unique(containers.flatMap((container) => container.ports.map(({ external }) => external)));
        for (const { name } of containers) expect(name.startsWith(settings.prefix)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test("publishes exactly the ports that the rules looked at", () => {
    fc.assert(
      fc.property(anySettings, (settings) => {
        const looked = publishedPorts(settings).map(({ port, owner }) => `${settings.prefix}${owner}:${port}`);
        const planned = containersOf(planStack(settings, read)).flatMap((container) => container.ports.map(({ external }) => `${container.name}:${external}`));
        expect(planned.sort()).toEqual(looked.sort());
      }),
    );
  });

  test("sets up exactly the containers that it has", () => {
    fc.assert(
      fc.property(anySettings, (settings) => {
        const stack = planStack(settings, read);
        const setUp = [
          ...(stack.etcd?.setup.members ?? []).map(({ name }) => name),
          ...(stack.coordinators?.setup.members ?? []).map(({ container }) => container),
          ...stack.clusters.flatMap(({ setup }) => [...(setup.coordinator === undefined ? [] : [setup.coordinator.container]), ...setup.workers.map(({ container }) => container)]),
        ];
        const withoutSetup = [stack.haproxy, stack.pooler, stack.keeper, ...stack.clusters.flatMap(({ guards }) => guards)].map((container) => container?.name);
        expect(setUp).toEqual(names(stack).filter((name) => !withoutSetup.includes(name)));
      }),
    );
  });

  test("shares no container, volume or network with its like under another prefix", () => {
    const counted = fc.record({ topology: fc.constantFrom("active-active", "active-passive") });
    fc.assert(
      fc.property(counted, fc.uniqueArray(fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,19}$/), { minLength: 2, maxLength: 4 }), (input, prefixes) => {
        const stacks = ["", ...prefixes].map((own) => plan({ ...input, prefix: own }));
        unique(stacks.map(({ network }) => network));
        unique(stacks.flatMap((stack) => containersOf(stack).flatMap(({ name, held }) => (held ? [name, holderName(name)] : [name]))));
        unique(stacks.flatMap((stack) => containersOf(stack).flatMap(({ volume }) => (volume === undefined ? [] : [volume.name]))));
      }),
    );
  });
});

test("the two stacks as they come share no name and no port", () => {
  const taken = [plan({ topology: "active-active" }), plan({ topology: "active-passive" })].flatMap((stack) => [
    stack.network,
    ...containersOf(stack).flatMap(({ name, held, volume, ports }) => [name, ...(held ? [holderName(name)] : []), ...(volume === undefined ? [] : [volume.name]), ...ports.map(({ external }) => String(external))]),
  ]);
  expect(taken.filter((one, index) => taken.indexOf(one) !== index)).toEqual([]);
});
