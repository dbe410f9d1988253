import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { docker, eventually, hasImage, Project, query } from "./project";

const CITUS = "citusdata/citus:13.2.0";
const ROOMS = 200;

interface Outputs {
  readonly uris: Record<string, string>;
}

/** How one topology is configured and reached; the cases are the same for both. */
interface Case {
  readonly stack: string;
  readonly prefix: string;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Settings with as many workers in the first cluster. */
  readonly workers: (count: number) => Readonly<Record<string, unknown>>;
  /** The output that holds the first cluster's URI. */
  readonly uri: string;
  /** The fourth worker of the first cluster. */
  readonly fourthWorker: string;
  readonly replicationFactor: number;
}

const cases: Case[] = [
  {
    stack: "active-active",
    prefix: "e2e-aa-",
    settings: { prefix: "e2e-aa-", shardCount: 12 },
    workers: (count) => ({ clusters: { a: { workers: count, port: 15432 }, b: { workers: 2, port: 15532 } } }),
    uri: "a",
    fourthWorker: "e2e-aa-worker_a4",
    replicationFactor: 2,
  },
  {
    stack: "active-passive",
    prefix: "e2e-ap-",
    settings: { prefix: "e2e-ap-", shardCount: 12, ports: { leader: 15600, standbys: 15601, nodes: 15603, statistics: 15602 } },
    workers: (count) => ({ workers: count }),
    uri: "leader",
    fourthWorker: "e2e-ap-worker4",
    replicationFactor: 2,
  },
];

describe.skipIf(!hasImage(CITUS)).each(cases)("$stack", ({ stack, prefix, settings, workers, uri: uriName, fourthWorker, replicationFactor }) => {
  const project = new Project(stack);
  let uri: string;

  beforeAll(async () => {
    project.configure({ ...settings, ...workers(3) });
    await project.create();
  });
  afterAll(() => project.dispose(prefix));

  const sql = async (statement: string): Promise<Record<string, unknown>[]> => (await query(uri, statement))[0] ?? [];
  const nodes = (): string[] => docker("ps", "--format", "{{.Names}}").split("\n").filter((name) => name.startsWith(prefix) && !name.endsWith("-holder"));
  const placements = async (): Promise<Record<string, number>> =>
    Object.fromEntries((await sql("select nodename, count(*)::int as count from citus_shards where table_name = 'messages'::regclass group by 1 order by 1")).map(({ nodename, count }) => [nodename as string, count as number]));
  /** Ids of so many rooms that live in the first cluster: the others' it does not take. */
  const ownRooms = async (count: number): Promise<number[]> => {
    const own = stack === "active-active" ? "tenancy.home(n::text) = 'a'" : "true";
    return (await sql(`select n from generate_series(1, 4000) n where ${own} order by n limit ${count}`)).map(({ n }) => n as number);
  };
  /** Writes a room in every shard and gives how many shards took it. */
  const writeEveryShard = async (): Promise<number> => {
    const [row] = await sql(`
      with keys as (select distinct on (get_shard_id_for_distribution_column('rooms', n)) n from unnest('{${(await ownRooms(1000)).join(",")}}'::int[]) n)
      select array_agg(n) as keys from keys`);
    const keys = (row?.["keys"] ?? []) as number[];
    for (const key of keys) await sql(`insert into rooms (room_id, name) values (${key}, 'every shard') on conflict (room_id) do update set name = excluded.name`);
    return keys.length;
  };
  const expectAllRows = async (): Promise<void> =>
    expect(await query(uri, "select count(*)::int as count from messages", "select count(distinct room_id)::int as count from messages")).toEqual([[{ count: ROOMS * 3 }], [{ count: ROOMS }]]);

  test("comes up from nothing", async () => {
    const changes = await project.up();
    expect(changes["create"]).toBeGreaterThan(30);
    uri = (await project.outputs<Outputs>()).uris[uriName] as string;
  });

  test("up again changes nothing", async () => {
    const { same, ...changes } = await project.up();
    expect(changes).toEqual({});
    expect(same).toBeGreaterThan(30);
  });

  test("has its schema, distributed and colocated by room", async () => {
    const tables = await sql("select table_name::text, distribution_column, colocation_id, shard_count::int from citus_tables where table_name::text in ('rooms', 'room_members', 'messages') order by 1");
    expect(tables.map(({ table_name, distribution_column, shard_count }) => [table_name, distribution_column, shard_count])).toEqual([
      ["messages", "room_id", 12],
      ["room_members", "room_id", 12],
      ["rooms", "room_id", 12],
    ]);
    expect(new Set(tables.map(({ colocation_id }) => colocation_id)).size).toBe(1);
    const placed = await placements();
    expect(Object.values(placed).reduce((sum, count) => sum + count, 0)).toBe(12 * replicationFactor);
    expect(await sql("show max_connections")).toEqual([{ max_connections: "300" }]);
    expect(await sql("select count(*)::int as count from pg_extension where extname in ('citus', 'pg_stat_statements')")).toEqual([{ count: 2 }]);
  });

  test("every shard takes a write", async () => {
    expect(await writeEveryShard()).toBe(12);
    await sql(`insert into messages (room_id, user_id, body) select room, sender, 'kept' from unnest('{${(await ownRooms(ROOMS)).join(",")}}'::int[]) room, generate_series(1, 3) sender`);
    await expectAllRows();
  });

  test("no password stands in the state in plain text", async () => {
    const password = decodeURIComponent(new URL(uri).password);
    expect(await project.pulumi("stack", "export")).not.toContain(password);
  });

  test("a worker that is added is registered and gets shards, and no row is lost", async () => {
    project.configure(workers(4));
    await project.up();
    const placed = await placements();
    expect(Object.keys(placed)).toHaveLength(4);
    expect(placed[fourthWorker]).toBeGreaterThanOrEqual(2);
    await expectAllRows();
  });

  test("a worker that is removed is drained first, and stays if that fails; the next up goes on, and no row is lost", async () => {
    // The other workers refuse every table, and so every shard that would move there.
    const onOthers = async (...commands: string[]): Promise<void> => {
      const body = ["set local citus.enable_ddl_propagation to off", ...commands].map((command) => `${command};`).join(" ");
      const results = await sql(`select run.success, run.result from pg_dist_node, lateral master_run_on_worker(array[nodename], array[nodeport], array['do $do$ begin ${body.replaceAll("'", "''")} end $do$'], true) run
        where groupid > 0 and nodename <> '${fourthWorker}'`);
      expect(results.map(({ success }) => success), JSON.stringify(results)).toEqual([true, true, true]);
    };
    await onOthers("create function refuse() returns event_trigger language plpgsql as 'begin raise exception ''no table here''; end'", "create event trigger refuse on ddl_command_start when tag in ('CREATE TABLE') execute function refuse()");

    project.configure(workers(3));
    await expect(project.up()).rejects.toThrow(new RegExp(`draining ${fourthWorker}.*no table here`));
    expect(nodes()).toContain(fourthWorker);
    await expectAllRows();

    await onOthers("drop event trigger refuse", "drop function refuse()");
    await project.up();
    expect(nodes()).not.toContain(fourthWorker);
    const placed = await placements();
    expect(Object.keys(placed)).not.toContain(fourthWorker);
    expect(Object.values(placed).reduce((sum, count) => sum + count, 0)).toBe(12 * replicationFactor);
    // Plain Pulumi deletes no volume; npm run up drops one whose worker was drained.
    expect(project.leftovers(fourthWorker)).toEqual([`${fourthWorker}-data`]);
    docker("volume", "rm", `${fourthWorker}-data`);
    await expectAllRows();
    expect(await writeEveryShard()).toBe(12);
  });

  test("a changed parameter is reloaded, and one that needs it restarts the nodes", async () => {
    project.configure({ parameters: { work_mem: "12MB", max_connections: 310 } });
    await project.up();
    for (const [parameter, value] of [["work_mem", "12MB"], ["max_connections", "310"]] as const) {
      const everywhere = await sql(`select distinct result from run_command_on_all_nodes('show ${parameter}')`);
      expect(everywhere, parameter).toEqual([{ result: value }]);
    }
    expect((await project.up())["update"] ?? 0).toBe(0);
    project.configure({ parameters: undefined });
    await project.up();
    expect(await sql("select distinct result from run_command_on_all_nodes('show work_mem')")).toEqual([{ result: "4MB" }]);
    await expectAllRows();
  });

  test("works after every node was restarted, one by one and all at once", async () => {
    for (const node of nodes()) docker("restart", "-t", "30", node);
    await eventually(60_000, async () => expect(await writeEveryShard()).toBe(12));
    docker("restart", "-t", "30", ...nodes());
    await eventually(90_000, async () => expect(await writeEveryShard()).toBe(12));
    await eventually(30_000, async () => expect(await sql("select bool_and(result) as all from citus_check_cluster_node_health()")).toEqual([{ all: true }]));
    await expectAllRows();
  });

  test("a container that was removed by hand comes back with its data at the next up", async () => {
    const worker = nodes().find((name) => /worker(_a)?2$/.test(name)) as string;
    docker("rm", "-f", worker);
    await project.up("--refresh");
    expect(nodes()).toContain(worker);
    expect(await writeEveryShard()).toBe(12);
    await expectAllRows();
  });

  test("destroy leaves no container and no network; its volumes go by their label", async () => {
    await project.pulumi("destroy", "--yes", "--skip-preview");
    const volumes = docker("volume", "ls", "--quiet", "--filter", `label=io.citus-sharding.stack=organization/citus-sharding/${stack}`).split("\n").filter((name) => name.startsWith(prefix));
    expect(project.leftovers(prefix).sort()).toEqual(volumes.sort());
    docker("volume", "rm", ...volumes);
    expect(project.leftovers(prefix)).toEqual([]);
  });
});
