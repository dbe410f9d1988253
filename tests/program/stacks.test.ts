import { readFileSync } from "node:fs";
import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { fenceDigest } from "../../topology/fence";
import { underMocks, valueOf, type Registered, type Registration } from "./mocks";

const CONTAINER = "docker:index/container:Container";
const COMMAND = "command:local:Command";
/** The warning of what copies of shards are not. */
const COPIES = /^replicationFactor: .*until the guard has disabled it/;

/** The configuration of a committed stack file, as the engine hands it to the program. */
function stackConfig(stack: string): Record<string, string> {
  const file = parse(readFileSync(path.resolve(__dirname, `../../Pulumi.${stack}.yaml`), "utf8")) as { config: Record<string, unknown> };
  return Object.fromEntries(Object.entries(file.config).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]));
}

const MADE_OF_CONTAINERS = /^(citus:index:(CitusCluster|EtcdCluster|PatroniGroup|HAProxy|Pooler)|docker:index\/network:Network)$/;

interface Run {
  readonly stack: string;
  readonly registrations: readonly Registration[];
  readonly resources: Registered[];
  readonly outputs: Record<string, unknown>;
  readonly warnings: string[];
}

async function run(stack: string, more: Record<string, string> = {}, secretKeys: string[] = []): Promise<Run> {
  vi.resetModules();
  const warnings: string[] = [];
  vi.spyOn(pulumi.log, "warn").mockImplementation((message) => {
    warnings.push(message);
    return Promise.resolve();
  });
  vi.stubEnv("PULUMI_CONFIG_SECRET_KEYS", JSON.stringify(secretKeys)); // As the language host sets it; the SDK's own setter keeps it elsewhere.
  const { result, resources, registrations } = await underMocks(stack, async () => {
    pulumi.runtime.setAllConfig({ ...stackConfig(stack), ...more });
    return (await import("../../index.js")) as unknown as { default: Record<string, unknown> };
  });
  return { stack, resources, registrations, outputs: result.default, warnings };
}

const ofType = (resources: readonly Registered[], type: string): Registered[] => resources.filter((resource) => resource.type === type);
const count = (resources: readonly Registered[]): Record<string, number> =>
  resources.reduce<Record<string, number>>((counts, { type }) => ({ ...counts, [type]: (counts[type] ?? 0) + 1 }), {});
const named = (resources: readonly Registered[], name: string): Registered => {
  const found = resources.filter((resource) => resource.name === name && !resource.type.startsWith("citus:"));
  expect(found, `resources named ${name}`).toHaveLength(1);
  return found[0] as Registered;
};

/** What has to hold in every stack. */
function commonTests(get: () => Run): void {
  test("no two resources share a URN", () => {
    const urns = get().resources.map(({ type, name }) => `${type}::${name}`);
    expect([...new Set(urns)]).toHaveLength(urns.length);
  });

  test("no two containers, volumes or networks share a name", () => {
    for (const type of [CONTAINER, "docker:index/volume:Volume", "docker:index/network:Network"]) {
      const names = ofType(get().resources, type).map(({ inputs }) => inputs["name"]);
      expect(names).not.toContain(undefined);
      expect([...new Set(names)]).toHaveLength(names.length);
    }
  });

  test("no published port twice, and every one on 127.0.0.1", () => {
    const ports = ofType(get().resources, CONTAINER).flatMap(({ inputs }) => (inputs["ports"] ?? []) as { external: number; ip: string }[]);
    expect(new Set(ports.map(({ ip }) => ip))).toEqual(new Set(["127.0.0.1"]));
    expect(new Set(ports.map(({ external }) => external)).size).toBe(ports.length);
  });

  test("every container restarts, limits its log, carries its stack and gets a graceful stop", () => {
    for (const { name, inputs } of ofType(get().resources, CONTAINER)) {
      expect(inputs, name).toMatchObject({
        restart: "unless-stopped",
        logDriver: "json-file",
        logOpts: { "max-file": "3", "max-size": "10m" },
        labels: expect.arrayContaining([
          { label: "io.citus-sharding.role", value: expect.any(String) as string },
          { label: "io.citus-sharding.stack", value: expect.stringMatching(/^organization\/citus-sharding\//) as string },
        ]) as unknown,
      });
      expect(inputs["destroyGraceSeconds"], name).toBe(inputs["stopTimeout"]);
      expect(inputs["destroyGraceSeconds"], name).toBeGreaterThanOrEqual(3);
    }
  });

  test("what has a holder lives in its namespaces, and stops before it", () => {
    const members = ofType(get().resources, CONTAINER).filter(({ inputs }) => "pidMode" in inputs);
    expect(members.length).toBeGreaterThan(0);
    for (const { name, inputs } of members) {
      const holder = named(get().resources, `${name}-holder`);
      expect(inputs["networkMode"]).toBe(`container:${name}-holder-id`);
      expect(inputs["pidMode"]).toBe(`container:${name}-holder-id`);
      expect(inputs).not.toHaveProperty("ports");
      expect(holder.inputs).toMatchObject({ name: `${String(inputs["name"])}-holder`, hostname: inputs["name"], init: true, sysctls: { "net.ipv4.tcp_syn_retries": "2" }, destroyGraceSeconds: Number(inputs["destroyGraceSeconds"]) + 5 });
      const words = holder.inputs["entrypoints"] as string[];
      const [program, watcher] = [words.slice(0, 3), words.slice(3)];
      expect(program).toEqual(["sh", "/hold.sh", String(inputs["stopSignal"] as string).replace("SIG", "")]);
      const fencer = ["python3", "/fencer.py", inputs["name"], "/service/citusap/0", "etcd-1:2379", "etcd-2:2379", "etcd-3:2379"];
      const door = (holder.inputs["ports"] as { internal: number }[] | undefined)?.[0]?.internal === 5433;
      expect(watcher, "Patroni's members have a lease, workers with a port of their own a door").toEqual(isPatroni(inputs) ? fencer : door ? ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"] : []);
      // HAProxy's image has another one, at which a holder would end before its member.
      expect(holder.inputs["stopSignal"], name).toBe(door ? "SIGTERM" : undefined);
      expect(door, name).toBe(/^worker_/.test(String(inputs["name"])));
      expect(holder.inputs["capabilities"]).toEqual(isPatroni(inputs) ? { adds: ["CAP_NET_ADMIN"] } : undefined);
    }
  });

  test("every database member has a holder, a volume, and a minute to shut down", () => {
    const members = ofType(get().resources, CONTAINER).filter(({ inputs }) => isDatabase(inputs));
    expect(members.length).toBeGreaterThan(0);
    for (const { inputs } of members) {
      expect(inputs).toHaveProperty("pidMode");
      expect(inputs["destroyGraceSeconds"]).toBe(60);
      expect(inputs["volumes"]).toEqual([{ volumeName: `${String(inputs["name"])}-data`, containerPath: "/var/lib/postgresql/data" }]);
      expect(inputs["healthcheck"]).toMatchObject({ tests: ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"] });
    }
  });

  test("passwords are secret wherever they go", async () => {
    const withPassword = get().resources.flatMap(({ name, inputs, secrets }) => leaves(inputs).filter(({ value }) => /output of .*password/.test(value)).map((leaf) => ({ name, secrets, ...leaf })));
    expect(withPassword.length).toBeGreaterThan(0);
    for (const { name, path: leaf, secrets } of withPassword) expect(secrets.some((secret) => covers(secret, leaf)), `${name} ${leaf}`).toBe(true);
    expect(await pulumi.isSecret(get().outputs["uris"] as pulumi.Output<unknown>)).toBe(true);
  });

  test("set-up commands carry no secret on the command line, and no path of this machine", () => {
    for (const { name, inputs } of ofType(get().resources, COMMAND)) {
      expect(inputs["create"]).not.toContain("output of");
      expect(inputs["dir"] ?? ".").toBe(".");
      expect(inputs["addPreviousOutputInEnv"], name).toBe(name === "identity");
    }
  });

  test("everything with containers, and the network, waits until the stack's identity was looked at", () => {
    const made = get().registrations.filter(({ name, type }) => MADE_OF_CONTAINERS.test(type) && !name.endsWith("-image"));
    expect(made.length).toBeGreaterThan(2);
    for (const { name, dependsOn } of made) expect(dependsOn, name).toContain("identity");
    const identity = named(get().resources, "identity");
    expect(identity.inputs).toMatchObject({ create: "node --import tsx setup/identity.ts", logging: "stderr" });
    expect(JSON.parse(identity.inputs["stdin"] as string)).toMatchObject({ stack: get().stack, identity: { topology: get().stack, prefix: "", postgresMajor: 17, passwords: [] } });
  });

  test("Pulumi deletes no volume, and a label makes none another one", () => {
    const volumes = get().registrations.filter(({ type }) => type === "docker:index/volume:Volume");
    expect(volumes).toHaveLength(ofType(get().resources, "docker:index/volume:Volume").length);
    for (const { name, retainOnDelete, ignoreChanges } of volumes) expect({ retainOnDelete, ignoreChanges }, name).toEqual({ retainOnDelete: true, ignoreChanges: ["labels"] });
    for (const { inputs } of ofType(get().resources, "docker:index/volume:Volume")) {
      expect(inputs["labels"]).toEqual([{ label: "io.citus-sharding.role", value: expect.any(String) as unknown }, { label: "io.citus-sharding.stack", value: `organization/citus-sharding/${get().stack}` }]);
    }
  });
}

function isPatroni(inputs: Record<string, unknown>): boolean {
  return (inputs["entrypoints"] as string[] | undefined)?.[0] === "patroni";
}

function isDatabase(inputs: Record<string, unknown>): boolean {
  return (inputs["healthcheck"] as { tests: string[] } | undefined)?.tests[1] === "pg_isready" && "volumes" in inputs;
}

/** Whether a secret at one path makes the value at another path secret. */
function covers(secret: string, leaf: string): boolean {
  return leaf === secret || leaf.startsWith(`${secret}.`) || leaf.startsWith(`${secret}[`);
}

function leaves(value: unknown, path = ""): { path: string; value: string }[] {
  if (Array.isArray(value)) return value.flatMap((item, index) => leaves(item, `${path}[${index}]`));
  if (typeof value === "object" && value !== null) return Object.entries(value).flatMap(([key, item]) => leaves(item, path === "" ? key : `${path}.${key}`));
  return typeof value === "string" ? [{ path, value }] : [];
}

describe("Pulumi.active-active.yaml", () => {
  let stack: Run;
  beforeAll(async () => (stack = await run("active-active")));
  commonTests(() => stack);

  test("is exactly these resources", () => {
    expect(count(stack.resources)).toEqual({
      "citus:index:ActiveActive": 1,
      "citus:index:CitusCluster": 2,
      "citus:index:Keeper": 1,
      "citus:index:BuiltImage": 2,
      "docker:index/network:Network": 1,
      "docker:index/remoteImage:RemoteImage": 3,
      "docker:index/volume:Volume": 8,
      [CONTAINER]: 19,
      [COMMAND]: 17,
    });
  });

  test("publishes a coordinator and its workers on consecutive ports", () => {
    const published: Record<string, unknown> = Object.fromEntries(
      ofType(stack.resources, CONTAINER).flatMap(({ inputs }) => ((inputs["ports"] ?? []) as { external: number }[]).map(({ external }) => [inputs["hostname"] as string, external] as const)),
    );
    expect(published).toEqual({
      coord_a: 5432, worker_a1: 5433, worker_a2: 5434, worker_a3: 5435,
      coord_b: 6432, worker_b1: 6433, worker_b2: 6434, worker_b3: 6435,
    });
  });

  test("a worker is exactly this", () => {
    const worker = named(stack.resources, "b-worker_b2");
    expect(worker.inputs).toEqual({
      name: "worker_b2",
      image: "sha256:citusdata/citus:13.2.0",
      restart: "unless-stopped",
      logDriver: "json-file",
      logOpts: { "max-file": "3", "max-size": "10m" },
      labels: [
        { label: "io.citus-sharding.made-of", value: expect.stringMatching(/^[0-9a-f]{12}$/) as string },
        { label: "io.citus-sharding.role", value: "worker" },
        { label: "io.citus-sharding.stack", value: "organization/citus-sharding/active-active" },
      ],
      networkMode: "container:b-worker_b2-holder-id",
      pidMode: "container:b-worker_b2-holder-id",
      envs: ["PGDATA=/var/lib/postgresql/data", "PGPASSWORD=output of superuser-password", "POSTGRES_PASSWORD=output of superuser-password"],
      uploads: [{ file: "/docker-entrypoint-initdb.d/000-parameters.sql", content: expect.stringContaining("ALTER SYSTEM SET \"citus\".\"shard_replication_factor\" = '2';\n") as unknown }],
      volumes: [{ volumeName: "worker_b2-data", containerPath: "/var/lib/postgresql/data" }],
      shmSize: 256,
      healthcheck: { tests: ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"], interval: "5s", timeout: "3s", retries: 3, startPeriod: "1m0s" },
      stopSignal: "SIGINT",
      stopTimeout: 60,
      destroyGraceSeconds: 60,
    });
    expect(worker.secrets).toContain("envs");
  });

  test("a guard is exactly this", () => {
    const guard = named(stack.resources, "b-guard_b");
    expect(guard.inputs).toEqual({
      name: "guard_b",
      image: expect.stringMatching(/^citus-sharding\/guard:[0-9a-f]{12}$/) as string,
      restart: "unless-stopped",
      logDriver: "json-file",
      logOpts: { "max-file": "3", "max-size": "10m" },
      labels: [
        { label: "io.citus-sharding.made-of", value: expect.stringMatching(/^[0-9a-f]{12}$/) as string },
        { label: "io.citus-sharding.role", value: "guard" },
        { label: "io.citus-sharding.stack", value: "organization/citus-sharding/active-active" },
      ],
      // Its coordinator's, so that it sees workers as the coordinator does.
      networkMode: "container:b-coord_b-holder-id",
      capabilities: { adds: ["CAP_NET_ADMIN"] },
      envs: ["GUARD_PATIENCE_MS=30000", "PGDATABASE=postgres", "PGPASSWORD=output of superuser-password", "PGUSER=postgres"],
      uploads: [],
      healthcheck: { tests: ["CMD", "sh", "-c", 'test -n "$(find /run/guard.json -newermt "-10 seconds")"'], interval: "5s", timeout: "3s", retries: 3, startPeriod: "30s" },
      stopSignal: "SIGTERM",
      stopTimeout: 3,
      destroyGraceSeconds: 3,
    });
    expect(guard.secrets).toContain("envs");
  });

  test("the keeper is exactly this: Docker's socket, and nothing else", () => {
    const { inputs } = named(stack.resources, "keeper-active-active-container");
    expect(inputs).toEqual({
      name: "keeper-active-active",
      image: expect.stringMatching(/^citus-sharding\/keeper:[0-9a-f]{12}$/) as string,
      restart: "unless-stopped",
      logDriver: "json-file",
      logOpts: { "max-file": "3", "max-size": "10m" },
      labels: [
        { label: "io.citus-sharding.role", value: "keeper" },
        { label: "io.citus-sharding.stack", value: "organization/citus-sharding/active-active" },
      ],
      networkMode: "none",
      mounts: [{ type: "bind", source: "/var/run/docker.sock", target: "/var/run/docker.sock" }],
      tmpfs: { "/run": "size=1m" },
      readOnly: true,
      capabilities: { drops: ["ALL"] },
      securityOpts: ["no-new-privileges"],
      envs: ["KEEPER_NETWORK=citus-active-active", "KEEPER_STACK=organization/citus-sharding/active-active"],
      uploads: [],
      memory: 128,
      memorySwap: 128,
      healthcheck: { tests: ["CMD", "sh", "-c", 'test -n "$(find /run/keeper -newermt "-60 seconds")"'], interval: "10s", timeout: "3s", retries: 3, startPeriod: "30s" },
      stopSignal: "SIGTERM",
      stopTimeout: 3,
      destroyGraceSeconds: 3,
    });
  });

  test("the keeper finds Docker's socket where it is set, and is left out where nobody wants it", async () => {
    const elsewhere = await run("active-active", { "citus-sharding:dockerSocket": "/run/user/1000/docker.sock", "citus-sharding:prefix": "t-" });
    const { inputs } = named(elsewhere.resources, "keeper-active-active-container");
    expect(inputs).toMatchObject({ name: "t-keeper-active-active", mounts: [{ source: "/run/user/1000/docker.sock", target: "/var/run/docker.sock" }], envs: ["KEEPER_NETWORK=t-citus-active-active", expect.any(String) as string] });
    const without = await run("active-active", { "citus-sharding:keeper": "false" });
    expect(count(without.resources)).toMatchObject({ [CONTAINER]: 18, [COMMAND]: 16 });
    expect(JSON.stringify(without.resources)).not.toContain("docker.sock");
  });

  test("a cluster is set up over its coordinator's port, with the password in the environment", () => {
    const setup = named(stack.resources, "b-setup");
    expect(setup.inputs["environment"]).toEqual({
      PGPASSWORD: "output of superuser-password",
      CITUS_CONTAINERS: "b-coord_b-id b-worker_b1- b-worker_b2- b-worker_b3-", // Twelve characters of each id.
      // Another fence has the set-up run again, which brings it.
      CITUS_FENCE: fenceDigest(),
    });
    expect(setup.secrets).toContain("environment");
    expect(JSON.parse(setup.inputs["stdin"] as string)).toMatchObject({
      kind: "citus",
      cluster: "b",
      endpoint: { host: "127.0.0.1", port: 6432, user: "postgres", database: "postgres" },
      coordinator: { host: "coord_b", port: 5432, container: "coord_b" },
      workers: [{ host: "worker_b1" }, { host: "worker_b2" }, { host: "worker_b3" }],
      shardCount: 32,
      replicationFactor: 2,
      coordinatorParameters: { max_connections: "300", shared_preload_libraries: "citus,pg_stat_statements", wal_level: "logical" },
      schema: { tables: { rooms: "room_id", room_members: "room_id", messages: "room_id" } },
    });
  });

  test("the clusters come to agree on their tenants, again when a node of one is another container", () => {
    const setup = named(stack.resources, "tenancy-setup");
    expect(setup.inputs["environment"]).toEqual({
      PGPASSWORD: "output of superuser-password",
      CITUS_CONTAINERS: "a-coord_a-id a-worker_a1- a-worker_a2- a-worker_a3- b-coord_b-id b-worker_b1- b-worker_b2- b-worker_b3-",
    });
    expect(setup.secrets).toContain("environment");
    expect(JSON.parse(setup.inputs["stdin"] as string)).toEqual({
      kind: "tenancy",
      clusters: [
        { name: "a", endpoint: { host: "127.0.0.1", port: 5432, user: "postgres", database: "postgres" }, weight: 1 },
        { name: "b", endpoint: { host: "127.0.0.1", port: 6432, user: "postgres", database: "postgres" }, weight: 1 },
      ],
      timeoutSeconds: 120,
    });
    for (const cluster of ["a", "b"]) expect(JSON.parse(named(stack.resources, `${cluster}-setup`).inputs["stdin"] as string)).toMatchObject({ fence: true });
  });

  test("tells URIs, endpoints and nodes by cluster", async () => {
    expect(await valueOf(stack.outputs["uris"] as pulumi.Output<unknown>)).toEqual({
      a: "postgresql://postgres:output%20of%20superuser-password@127.0.0.1:5432/postgres",
      b: "postgresql://postgres:output%20of%20superuser-password@127.0.0.1:6432/postgres",
    });
    expect(stack.outputs["endpoints"]).toEqual({ a: "127.0.0.1:5432", b: "127.0.0.1:6432" });
    expect(stack.outputs["nodes"]).toEqual({ a: ["coord_a", "worker_a1", "worker_a2", "worker_a3"], b: ["coord_b", "worker_b1", "worker_b2", "worker_b3"] });
  });

  test("warns of what replication factor 2 is not", () => {
    expect(stack.warnings).toEqual([expect.stringMatching(COPIES)]);
  });

  test("one line adds a cluster or a worker", async () => {
    const { resources } = await run("active-active", { "citus-sharding:clusters": JSON.stringify({ a: { workers: 3 }, b: { workers: 4 }, c: {} }) });
    const published = ofType(resources, CONTAINER).flatMap(({ inputs }) => ((inputs["ports"] ?? []) as { external: number }[]).map(({ external }) => external));
    expect(published.sort((one, other) => one - other)).toEqual([5432, 5433, 5434, 5435, 6432, 6433, 6434, 6435, 6436, 7432, 7433, 7434, 7435]);
  });
});

describe("Pulumi.active-passive.yaml", () => {
  let stack: Run;
  beforeAll(async () => (stack = await run("active-passive")));
  commonTests(() => stack);

  test("is exactly these resources", () => {
    expect(count(stack.resources)).toEqual({
      "citus:index:ActivePassive": 1,
      "citus:index:CitusCluster": 1,
      "citus:index:EtcdCluster": 1,
      "citus:index:HAProxy": 1,
      "citus:index:PatroniGroup": 1,
      "citus:index:Keeper": 1,
      "citus:index:BuiltImage": 3,
      "docker:index/network:Network": 1,
      "docker:index/remoteImage:RemoteImage": 4,
      "docker:index/volume:Volume": 9,
      [CONTAINER]: 21,
      [COMMAND]: 23,
    });
  });

  test("publishes HAProxy's four ports and nothing else", () => {
    const published = ofType(stack.resources, CONTAINER).filter(({ inputs }) => "ports" in inputs);
    expect(published.map(({ name, inputs }) => [name, inputs["ports"]])).toEqual([
      ["haproxy-proxy-holder", [5000, 5001, 5002, 7000].map((port) => ({ internal: port, external: port, ip: "127.0.0.1", protocol: "tcp" }))],
    ]);
  });

  test("a coordinator runs Patroni, which ends gracefully on SIGTERM, and patronictl finds its configuration", () => {
    const { inputs, secrets } = named(stack.resources, "coord-2");
    expect(inputs).toMatchObject({
      name: "coord-2",
      image: expect.stringMatching(/^citus-sharding\/patroni:[0-9a-f]{12}$/) as string,
      entrypoints: ["patroni"],
      command: ["/etc/patroni"],
      user: "postgres",
      stopSignal: "SIGTERM",
      stopTimeout: 60,
    });
    const envs = inputs["envs"] as string[];
    expect(envs).toContain("PATRONICTL_CONFIG_FILE=/etc/patroni/patroni.yml");
    expect(envs.filter((variable) => variable.includes("PASSWORD="))).toHaveLength(3);
    expect(secrets).toContain("envs");
    expect(envs).not.toEqual(expect.arrayContaining([expect.stringMatching(/^PGPASSWORD=/)])); // It would win over the replication password.
  });

  test("the etcd members keep their data, and begin when the set-up lets them", () => {
    const { inputs } = named(stack.resources, "etcd-3");
    expect(inputs["command"]).toEqual(["/usr/local/bin/etcd", "--config-file", "/var/lib/etcd/etcd.json"]);
    expect(JSON.parse(named(stack.resources, "etcd-setup").inputs["stdin"] as string)).toMatchObject({ kind: "etcd", members: [{ name: "etcd-1" }, { name: "etcd-2" }, { name: "etcd-3" }] });
    expect(inputs["volumes"]).toEqual([{ volumeName: "etcd-3-data", containerPath: "/var/lib/etcd" }]);
    expect(inputs["networksAdvanced"]).toEqual([{ name: "citus-active-passive", aliases: ["etcd-3"] }]);
  });

  test("Citus is set up through HAProxy, with the coordinator left to Patroni", () => {
    const spec = JSON.parse(named(stack.resources, "citusap-setup").inputs["stdin"] as string) as Record<string, unknown>;
    expect(spec).toMatchObject({ kind: "citus", endpoint: { host: "127.0.0.1", port: 5000 }, workers: [{ host: "worker1" }, { host: "worker2" }, { host: "worker3" }], replicationFactor: 2, coordinatorParameters: {} });
    expect(spec).not.toHaveProperty("coordinator");
    const patroni = JSON.parse(named(stack.resources, "coord-setup").inputs["stdin"] as string) as Record<string, unknown>;
    expect(patroni).toMatchObject({ kind: "patroni", scope: "citusap", citusGroup: 0, parameters: { "citus.shard_count": "32", "citus.shard_replication_factor": "2", max_connections: "300" } });
  });

  test("tells URIs, endpoints, the statistics page and nodes", async () => {
    expect(await valueOf(stack.outputs["uris"] as pulumi.Output<unknown>)).toEqual({
      leader: "postgresql://postgres:output%20of%20superuser-password@127.0.0.1:5000/postgres",
      standbys: "postgresql://postgres:output%20of%20superuser-password@127.0.0.1:5001/postgres",
      nodes: "postgresql://postgres:output%20of%20superuser-password@127.0.0.1:5002/postgres",
    });
    expect(stack.outputs["statisticsUrl"]).toBe("http://127.0.0.1:7000/");
    expect(stack.outputs["nodes"]).toEqual({ coordinators: ["coord-1", "coord-2", "coord-3"], workers: ["worker1", "worker2", "worker3"], etcd: ["etcd-1", "etcd-2", "etcd-3"] });
    expect(stack.warnings).toEqual([expect.stringMatching(COPIES)]);
  });

  test("with copies of shards, a guard beside each coordinator", () => {
    const guards = ofType(stack.resources, CONTAINER).filter(({ inputs }) => (inputs["name"] as string).startsWith("guard-"));
    expect(guards.map(({ inputs }) => [inputs["name"], inputs["networkMode"]])).toEqual([1, 2, 3].map((number) => [`guard-${number}`, `container:coord-${number}-holder-id`]));
  });

  test.each<[string, Record<string, string>]>([
    ["worker groups", { "citus-sharding:workers": '{"members":3}' }],
    ["one copy", { "citus-sharding:replicationFactor": "1" }],
  ])("with %s, no guard and no warning", async (_, config) => {
    const { resources, warnings } = await run("active-passive", config);
    expect(ofType(resources, CONTAINER).filter(({ inputs }) => (inputs["name"] as string).startsWith("guard-"))).toEqual([]);
    expect(warnings).toEqual([]);
  });

  test("passwords that were given are used, are secret, and replace the generated ones", async () => {
    const given = { superuserPassword: "s p", replicationPassword: "123", rewindPassword: "w" };
    const config = Object.fromEntries(Object.entries(given).map(([key, value]) => [`citus-sharding:${key}`, value]));
    const { resources, warnings } = await run("active-passive", config, Object.keys(config));
    expect(warnings).toEqual([expect.stringMatching(COPIES)]);
    expect(ofType(resources, COMMAND)).toHaveLength(20);
    const { inputs, secrets } = named(resources, "coord-1");
    const envs = inputs["envs"] as string[];
    expect(envs).toEqual(expect.arrayContaining(["PATRONI_SUPERUSER_PASSWORD=s p", "PATRONI_REPLICATION_PASSWORD=123", "PATRONI_REWIND_PASSWORD=w"]));
    expect(secrets).toContain("envs");
  });

  test("a password in plain text is a warning", async () => {
    const { warnings } = await run("active-passive", { "citus-sharding:superuserPassword": "plain" });
    expect(warnings).toEqual([expect.stringMatching(COPIES), expect.stringMatching(/^superuserPassword: .*plain text.*--secret superuserPassword/)]);
  });

  test("an objective that the settings cannot meet is a warning", async () => {
    const { warnings } = await run("active-passive", { "citus-sharding:objectives": JSON.stringify({ rto: "5 s", rpo: "0" }), "citus-sharding:coordinators": "2", "citus-sharding:fencer": "false", "citus-sharding:replicationFactor": "1" });
    expect(warnings).toEqual([
      expect.stringMatching(/^coordinators: /),
      expect.stringMatching(/^objectives\.rto: 5 s cannot be met: coordinators is 2.*Set coordinators to 3\.$/),
      expect.stringMatching(/^objectives\.rto: 5 s cannot be met: fencer is false.*up to 22 s\. Set fencer to true\.$/),
      expect.stringMatching(/^objectives\.rto: 5 s cannot be met: workers are plain/),
      expect.stringMatching(/^objectives\.rpo: 0 cannot be met: coordinators is 2/),
    ]);
  });

  test("wrong settings stop before any resource", async () => {
    vi.resetModules();
    const { resources, result } = await underMocks("active-passive", async () => {
      pulumi.runtime.setAllConfig({ ...stackConfig("active-passive"), "citus-sharding:etcdMembers": "4" });
      return import("../../index.js").then(
        () => undefined,
        (error: unknown) => error,
      );
    });
    expect(String(result)).toMatch(/nothing was touched\.\n {2}etcdMembers = 4: must be/);
    expect(ofType(resources, CONTAINER)).toEqual([]);
  });
});

describe("Pulumi.active-passive.yaml with the pooler", () => {
  let stack: Run;
  beforeAll(async () => (stack = await run("active-passive", { "citus-sharding:pooler": '{"poolSize":30}' })));
  commonTests(() => stack);

  test("is the stack without it, its image, one container and its holder", async () => {
    const without = count((await run("active-passive")).resources);
    expect(count(stack.resources)).toEqual({ ...without, "citus:index:Pooler": 1, "citus:index:BuiltImage": 4, [CONTAINER]: 23, [COMMAND]: 24 });
  });

  test("the pooler is exactly this", () => {
    const { inputs, secrets } = named(stack.resources, "pooler-pgbouncer");
    expect(inputs).toEqual({
      name: "pooler",
      image: expect.stringMatching(/^citus-sharding\/pgbouncer:[0-9a-f]{12}$/) as unknown,
      restart: "unless-stopped",
      logDriver: "json-file",
      logOpts: { "max-file": "3", "max-size": "10m" },
      labels: [
        { label: "io.citus-sharding.role", value: "pooler" },
        { label: "io.citus-sharding.stack", value: "organization/citus-sharding/active-passive" },
      ],
      networkMode: "container:pooler-pgbouncer-holder-id",
      pidMode: "container:pooler-pgbouncer-holder-id",
      entrypoints: ["sh", "/etc/pgbouncer/start.sh"],
      user: "postgres",
      envs: ["PGDATABASE=postgres", "PGHOST=haproxy", "PGPASSWORD=output of superuser-password", "PGPORT=5000", "PGUSER=postgres"],
      uploads: [
        { file: "/etc/pgbouncer/pgbouncer.ini", content: expect.stringMatching(/^default_pool_size = 30$/m) as unknown },
        { file: "/etc/pgbouncer/start.sh", content: expect.stringContaining("exec pgbouncer") as unknown },
        { file: "/etc/pgbouncer/pause.sh", content: expect.stringContaining("PAUSE") as unknown },
      ],
      healthcheck: { tests: ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-p", "6432", "-U", "postgres"], interval: "10s", timeout: "3s", retries: 3, startPeriod: "5s" },
      stopSignal: "SIGINT",
      stopTimeout: 10,
      destroyGraceSeconds: 10,
    });
    expect(secrets).toContain("envs");
    expect(named(stack.resources, "pooler-pgbouncer-holder").inputs).toMatchObject({
      networksAdvanced: [{ name: "citus-active-passive", aliases: ["pooler"] }],
      ports: [{ internal: 6432, external: 6432, ip: "127.0.0.1", protocol: "tcp" }],
    });
  });

  test("its image is built without a secret", () => {
    const { inputs } = named(stack.resources, "pgbouncer-image-build");
    expect(inputs).toMatchObject({ create: "node --import tsx setup/image.ts", environment: {} });
    expect(JSON.parse(inputs["stdin"] as string)).toMatchObject({ name: "pgbouncer", base: "debian:trixie-slim" });
  });

  test("an image that was named is taken instead", async () => {
    const { resources } = await run("active-passive", { "citus-sharding:pooler": "true", "citus-sharding:images": '{"pgbouncer":"ours/pgbouncer:1.25.2"}' });
    expect(named(resources, "pooler-pgbouncer").inputs["image"]).toBe("sha256:ours/pgbouncer:1.25.2");
    expect(resources.filter(({ name }) => name === "pgbouncer-image-build")).toEqual([]);
  });

  test("tells how it is reached", async () => {
    expect(await valueOf(stack.outputs["uris"] as pulumi.Output<unknown>)).toEqual({
      leader: "postgresql://postgres:output%20of%20superuser-password@127.0.0.1:5000/postgres",
      standbys: "postgresql://postgres:output%20of%20superuser-password@127.0.0.1:5001/postgres",
      nodes: "postgresql://postgres:output%20of%20superuser-password@127.0.0.1:5002/postgres",
      pooled: "postgresql://postgres:output%20of%20superuser-password@127.0.0.1:6432/postgres",
    });
    expect(stack.outputs["endpoints"]).toEqual({ leader: "127.0.0.1:5000", standbys: "127.0.0.1:5001", nodes: "127.0.0.1:5002", pooled: "127.0.0.1:6432" });
  });
});
