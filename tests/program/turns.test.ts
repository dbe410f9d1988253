import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { CitusCluster, EtcdCluster, HAProxy, PatroniGroup, type CitusClusterArgs, type PatroniGroupArgs } from "../../components";
import { recording, underMocks, valueOf, type Options, type Registered } from "./mocks";

/** Names of the resources that another one waits for. */
async function dependencies(recorded: readonly Options[], name: string): Promise<string[]> {
  const given = [recorded.find((entry) => entry.name === name)?.options.dependsOn ?? []].flat() as pulumi.Resource[];
  const urns = await Promise.all(given.map(({ urn }) => valueOf(urn)));
  return urns.map((urn) => urn.split("::").at(-1) as string).sort();
}

const find = (resources: readonly Registered[], name: string): Registered => resources.find((resource) => resource.name === name) as Registered;
const madeOf = (resources: readonly Registered[], name: string): unknown => (find(resources, `${name}-turn`).inputs["environment"] as Record<string, unknown>)["CITUS_MADE_OF"];
const patroni = (more: Partial<PatroniGroupArgs> = {}): PatroniGroupArgs => ({ network: "n", etcdHosts: ["e-1:2379"], image: "i", superuserPassword: "secret one", ...more });
const citus = (more: Partial<CitusClusterArgs> = {}): CitusClusterArgs => ({ network: "n", port: 5432, workers: ["w1", "w2"], replicationFactor: 2, guardImage: "g", superuserPassword: "secret one", ...more });

describe("members are replaced in turn", () => {
  test("each member of a Patroni group and its holder after its turn, and that after the member before", async () => {
    const { options, recorded } = recording();
    const { resources } = await underMocks("test", () => new PatroniGroup("db", patroni(), options));
    for (const name of ["db-1", "db-2", "db-3"]) {
      expect(await dependencies(recorded, name)).toEqual([`${name}-turn`]);
      expect(await dependencies(recorded, `${name}-holder`)).toEqual([`${name}-turn`]);
      expect(find(resources, name).inputs["labels"]).toContainEqual({ label: "io.citus-sharding.made-of", value: madeOf(resources, name) });
    }
    expect(await Promise.all(["db-1-turn", "db-2-turn", "db-3-turn"].map((turn) => dependencies(recorded, turn)))).toEqual([[], ["db-1"], ["db-2"]]);
  });

  test("a turn knows its container, its group and what it is made of", async () => {
    const { resources } = await underMocks("test", () => new PatroniGroup("db", patroni({ prefix: "t-" })));
    const { inputs } = find(resources, "db-2-turn");
    expect(JSON.parse(inputs["stdin"] as string)).toMatchObject({ kind: "turn", container: "t-db-2", group: { kind: "patroni", scope: "t-db", members: [{ container: "t-db-1" }, { container: "t-db-2" }, { container: "t-db-3" }] } });
    expect(Object.keys(inputs["environment"] as object)).toEqual(["CITUS_MADE_OF"]);
  });

  describe("a turn", () => {
    let folder: string;
    let command: string;
    beforeAll(async () => {
      folder = mkdtempSync(path.join(tmpdir(), "turn-"));
      const { resources } = await underMocks("test", () => new PatroniGroup("db", patroni({ prefix: "t-" })));
      command = find(resources, "db-2-turn").inputs["create"] as string;
    });
    afterAll(() => rmSync(folder, { recursive: true }));

    test.each<[string, { docker: string; code?: number; out: string }]>([
      ["runs where its container is made of something else", { docker: "echo other running", out: "node --import tsx setup/main.ts\n" }],
      ["runs where its container does not say what it is made of", { docker: 'echo " running"', out: "node --import tsx setup/main.ts\n" }],
      ["runs nothing where its container is as it should be, whatever Docker warns of", { docker: "echo WARNING >&2; echo made running", out: "" }],
      ["starts its container where that is as it should be, and was stopped", { docker: 'if [ "$1" = start ]; then echo "$@"; else echo made exited; fi', out: "start t-db-2\n" }],
      ["leaves it to others where it does not start", { docker: 'if [ "$1" = start ]; then exit 1; else echo made exited; fi', out: "" }],
      ["runs nothing where there is no such container", { docker: "echo 'Error response from daemon: No such container: t-db-2' >&2; exit 1", out: "" }],
      ["fails where Docker does not tell", { docker: "echo '$(rm -rf x): no such file' >&2; exit 1", code: 1, out: "Docker does not tell of t-db-2: $(rm -rf x): no such file; nothing was replaced\n" }],
    ])("%s", (_, { docker, code = 0, out }) => {
      for (const [name, script] of [["docker", docker], ["node", 'echo node "$@"']] as const) {
        writeFileSync(path.join(folder, name), `#!/bin/sh\n${script}\n`);
        chmodSync(path.join(folder, name), 0o755);
      }
      const ran = spawnSync("/bin/sh", ["-c", command], { encoding: "utf8", env: { PATH: `${folder}:${process.env["PATH"]}`, CITUS_MADE_OF: "made" } });
      expect([ran.status, ran.stdout + ran.stderr]).toEqual([code, out]);
    });
  });

  test("members of etcd one after the other", async () => {
    const { options, recorded } = recording();
    const { resources } = await underMocks("test", () => new EtcdCluster("e", { network: "n" }, options));
    expect(await Promise.all(["e-1-turn", "e-2-turn", "e-3-turn", "e-3"].map((name) => dependencies(recorded, name)))).toEqual([[], ["e-1"], ["e-2"], ["e-3-turn"]]);
    expect(JSON.parse(find(resources, "e-1-turn").inputs["stdin"] as string)).toMatchObject({ group: { kind: "etcd", members: [{ name: "e-1" }, { name: "e-2" }, { name: "e-3" }] } });
  });

  test("all at once where nothing exists yet", async () => {
    vi.stubEnv("CITUS_FIRST_UPDATE", "true");
    try {
      const { options, recorded } = recording();
      await underMocks("test", () => new CitusCluster("x", citus(), options));
      expect(await Promise.all(["x-w2-turn", "x-coord_x-turn", "x-coord_x"].map((name) => dependencies(recorded, name)))).toEqual([[], [], ["x-coord_x-turn"]]);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test("workers one after the other, then the coordinator, then the guard", async () => {
    const { options, recorded } = recording();
    const { resources } = await underMocks("test", () => new CitusCluster("x", citus(), options));
    const turns = ["x-w1-turn", "x-w2-turn", "x-coord_x-turn", "x-guard_x-turn"];
    expect(await Promise.all(turns.map((name) => dependencies(recorded, name)))).toEqual([[], ["x-w1"], ["x-w2"], ["x-coord_x"]]);
    const group = { kind: "citus", coordinators: ["coord_x"], workers: [{ container: "w1" }, { container: "w2" }], guards: ["guard_x"] };
    for (const turn of turns.slice(0, 3)) expect(JSON.parse(find(resources, turn).inputs["stdin"] as string)).toMatchObject({ group });
  });

  test("no turn knows a secret", async () => {
    const { resources } = await underMocks("test", () => [new PatroniGroup("db", patroni()), new CitusCluster("x", citus())]);
    const turns = resources.filter(({ name }) => name.endsWith("-turn"));
    expect(turns.length).toBe(7);
    for (const { name, inputs, secrets } of turns) {
      expect(JSON.stringify(inputs), name).not.toContain("secret");
      expect(secrets, name).toEqual([]);
    }
  });
});

describe("what a member is made of", () => {
  let before: { patroni: unknown; worker: unknown };
  beforeAll(async () => (before = { patroni: await ofPatroni(), worker: await ofWorker() }));
  const ofPatroni = async (more?: Partial<PatroniGroupArgs>): Promise<unknown> => madeOf((await underMocks("test", () => new PatroniGroup("db", patroni(more)))).resources, "db-2");
  const ofWorker = async (more?: Partial<CitusClusterArgs>): Promise<unknown> => madeOf((await underMocks("test", () => new CitusCluster("x", citus(more)))).resources, "x-w2");

  test.each<[string, Partial<PatroniGroupArgs>]>([
    ["the image", { image: "j" }],
    ["a limit", { limits: { memory: "1 GB" } }],
    ["whether its holder fences it", { fencer: false }],
    ["an address of etcd", { etcdHosts: ["e-1:2379", "e-2:2379"] }],
    ["the major version", { postgresMajor: 16 }],
  ])("is another for %s", async (_, more) => expect(await ofPatroni(more)).not.toBe(before.patroni));

  test.each<[string, Partial<PatroniGroupArgs>]>([
    ["a parameter, which is set while the member runs", { parameters: { work_mem: "16MB" } }],
    ["a password", { superuserPassword: "secret two", replicationPassword: "secret three" }],
    ["one member more", { members: 4 }],
    ["the image of a holder that is not used", { holderImage: "h" }],
  ])("is the same for %s", async (_, more) => expect(await ofPatroni(more)).toBe(before.patroni));

  test.each<[string, boolean, Partial<CitusClusterArgs>]>([
    ["another for the image of its door", true, { doorImage: "h" }],
    ["the same for the image of a holder that is not used", false, { holderImage: "h" }],
    ["another for its port", true, { port: 6432 }],
    ["the same for a worker more", false, { workers: ["w1", "w2", "w3"] }],
    ["the same for a limit of the coordinator", false, { limits: { coordinator: { cpus: 2 } } }],
  ])("is of a worker %s", async (_, differs, more) => expect((await ofWorker(more)) !== before.worker).toBe(differs));

  test("is another for the image of its holder, where it has no door", async () => expect(await ofWorker({ guard: false, holderImage: "h" })).not.toBe(await ofWorker({ guard: false })));
});

describe("HAProxy's configuration", () => {
  test("is put into the container by a set-up, and a change of it leaves the container alone", async () => {
    const { options, recorded } = recording();
    const front = (members: string[]) => underMocks("test", () => new HAProxy("front", { network: "n", members }, options));
    const { resources } = await front(["db-1"]);
    expect(recorded.find(({ name }) => name === "front-proxy")?.options.ignoreChanges).toEqual([0, 1, 2].map((index) => `uploads[${index}].content`));
    expect(await dependencies(recorded, "front-setup")).toEqual(["front-proxy"]);
    const spec = (from: readonly Registered[]) => JSON.parse(find(from, "front-setup").inputs["stdin"] as string) as { digest: string; files: { path: string; content: string }[] };
    const { digest, ...one } = spec(resources);
    expect(one).toMatchObject({ kind: "haproxy", container: "front", files: [{ path: "/usr/local/etc/haproxy/haproxy.cfg" }, { path: "/usr/local/etc/haproxy/cut.lua" }, { path: "/usr/local/etc/haproxy/instep.lua" }] });
    expect(one.files[0]?.content).toContain(`set-var proc.configuration str(${digest})`);
    expect(spec((await front(["db-1", "db-2"])).resources).digest).not.toBe(digest);
    expect(spec((await front(["db-1"])).resources).digest).toBe(digest);
  });
});
