import { readFileSync } from "node:fs";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { docker, hasCommit, hasImage, Project, query } from "./project";

const CITUS = "citusdata/citus:13.2.0";
/** The last version of the project in which HAProxy and the pooler had no holders. */
const BEFORE_HOLDERS = "ba151fa^";

interface Outputs {
  readonly uris: Record<string, string>;
}

/** What a stack has on this machine: containers by name and id, and volumes. */
function belongings(project: Project, prefix: string): string[] {
  const containers = docker("ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.ID}}").split("\n").filter((line) => line.startsWith(prefix));
  return [...containers, ...project.leftovers(prefix)].sort();
}

describe.skipIf(!hasImage(CITUS))("no command loses data", () => {
  const PREFIX = "e2e-cu-";
  /** The same image under tags that say another major, and none. */
  const OTHER_MAJOR = "e2e-cu/citus:13.2.0-pg16";
  const UNTOLD_MAJOR = "e2e-cu/citus:custom";
  const project = new Project("custody");
  const settings = { topology: "active-active", prefix: PREFIX, shardCount: 4, replicationFactor: 1, clusters: { a: { workers: 1, port: 15810 } }, images: undefined, superuserPassword: undefined, dataOnDestroy: undefined };
  let uri: string;

  beforeAll(async () => {
    for (const tag of [OTHER_MAJOR, UNTOLD_MAJOR]) docker("tag", CITUS, tag);
    project.configure(settings);
    await project.create();
    await project.up();
    uri = (await project.outputs<Outputs>()).uris["a"] as string;
    await query(uri, "insert into rooms (room_id, name) select n, 'kept' from generate_series(1, 50) n");
  });
  afterAll(() => {
    project.dispose(PREFIX);
    docker("rmi", OTHER_MAJOR, UNTOLD_MAJOR);
  });

  const rooms = async (): Promise<unknown> => (await query(uri, "select count(*)::int as count from rooms where name = 'kept'"))[0];
  const volumes = (): string[] => docker("volume", "ls", "--format", "{{.Name}}").split("\n").filter((name) => name.startsWith(PREFIX)).sort();
  const passive = { topology: "active-passive", clusters: undefined, workers: 1, coordinators: 1, etcdMembers: 1 };
  const notPassive = { workers: undefined, coordinators: undefined, etcdMembers: undefined };

  describe("refused before anything is touched", () => {
    test.each<[string, Record<string, unknown>, RegExp]>([
      ["another prefix", { prefix: "e2e-cx-" }, /prefix is "e2e-cx-", and the data of custody is under "e2e-cu-".*config set prefix e2e-cu-/],
      ["another topology", passive, /topology is active-passive, and custody has data as active-active/],
      ["a cluster of another name", { clusters: { z: { workers: 1, port: 15810 } } }, /a is no longer among the clusters of custody \(now z\), and cluster a has data in public\.rooms/],
      ["a cluster of another name without the fence", { clusters: { z: { workers: 1, port: 15810 } }, tenantFence: false }, /cluster a has data in public\.rooms/],
      ["an image of another major", { images: { citus: OTHER_MAJOR } }, /mean PostgreSQL 16, and e2e-cu-coord_a-data and 1 other volume hold data of PostgreSQL 17/],
      ["another postgresMajor", { images: { citus: UNTOLD_MAJOR }, postgresMajor: 18 }, /mean PostgreSQL 18, and e2e-cu-coord_a-data and 1 other volume hold data of PostgreSQL 17/],
      ["another password", { superuserPassword: "another" }, /superuserPassword is another one.*It was generated, and is in the state: npm run pulumi -- config rm superuserPassword/],
    ])("%s, with plain Pulumi", async (_, change, sentence) => {
      const before = belongings(project, PREFIX);
      project.configure({ ...settings, ...notPassive, tenantFence: undefined, postgresMajor: undefined, ...change });
      await expect(project.up()).rejects.toThrow(sentence);
      expect(belongings(project, PREFIX)).toEqual(before);
      expect(project.leftovers("e2e-cx-")).toEqual([]);
      expect(await rooms()).toEqual([{ count: 50 }]);
    });

    test.each<[string, string[], RegExp]>([
      ["another prefix", ["-c", "prefix=e2e-cx-"], /prefix is "e2e-cx-".*Nothing was touched/],
      ["a key that takes the place of the clusters", ["-c", 'clusters={"c":{"workers":1,"port":15850}}'], /list all of them: npm run pulumi -- config set --path clusters\.a\.workers/],
      ["another password", ["-c", "superuserPassword=another"], /superuserPassword is another one.*config rm superuserPassword.*Nothing was touched/],
      ["another major", ["-c", "postgresMajor=18", "-c", `images={"citus":"${UNTOLD_MAJOR}"}`], /mean PostgreSQL 18/],
    ])("%s, with npm run up, which does not save it either", async (_, options, sentence) => {
      project.configure({ ...settings, ...notPassive, tenantFence: undefined, postgresMajor: undefined });
      const file = path.join(project.directory, "Pulumi.custody.yaml");
      const [before, saved] = [belongings(project, PREFIX), readFileSync(file, "utf8")];
      const { code, stderr } = await project.command("up", "custody", ...options);
      expect([code, stderr]).toEqual([1, expect.stringMatching(sentence)]);
      expect(belongings(project, PREFIX)).toEqual(before);
      expect(readFileSync(file, "utf8")).toBe(saved);
    });

    test("the settings that it had are taken as before", async () => {
      // The first one takes images and components out of the state that refused updates left there.
      const before = belongings(project, PREFIX);
      await project.up();
      expect(belongings(project, PREFIX)).toEqual(before);
      const { same, ...changes } = await project.up();
      expect(changes).toEqual({});
      expect(same).toBeGreaterThan(5);
    });
  });

  describe("a worker that is taken out", () => {
    const VOLUME = `${PREFIX}worker_a2-data`;
    const workers = (count: number): void => project.configure({ clusters: { a: { workers: count, port: 15810 } } });

    test("leaves its volume with plain Pulumi, and a later worker of its name does not begin with that", async () => {
      workers(2);
      await project.up();
      workers(1);
      await project.up();
      expect(volumes()).toContain(VOLUME);
      workers(2);
      await expect(project.up()).rejects.toThrow(/e2e-cu-worker_a2 is not registered.*docker rm -f e2e-cu-worker_a2 && docker volume rm e2e-cu-worker_a2-data/);
      docker("rm", "-f", `${PREFIX}worker_a2`);
      docker("volume", "rm", VOLUME);
      expect((await project.command("up", "custody")).code).toBe(0);
      expect(await rooms()).toEqual([{ count: 50 }]);
    });

    test("goes with its volume with npm run up, which says so", async () => {
      workers(1);
      const { code, stderr } = await project.command("up", "custody");
      expect([code, stderr]).toEqual([0, expect.stringContaining(`Removed the volume ${VOLUME}`)]);
      expect(volumes()).not.toContain(VOLUME);
      expect(await rooms()).toEqual([{ count: 50 }]);
    });
  });

  describe("down", () => {
    const ORPHANED = [`${PREFIX}coord_b-data`, `${PREFIX}worker_b1-data`];

    test("refuses without a terminal where data took writes, and says what would go", async () => {
      const before = belongings(project, PREFIX);
      const { code, stderr } = await project.command("down", "custody");
      expect([code, stderr]).toEqual([1, expect.stringMatching(/its data goes for good: public\.rooms \(about \d+ rows\), .*Nothing was dropped yet: say --yes/)]);
      expect(belongings(project, PREFIX)).toEqual(before);
    });

    test("asks on a terminal, and drops nothing at another word", async () => {
      const before = belongings(project, PREFIX);
      const { code, shown } = await project.commandOnTerminal("yes", "down", "custody");
      expect([code, shown]).toEqual([1, expect.stringMatching(/public\.rooms \(about \d+ rows\)[^]*Type custody to go on:[^]*Nothing was dropped\./)]);
      expect(belongings(project, PREFIX)).toEqual(before);
    });

    test("asks about a cluster that the file has no more, and counts its local tables and other databases", async () => {
      const [a, b] = [{ workers: 1, port: 15810 }, { workers: 1, port: 15830 }];
      project.configure({ clusters: { a, b } });
      expect((await project.command("up", "custody")).code).toBe(0);
      await query((await project.outputs<Outputs>()).uris["b"] as string, "create table notes (note text)", "insert into notes values ('kept')", "create database ledger");
      project.configure({ clusters: { a } });
      const before = belongings(project, PREFIX);
      const { code, stderr } = await project.command("down", "custody");
      expect([code, stderr]).toEqual([1, expect.stringMatching(/in a public\.rooms .*; in b public\.notes \(about \d+ rows?\) and database ledger, .*Nothing was dropped yet: say --yes/)]);
      expect(belongings(project, PREFIX)).toEqual(before);
      expect((await project.command("up", "custody")).stderr).toMatch(/b is no longer among the clusters of custody \(now a\), and cluster b has data in public\.notes, database ledger/);
      expect((await project.command("up", "custody", "--accept-loss", "b")).code).toBe(0);
      expect(volumes()).toEqual(expect.arrayContaining(ORPHANED));
    });

    test("keeps the data by what the file says now, and the next up finds it", async () => {
      project.configure({ dataOnDestroy: "keep", superuserPassword: decodeURIComponent(new URL(uri).password) });
      const { code, stdout } = await project.command("down", "custody");
      expect([code, stdout]).toEqual([0, expect.stringMatching(/2 volumes are left, with the data that is kept/)]);
      expect(project.leftovers(PREFIX).sort()).toEqual(volumes());
      expect((await project.command("up", "custody")).code).toBe(0);
      expect(await rooms()).toEqual([{ count: 50 }]);
    });

    test("leaves data that opens only with its password, which is taken also after a wrong one", async () => {
      const superuserPassword = decodeURIComponent(new URL(uri).password);
      expect((await project.command("down", "custody")).code).toBe(0);
      project.configure({ dataOnDestroy: undefined, superuserPassword: undefined });
      const missing = /There are volumes of an earlier custody \(.*\), and superuserPassword is not set: .*config set --secret superuserPassword --stack custody/;
      await expect(project.up()).rejects.toThrow(missing);
      const generated = await project.command("up", "custody");
      expect([generated.code, generated.stderr]).toEqual([1, expect.stringMatching(missing)]);
      expect(project.leftovers(PREFIX).sort()).toEqual(volumes());

      project.configure({ dataOnDestroy: "keep", superuserPassword: "another" });
      // Nothing tells before the databases run, and then they do.
      for (const sentence of [/refuses the password of postgres: .*Set superuserPassword to that one/, /superuserPassword is another one than the data of custody was made with: .*Nothing was touched/]) {
        const wrong = await project.command("up", "custody");
        expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringMatching(sentence)]);
      }
      project.configure({ superuserPassword });
      expect((await project.command("up", "custody")).code).toBe(0);
      expect(await rooms()).toEqual([{ count: 50 }]);
    });

    test("drops it by what the file says now, at the stack's name, and tells what a cluster that was taken out has left", async () => {
      project.configure({ dataOnDestroy: undefined });
      const { code, shown } = await project.commandOnTerminal("custody", "down", "custody");
      expect([code, shown]).toEqual([0, expect.stringContaining(`docker volume rm ${ORPHANED.join(" ")}`)]);
      expect(project.leftovers(PREFIX).sort()).toEqual(ORPHANED);
    });
  });
});

describe.skipIf(!hasImage(CITUS) || !hasCommit(BEFORE_HOLDERS))("a stack that an older version of the project made", () => {
  const PREFIX = "e2e-cv-";
  const project = new Project("older");
  let uri: string;

  beforeAll(async () => {
    const ports = { leader: 15820, standbys: 15821, nodes: 15822, statistics: 15823, pooler: 15824 };
    project.configure({ topology: "active-passive", prefix: PREFIX, coordinators: 1, etcdMembers: 1, workers: 1, shardCount: 4, pooler: true, ports });
    const { code, stderr } = await project.commandOf(project.earlier(BEFORE_HOLDERS), "up", "older");
    expect(code, stderr).toBe(0);
    uri = (await project.outputs<Outputs>()).uris["leader"] as string;
    await query(uri, "insert into rooms (room_id, name) select n, 'kept' from generate_series(1, 50) n");
  });
  afterAll(() => project.dispose(PREFIX));

  const rooms = async (): Promise<unknown> => (await query(uri, "select count(*)::int as count from rooms where name = 'kept'"))[0];

  test("is not begun anew under another scope or prefix, and is not taken apart by plain Pulumi", async () => {
    const before = belongings(project, PREFIX);
    for (const [option, sentence] of [["scope=other", /scope is "other", and the data of older belongs to "citusap" in etcd/], ["prefix=e2e-cx-", /prefix is "e2e-cx-"/]] as const) {
      const { code, stderr } = await project.command("up", "older", "-c", option);
      expect([code, stderr]).toEqual([1, expect.stringMatching(sentence)]);
    }
    await expect(project.up()).rejects.toThrow(/e2e-cv-haproxy and e2e-cv-pooler were made by an older version.*docker rm -f e2e-cv-haproxy e2e-cv-pooler && pulumi up --refresh/);
    expect(belongings(project, PREFIX)).toEqual(before);
  });

  test("is brought to this version by npm run up with its data and its volumes, and then changes nothing more", async () => {
    // What initdb gave each database. Docker's own time of a volume is that of its folder's last change.
    const databases = (): string[] => ["coord-1", "worker1"].map((name) => docker("exec", `${PREFIX}${name}`, "psql", "-U", "postgres", "-Atc", "select system_identifier from pg_control_system()"));
    const before = databases();
    const { code, stderr } = await project.command("up", "older");
    expect([code, stderr]).toEqual([0, expect.stringContaining("an older version of the project made them without a holder")]);
    expect(databases()).toEqual(before);
    expect(await rooms()).toEqual([{ count: 50 }]);
    const { same, ...changes } = await project.up();
    expect(changes).toEqual({});
    expect(same).toBeGreaterThan(10);
  });

  test("is then not begun anew under another scope by plain Pulumi either", async () => {
    const before = belongings(project, PREFIX);
    project.configure({ scope: "other" });
    await expect(project.up()).rejects.toThrow(/scope is "other", and the data of older belongs to "citusap" in etcd/);
    expect(belongings(project, PREFIX)).toEqual(before);
    project.configure({ scope: undefined });
  });

  test("goes with --yes, its volumes by their names", async () => {
    expect((await project.command("down", "older", "--yes")).code).toBe(0);
    expect(project.leftovers(PREFIX)).toEqual([]);
  });
});
