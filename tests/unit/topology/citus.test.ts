import { describe, expect, test } from "vitest";
import { planCitus, reachable } from "../../../topology/citus";

describe("a Citus cluster with a coordinator of its own", () => {
  const plan = planCitus("a", { port: 5432, replicationFactor: 2, schema: { sql: "CREATE TABLE rooms ()", tables: { rooms: "room_id" } } });

  test("has its nodes on ports that follow each other", () => {
    const nodes = [plan.coordinator, ...plan.workers].map((node) => ({ name: node?.name, role: node?.role, held: node?.held, ports: node?.ports, door: node?.door, volume: node?.volume }));
    expect(nodes).toEqual(
      ["coord_a", "worker_a1", "worker_a2", "worker_a3"].map((name, index) => ({
        name,
        role: index === 0 ? "coordinator" : "worker",
        held: true,
        // A worker that a guard watches publishes its door.
        ports: [{ internal: index === 0 ? 5432 : 5433, external: 5432 + index, ip: "127.0.0.1" }],
        door: index === 0 ? undefined : { coordinator: "coord_a" },
        volume: { name: `${name}-data`, path: "/var/lib/postgresql/data" },
      })),
    );
  });

  test.each([
    ["without copies", { port: 5432 }],
    ["without a guard", { port: 5432, replicationFactor: 2, guard: false }],
    ["without a guard beside a coordinator of its own", { port: 5432, replicationFactor: 2, coordinator: { host: "h", port: 5000, members: ["coord-1"] } }],
    ["without a published port", { replicationFactor: 2, coordinator: { host: "h", port: 5000, members: ["coord-1"] } }],
  ])("a worker has no door %s", (_, options) => {
    for (const { door, ports } of planCitus("a", options).workers) expect([door, ports.map(({ internal }) => internal).filter((port) => port !== 5432)]).toEqual([undefined, []]);
  });

  test("every node stops as PostgreSQL does fast, and is healthy over TCP only", () => {
    for (const node of [plan.coordinator, ...plan.workers]) {
      expect(node).toMatchObject({
        stopSignal: "SIGINT",
        stopGraceSeconds: 60,
        healthCheck: { command: ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"], intervalSeconds: 5, timeoutSeconds: 3, retries: 3, startPeriodSeconds: 60 },
        limits: { shm: "256 MB" },
      });
      // The image's own entrypoint creates the database.
      expect(node).not.toHaveProperty("entrypoint");
      expect(node).not.toHaveProperty("command");
    }
  });

  test("a fresh node begins with the parameters that the set-up keeps", () => {
    for (const node of [plan.coordinator, ...plan.workers]) {
      expect(node?.files).toEqual([{ path: "/docker-entrypoint-initdb.d/000-parameters.sql", firstBoot: true, content: expect.any(String) as string }]);
      const statements = node?.files[0]?.content.trimEnd().split("\n") ?? [];
      expect(statements).toContain(`ALTER SYSTEM SET "max_connections" = '300';`);
      expect(statements).toContain(`ALTER SYSTEM SET "shared_preload_libraries" = 'citus', 'pg_stat_statements';`);
      expect(statements).toContain(`ALTER SYSTEM SET "citus"."shard_replication_factor" = '2';`);
      expect(statements).toHaveLength(Object.keys(plan.setup.workerParameters).length);
    }
  });

  test("the set-up", () => {
    const parameters = {
      max_connections: "300",
      max_worker_processes: "16",
      wal_retrieve_retry_interval: "500ms",
      "citus.allow_modifications_from_workers_to_replicated_tables": "off",
      "citus.node_connection_timeout": "1s",
      "citus.recover_2pc_interval": "5s",
      "citus.shard_count": "32",
      "citus.shard_replication_factor": "2",
      shared_preload_libraries: "citus,pg_stat_statements",
      wal_level: "logical",
    };
    expect(plan.setup).toEqual({
      kind: "citus",
      cluster: "a",
      endpoint: { host: "127.0.0.1", port: 5432, user: "postgres", database: "postgres" },
      coordinator: { host: "coord_a", port: 5432, container: "coord_a" },
      workers: ["worker_a1", "worker_a2", "worker_a3"].map((name) => ({ host: name, port: 5432, container: name })),
      workerGroups: [],
      shardCount: 32,
      replicationFactor: 2,
      coordinatorParameters: parameters,
      workerParameters: parameters,
      extensions: ["pg_stat_statements"],
      schema: { sql: "CREATE TABLE rooms ()", tables: { rooms: "room_id" } },
      timeoutSeconds: 600,
    });
  });
});

describe("options of a Citus cluster", () => {
  test("a coordinator from elsewhere", () => {
    const { coordinator, workers, setup } = planCitus("citusap", { workers: ["worker1", "worker2"], coordinator: { host: "127.0.0.1", port: 5000 }, coordinatorParameters: { work_mem: "1MB" } });
    expect(coordinator).toBeUndefined();
    expect(workers.map(({ name, ports }) => ({ name, ports }))).toEqual([{ name: "worker1", ports: [] }, { name: "worker2", ports: [] }]);
    expect(setup).not.toHaveProperty("coordinator");
    expect(setup.endpoint).toEqual({ host: "127.0.0.1", port: 5000, user: "postgres", database: "postgres" });
    // Patroni keeps its parameters.
    expect(setup.coordinatorParameters).toEqual({});
  });

  test.each<[number, string, string]>([
    [16, "/var/lib/postgresql/data", "/var/lib/postgresql/data"],
    [17, "/var/lib/postgresql/data", "/var/lib/postgresql/data"],
    [18, "/var/lib/postgresql", "/var/lib/postgresql/18/docker"],
  ])("PostgreSQL %d has its volume at %s and PGDATA %s", (postgresMajor, mount, pgdata) => {
    const { coordinator, workers } = planCitus("a", { port: 5432, postgresMajor });
    for (const node of [coordinator, ...workers]) {
      expect(node?.volume?.path).toBe(mount);
      expect(node?.environment).toEqual({ PGDATA: pgdata });
    }
  });

  test("parameters of all, of the coordinator and of workers", () => {
    const { setup } = planCitus("a", {
      port: 5432,
      parameters: { work_mem: "8MB", jit: "off" },
      coordinatorParameters: { work_mem: "64MB" },
      workerParameters: { jit: "on" },
    });
    expect(setup.coordinatorParameters).toMatchObject({ work_mem: "64MB", jit: "off" });
    expect(setup.workerParameters).toMatchObject({ work_mem: "8MB", jit: "on" });
  });

  test("a parameter that changes leaves the lasting part of the containers alone", () => {
    const lasting = (parameters: Record<string, string>): unknown => {
      const { coordinator, workers } = planCitus("a", { port: 5432, parameters });
      return [coordinator, ...workers].map((node) => ({ ...node, files: node?.files.filter(({ firstBoot }) => firstBoot !== true) }));
    };
    expect(lasting({ work_mem: "8MB" })).toEqual(lasting({}));
  });

  test("a worker more leaves the containers that are there alone", () => {
    const before = planCitus("a", { port: 5432, workers: 3 });
    const after = planCitus("a", { port: 5432, workers: 4 });
    expect(after.coordinator).toEqual(before.coordinator);
    expect(after.workers.slice(0, 3)).toEqual(before.workers);
    expect(after.workers[3]?.ports[0]?.external).toBe(5436);
  });

  test("limits of each kind", () => {
    const { coordinator, workers } = planCitus("a", { port: 5432, limits: { coordinator: { memory: "1 GB" }, worker: { shm: "64 MB", cpus: 2 } } });
    expect(coordinator?.limits).toEqual({ memory: "1 GB", shm: "256 MB" });
    expect(workers.map(({ limits }) => limits)).toEqual(workers.map(() => ({ shm: "64 MB", cpus: 2 })));
  });

  test("a prefix is in every name but not in the component's", () => {
    const { name, coordinator, workers, setup } = planCitus("a", { port: 5432, prefix: "test-", workers: 1 });
    expect(name).toBe("a");
    expect([coordinator, ...workers].map((node) => [node?.name, node?.volume?.name])).toEqual([["test-coord_a", "test-coord_a-data"], ["test-worker_a1", "test-worker_a1-data"]]);
    expect(setup).toMatchObject({ cluster: "test-a", coordinator: { host: "test-coord_a" }, workers: [{ host: "test-worker_a1", container: "test-worker_a1" }] });
  });

  test("an address for all is reached by this machine's own", () => {
    const { coordinator, setup } = planCitus("a", { port: 5432, bindAddress: "0.0.0.0" });
    expect(coordinator?.ports).toEqual([{ internal: 5432, external: 5432, ip: "0.0.0.0" }]);
    expect(setup.endpoint.host).toBe("127.0.0.1");
  });

  test.each([["127.0.0.1", "127.0.0.1"], ["0.0.0.0", "127.0.0.1"], ["::", "::1"], ["::1", "::1"], ["192.0.2.7", "192.0.2.7"]])("%s is reached at %s", (bindAddress, host) => {
    expect(reachable(bindAddress)).toBe(host);
  });

  test("without a way to reach the coordinator it is refused", () => {
    expect(() => planCitus("a")).toThrow("CitusCluster a: port is not set");
  });

  test("more replicas than workers are refused", () => {
    expect(() => planCitus("a", { port: 5432, workers: 2, replicationFactor: 3 })).toThrow("CitusCluster a: replicationFactor is 3, but there are 2 workers");
  });
});
