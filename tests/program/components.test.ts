import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { CitusCluster, EtcdCluster, HAProxy, Keeper, PatroniGroup, PatroniImage, PgBouncerImage, Pooler } from "../../components";
import { recording, underMocks, valueOf, type Options, type Registered } from "./mocks";

const CONTAINER = "docker:index/container:Container";
const containers = (resources: readonly Registered[]): Registered[] => resources.filter(({ type }) => type === CONTAINER);
const containerNames = (resources: readonly Registered[]): string[] => containers(resources).map(({ inputs }) => inputs["name"] as string).sort();
const optionsOf = (recorded: readonly Options[], name: string): pulumi.CustomResourceOptions => recorded.find((entry) => entry.name === name)?.options ?? {};

/** Names of the resources that another one waits for. */
async function dependencies(options: pulumi.CustomResourceOptions): Promise<string[]> {
  const given = [options.dependsOn ?? []].flat() as pulumi.Resource[];
  const urns = await Promise.all(given.map(({ urn }) => valueOf(urn)));
  return urns.map((urn) => urn.split("::").at(-1) as string).sort();
}

describe("every container", () => {
  test("is replaced without two of a name, and for edits that the provider would swallow", async () => {
    const { options, recorded } = recording();
    const { resources } = await underMocks("test", () => new CitusCluster("c", { network: "n", port: 5432 }, options));
    for (const { name } of containers(resources)) {
      expect(optionsOf(recorded, name), name).toMatchObject({ deleteBeforeReplace: true, replaceOnChanges: ["healthcheck", "tmpfs", "init"] });
      expect(optionsOf(recorded, name).parent, name).toBeInstanceOf(CitusCluster);
    }
  });

  test("stays when a file changes that only a first boot reads, and only then", async () => {
    const { options, recorded } = recording();
    const { resources } = await underMocks("test", () => [
      new CitusCluster("c", { network: "n", port: 5432 }, options),
      new PatroniGroup("p", { network: "n", etcdHosts: ["e:2379"], image: "i" }, options),
    ]);
    const input = (name: string): Record<string, unknown> => containers(resources).find((resource) => resource.name === name)?.inputs ?? {};
    const ignored = (name: string): string[] => optionsOf(recorded, name).ignoreChanges ?? [];

    expect(ignored("c-worker_c1")).toEqual(["uploads[0].content"]);
    expect(input("c-worker_c1")["uploads"]).toMatchObject([{ file: "/docker-entrypoint-initdb.d/000-parameters.sql" }]);
    expect(ignored("p-1")).toEqual(["uploads[1].content"]);
    expect(input("p-1")["uploads"]).toMatchObject([{ file: "/etc/patroni/patroni.yml" }, { file: "/etc/patroni/bootstrap.yml" }]);
    expect(ignored("c-worker_c1-holder")).toEqual([]);
  });

  test("gets its limits in MiB, and no swap beside its memory", async () => {
    const limits = { worker: { memory: "1 GB", cpus: 1.5, shm: "512 MB" } } as const;
    const { resources } = await underMocks("test", () => new CitusCluster("c", { network: "n", port: 5432, workers: 1, limits }));
    const byName = Object.fromEntries(containers(resources).map(({ name, inputs }) => [name, inputs]));
    expect(byName["c-worker_c1"]).toMatchObject({ memory: 1024, memorySwap: 1024, cpus: "1.5", shmSize: 512 });
    expect(byName["c-coord_c"]).not.toHaveProperty("memory");
    expect(byName["c-worker_c1-holder"]).not.toHaveProperty("memory");
  });
});

describe("CitusCluster", () => {
  test("stands twice in a stack, each with its own password", async () => {
    const { resources } = await underMocks("test", () => [new CitusCluster("x", { network: "n", port: 5432, workers: 1 }), new CitusCluster("y", { network: "n", port: 6432, workers: 1 })]);
    expect(containerNames(resources)).toEqual(["coord_x", "coord_x-holder", "coord_y", "coord_y-holder", "worker_x1", "worker_x1-holder", "worker_y1", "worker_y1-holder"]);
    const urns = resources.map(({ type, name }) => `${type}::${name}`);
    expect(new Set(urns).size).toBe(urns.length);
    const envs = Object.fromEntries(containers(resources).map(({ name, inputs }) => [name, inputs["envs"]]));
    expect(envs["x-coord_x"]).toContain("PGPASSWORD=output of x-superuser-password");
    expect(envs["y-worker_y1"]).toContain("PGPASSWORD=output of y-superuser-password");
  });

  test("a prefix is before every name on the machine, and in no resource name", async () => {
    const { resources } = await underMocks("test", () => new CitusCluster("x", { network: "n", port: 5432, workers: 1, prefix: "t-" }));
    expect(containerNames(resources)).toEqual(["t-coord_x", "t-coord_x-holder", "t-worker_x1", "t-worker_x1-holder"]);
    expect(containers(resources).map(({ name }) => name).sort()).toEqual(["x-coord_x", "x-coord_x-holder", "x-worker_x1", "x-worker_x1-holder"]);
  });

  test("is set up after its nodes and what it was told to wait for", async () => {
    const { options, recorded } = recording();
    await underMocks("test", () => {
      const etcd = new EtcdCluster("e", { network: "n", members: 1 });
      return new CitusCluster("x", { network: "n", coordinator: { host: "127.0.0.1", port: 5000 }, workers: ["w1", "w2"], setupAfter: [etcd] }, options);
    });
    expect(await dependencies(optionsOf(recorded, "x-setup"))).toEqual(["e", "x-w1", "x-w2"]);
  });

  test.each([
    [{ workers: 1, replicationFactor: 2, port: 5432 }, /CitusCluster x: replicationFactor is 2, but there are 1 workers/],
    [{ workers: 1 }, /CitusCluster x: port is not set/],
  ])("refuses %o", async (args, message) => {
    await underMocks("test", () => expect(() => new CitusCluster("x", { network: "n", ...args })).toThrow(message));
  });
});

describe("PatroniGroup", () => {
  test("without Citus is PostgreSQL: no library, no parameter and no group of Citus", async () => {
    const { resources } = await underMocks("test", () => new PatroniGroup("db", { network: "n", etcdHosts: ["etcd-1:2379"], image: "i" }));
    expect(containerNames(resources)).toEqual(["db-1", "db-1-holder", "db-2", "db-2-holder", "db-3", "db-3-holder"]);
    const members = containers(resources).filter(({ inputs }) => "networkMode" in inputs);
    expect(JSON.stringify(members.map(({ inputs }) => inputs["uploads"]))).not.toContain("citus");
    const setup = resources.find(({ name }) => name === "db-setup");
    expect(JSON.parse(setup?.inputs["stdin"] as string)).toMatchObject({ kind: "patroni", scope: "db", parameters: { shared_preload_libraries: "pg_stat_statements" } });
  });

  test("members start after what they were told to wait for, and the set-up after them", async () => {
    const { options, recorded } = recording();
    await underMocks("test", () => {
      const etcd = new EtcdCluster("e", { network: "n", members: 1 });
      return new PatroniGroup("db", { network: "n", etcdHosts: etcd.hosts, startAfter: [etcd.ready], image: "i", members: 2 }, options);
    });
    expect(await dependencies(optionsOf(recorded, "db-2-turn"))).toEqual(["db-1", "e-setup"]);
    expect(await dependencies(optionsOf(recorded, "db-2"))).toEqual(["db-2-turn", "e-setup"]);
    expect(await dependencies(optionsOf(recorded, "db-setup"))).toEqual(["db-1", "db-2"]);
  });

  test("stands twice over one etcd under two scopes", async () => {
    const { result } = await underMocks("test", () => {
      const group = (name: string): PatroniGroup => new PatroniGroup(name, { network: "n", etcdHosts: ["etcd-1:2379"], image: "i", members: 1 });
      return Promise.all([valueOf(group("one").scope), valueOf(group("two").scope)]);
    });
    expect(result).toEqual(["one", "two"]);
  });

  test("refuses no members", async () => {
    await underMocks("test", () => expect(() => new PatroniGroup("db", { network: "n", etcdHosts: ["e:2379"], image: "i", members: 0 })).toThrow(/PatroniGroup db: members is 0/));
  });
});

describe("EtcdCluster", () => {
  test("tells its hosts and endpoints", async () => {
    const { result } = await underMocks("test", async () => {
      const etcd = new EtcdCluster("etcd", { network: "n", prefix: "t-" });
      return { hosts: etcd.hosts, endpoints: await valueOf(etcd.endpoints) };
    });
    expect(result).toEqual({
      hosts: ["t-etcd-1:2379", "t-etcd-2:2379", "t-etcd-3:2379"],
      endpoints: ["http://t-etcd-1:2379", "http://t-etcd-2:2379", "http://t-etcd-3:2379"],
    });
  });

  test.each([0, 2, 4])("refuses %i members", async (members) => {
    await underMocks("test", () => expect(() => new EtcdCluster("etcd", { network: "n", members })).toThrow(/EtcdCluster etcd: members is \d; it must be odd/));
  });
});

describe("HAProxy", () => {
  test("is one container with its configuration in its holder's namespaces, and tells where it listens", async () => {
    const { result, resources } = await underMocks("test", () => new HAProxy("front", { network: "n", members: ["db-1"], leaderPort: 15000, bindAddress: "0.0.0.0" }));
    expect(containerNames(resources)).toEqual(["front", "front-holder"]);
    expect(result.leader).toEqual({ host: "127.0.0.1", port: 15000 });
    expect(result.statisticsUrl).toBe("http://127.0.0.1:7000/");
    expect(containers(resources).find(({ name }) => name === "front-proxy-holder")?.inputs["ports"]).toEqual([
      { internal: 5000, external: 15000, ip: "0.0.0.0", protocol: "tcp" },
      { internal: 5001, external: 5001, ip: "0.0.0.0", protocol: "tcp" },
      { internal: 7000, external: 7000, ip: "0.0.0.0", protocol: "tcp" },
    ]);
  });

  test("refuses no members", async () => {
    await underMocks("test", () => expect(() => new HAProxy("front", { network: "n", members: [] })).toThrow(/HAProxy front: members is empty/));
  });
});

describe("Pooler", () => {
  test("is one container in front of an HAProxy, keeps its password secret, and tells where it listens", async () => {
    const { result, resources } = await underMocks("test", () => {
      const proxy = new HAProxy("front", { network: "n", prefix: "t-", members: ["db-1"] });
      return new Pooler("pool", { network: "n", prefix: "t-", image: "i", server: proxy.inside, superuserPassword: "plain", port: 16432, bindAddress: "0.0.0.0" });
    });
    expect(containerNames(resources)).toEqual(["t-front", "t-front-holder", "t-pool", "t-pool-holder"]);
    expect(result.endpoint).toEqual({ host: "127.0.0.1", port: 16432 });
    const pooler = containers(resources).find(({ name }) => name === "pool-pgbouncer");
    expect(pooler?.inputs["envs"]).toEqual(["PGDATABASE=postgres", "PGHOST=t-front", "PGPASSWORD=plain", "PGPORT=5000", "PGUSER=postgres"]);
    expect(pooler?.secrets).toContain("envs");
    expect(containers(resources).find(({ name }) => name === "pool-pgbouncer-holder")?.inputs["ports"]).toEqual([{ internal: 6432, external: 16432, ip: "0.0.0.0", protocol: "tcp" }]);
    expect(JSON.stringify(pooler?.inputs["uploads"])).toContain("* = host=t-front port=5000");
  });
});

describe("Keeper", () => {
  test("builds its image unless it is given one, and its memory limit is no change where the engine has none", async () => {
    const { options, recorded } = recording();
    const { result, resources } = await underMocks("test", () => new Keeper("keep", { network: "n", prefix: "t-" }, options));
    expect(result.container).toBe("t-keep");
    expect(containers(resources).map(({ inputs }) => [inputs["name"], inputs["image"]])).toEqual([["t-keep", expect.stringMatching(/^citus-sharding\/keeper:/)]]);
    expect(optionsOf(recorded, "keep-container").ignoreChanges).toEqual(["memory", "memorySwap"]);
    expect((await underMocks("test", () => new Keeper("keep", { network: "n", image: "given" }))).resources.filter(({ type }) => type.startsWith("command:"))).toEqual([]);
  });
});

describe("PgBouncerImage", () => {
  test("is on Debian unless it is told otherwise", async () => {
    const tag = async (args?: { base: string }): Promise<string> => (await underMocks("test", () => valueOf(new PgBouncerImage("p", args).image))).result;
    const debian = await tag();
    expect(debian).toMatch(/^citus-sharding\/pgbouncer:[0-9a-f]{12}$/);
    expect(await tag({ base: "debian:trixie-slim" })).toBe(debian);
    expect(await tag({ base: "debian:forky-slim" })).not.toBe(debian);
  });
});

describe("PatroniImage", () => {
  test("is tagged by its content", async () => {
    const tag = async (base: string): Promise<string> => (await underMocks("test", () => valueOf(new PatroniImage("p", { base }).image))).result;
    const [one, again, other] = [await tag("postgres:17-trixie"), await tag("postgres:17-trixie"), await tag("citusdata/citus:13.2.0")];
    expect(one).toMatch(/^citus-sharding\/patroni:[0-9a-f]{12}$/);
    expect(again).toBe(one);
    expect(other).not.toBe(one);
  });
});
