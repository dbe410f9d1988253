import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLeader, patroniCluster } from "../../cli/patroniCluster";
import { SteadyWriters } from "../steadyWriters";
import { docker, eventually, hasImage, Project, query } from "./project";

async function connected(uri: string): Promise<Client> {
  const client = new Client({ connectionString: uri, connectionTimeoutMillis: 2000, query_timeout: 10_000 });
  client.on("error", () => undefined); // The next statement reports it.
  await client.connect();
  return client;
}

const WRITE = "INSERT INTO rooms (room_id, name) VALUES ($1, 'rolling') ON CONFLICT (room_id) DO UPDATE SET name = rooms.name";
/** What a client may be without an answer; a machine that runs tests is slower than one that is measured. */
const LONGEST_GAP_MS = 3000;

/** When containers were created, the earliest first. */
function inOrderOfCreation(names: readonly string[]): string[] {
  const created = new Map(names.map((name) => [name, docker("inspect", "--format", "{{.Created}}", name)]));
  return [...names].sort((one, other) => ((created.get(one) as string) < (created.get(other) as string) ? -1 : 1));
}

const ids = (names: readonly string[]): string[] => names.map((name) => docker("inspect", "--format", "{{.Id}}", name));
const shm = (name: string): number => Number(docker("inspect", "--format", "{{.HostConfig.ShmSize}}", name)) / 1024 ** 2;

describe.skipIf(!hasImage("citusdata/citus:13.2.0"))("active-passive, one member after the other", () => {
  const PREFIX = "e2e-ro-";
  const SETTINGS = { prefix: PREFIX, shardCount: 4, workers: 1, replicationFactor: 1, etcdMembers: 1, ports: { leader: 16610, standbys: 16611, nodes: 16612, statistics: 16613, pooler: 16614 } };
  const COORDINATORS = [1, 2, 3].map((number) => `${PREFIX}coord-${number}`);
  const project = new Project("active-passive");
  let uris: Record<string, string>;
  const leader = async (): Promise<string | undefined> => (await patroniCluster(COORDINATORS))?.find(isLeader)?.name;

  beforeAll(async () => {
    project.configure(SETTINGS);
    await project.create();
    await project.up();
    ({ uris } = await project.outputs<{ uris: Record<string, string> }>());
  });
  afterAll(() => project.dispose(PREFIX));

  test("a limit reaches one coordinator after the other, the lead is handed over, and writes go on", async () => {
    const before = await leader();
    const writers = new SteadyWriters(uris["leader"] as string, WRITE, [1, 2, 3, 4]);
    project.configure({ limits: { coordinator: { shm: "300 MB" } } });
    const out = await project.pulumi("up", "--yes", "--skip-preview");
    expect((await writers.stop()).longestMs).toBeLessThan(LONGEST_GAP_MS);
    expect(COORDINATORS.map(shm)).toEqual([300, 300, 300]);
    expect(inOrderOfCreation(COORDINATORS)).toEqual(COORDINATORS);
    expect(out).toContain(`leads now, after ${before}`);
  });

  test("an update that is killed between two members is finished by the next one, and writes go on", async () => {
    const before = ids(COORDINATORS);
    const writers = new SteadyWriters(uris["leader"] as string, WRITE, [1, 2, 3, 4]);
    project.configure({ limits: { coordinator: { shm: "301 MB" } } });
    const kill = project.begin("up", "active-passive");
    await eventually(60_000, () => Promise.resolve(expect(ids(COORDINATORS)).not.toEqual(before)));
    await kill();
    expect(COORDINATORS.map(shm).filter((size) => size === 300)).not.toEqual([]);
    const { code, stdout, stderr } = await project.command("up", "active-passive");
    expect({ code, said: code === 0 ? "" : stdout + stderr }).toEqual({ code: 0, said: "" });
    expect((await writers.stop()).longestMs).toBeLessThan(LONGEST_GAP_MS);
    expect(COORDINATORS.map(shm)).toEqual([301, 301, 301]);
    expect(await leader()).toBeDefined();
  });

  test("no member is touched while etcd is away, and the update goes on when it is back", async () => {
    const etcd = `${PREFIX}etcd-1`;
    const before = ids(COORDINATORS);
    const writers = new SteadyWriters(uris["leader"] as string, WRITE, [1, 2, 3, 4]);
    project.configure({ limits: { coordinator: { shm: "302 MB" } } });
    docker("pause", etcd);
    const update = project.pulumi("up", "--yes", "--skip-preview");
    // Its failure is taken where it is awaited.
    update.catch(() => undefined);
    try {
      await new Promise((resolve) => setTimeout(resolve, 25_000));
      expect(ids(COORDINATORS)).toEqual(before);
    } finally {
      docker("unpause", etcd);
    }
    await update;
    expect((await writers.stop()).longestMs).toBeLessThan(LONGEST_GAP_MS);
    expect(COORDINATORS.map(shm)).toEqual([302, 302, 302]);
  });

  test("a value that does not start stops after the first member, and the others serve", async () => {
    const [first, ...others] = COORDINATORS as [string, ...string[]];
    const before = ids(others);
    project.configure({ images: { patroni: "debian:trixie-slim" } });
    await expect(project.pulumi("up", "--yes", "--skip-preview")).rejects.toThrow();
    expect(ids(others)).toEqual(before);
    expect(await query(uris["leader"] as string, "SELECT count(*)::int AS rooms FROM rooms")).toEqual([[{ rooms: 4 }]]);
    const writers = new SteadyWriters(uris["leader"] as string, WRITE, [5, 6]);
    project.configure({ images: undefined });
    await project.up();
    expect((await writers.stop()).longestMs).toBeLessThan(LONGEST_GAP_MS);
    expect(ids(others)).toEqual(before);
    await eventually(30_000, async () => expect((await patroniCluster(COORDINATORS))?.find(({ name }) => name === first)?.state).toBe("streaming"));
  });

  test("sessions stay open while a worker is added and taken away", async () => {
    const proxy = ids([`${PREFIX}haproxy`]);
    const [toLeader, ...toNodes] = await Promise.all([uris["leader"], uris["nodes"], uris["nodes"]].map((uri) => connected(uri as string)));
    const backend = async (client: Client): Promise<unknown> => (await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")).rows;
    const sessions = [toLeader as Client, ...toNodes];
    const before = await Promise.all(sessions.map(backend));
    const serversOfNodes = async (): Promise<string> => (await (await fetch("http://127.0.0.1:16613/;csv")).text()).split("\n").filter((line) => line.startsWith("nodes,")).join();

    project.configure({ workers: 2 });
    await project.up();
    expect(await serversOfNodes()).toContain(`${PREFIX}worker2`);
    project.configure({ workers: 1 });
    await project.up();
    expect(await serversOfNodes()).not.toContain(`${PREFIX}worker2`);

    expect(await Promise.all(sessions.map(backend))).toEqual(before);
    expect(ids([`${PREFIX}haproxy`])).toEqual(proxy);
    // Docker starts it again after a crash: it does not take it for one that a person stopped.
    docker("exec", "--user", "root", `${PREFIX}haproxy-holder`, "bash", "-c", 'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" = haproxy ] && kill -9 ${p#/proc/}; done; true');
    await eventually(20_000, async () => expect(await serversOfNodes()).not.toContain(`${PREFIX}worker2`));
    expect(Number(docker("inspect", "--format", "{{.RestartCount}}", `${PREFIX}haproxy`))).toBeGreaterThan(0);
    await Promise.all(sessions.map((session) => session.end().catch(() => undefined)));
  });
});

/** Counts up in a row by one URI, and reads it by others, all the time: each read has to find what was acknowledged before it began. */
class Readers {
  private acknowledged = 0;
  private stopping = false;
  private readonly stale: string[] = [];
  private readonly reads: number[];
  private readonly running: Promise<unknown>;

  constructor(write: string, from: readonly string[]) {
    this.reads = from.map(() => 0);
    this.running = Promise.all([this.loop(write, (client) => this.count(client)), ...from.map((uri, index) => this.loop(uri, (client) => this.read(client, index)))]);
  }

  async stop(): Promise<{ readonly stale: readonly string[]; readonly reads: readonly number[] }> {
    this.stopping = true;
    await this.running;
    return { stale: this.stale, reads: this.reads };
  }

  private async loop(uri: string, step: (client: Client) => Promise<void>): Promise<void> {
    while (!this.stopping) {
      const client = await connected(uri).catch(() => undefined);
      try {
        while (client !== undefined && !this.stopping) {
          await step(client);
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      } catch {
        // It lost its server, and connects anew.
      }
      await client?.end().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  private async count(client: Client): Promise<void> {
    const next = this.acknowledged + 1;
    await client.query("INSERT INTO rooms (room_id, name) VALUES (77, $1) ON CONFLICT (room_id) DO UPDATE SET name = $1", [String(next)]);
    this.acknowledged = next;
  }

  private async read(client: Client, index: number): Promise<void> {
    const { acknowledged } = this;
    const { rows } = await client.query<{ name: string }>("SELECT name FROM rooms WHERE room_id = 77");
    const found = Number(rows[0]?.name ?? 0);
    if (found < acknowledged) this.stale.push(`reader ${index}: ${found} for ${acknowledged}`);
    (this.reads[index] as number) += 1;
  }
}

describe.skipIf(!hasImage("citusdata/citus:13.2.0"))("workers with copies, one after the other", () => {
  const PREFIX = "e2e-rw-";
  const WORKERS = [1, 2].map((number) => `${PREFIX}worker_a${number}`);
  const project = new Project("active-active");

  beforeAll(async () => {
    project.configure({ prefix: PREFIX, shardCount: 4, clusters: { a: { workers: 2, port: 16620 } } });
    await project.create();
    await project.up();
  });
  afterAll(() => project.dispose(PREFIX));

  test("are taken out of service before they are replaced, brought back by the guard, and writes go on", async () => {
    const { uris } = await project.outputs<{ uris: Record<string, string> }>();
    const uri = uris["a"] as string;
    const writers = new SteadyWriters(uri, WRITE, [1, 2, 3, 4, 5, 6]);
    const readers = new Readers(uri, WORKERS.map((_, index) => uri.replace(":16620", `:${16621 + index}`)));
    project.configure({ limits: { worker: { shm: "300 MB" } } });
    const out = await project.pulumi("up", "--yes", "--skip-preview");
    expect((await writers.stop()).longestMs).toBeLessThan(LONGEST_GAP_MS);
    const { stale, reads } = await readers.stop();
    expect(stale).toEqual([]);
    expect(Math.min(...reads)).toBeGreaterThan(50);
    expect(inOrderOfCreation(WORKERS)).toEqual(WORKERS);
    expect(WORKERS.map(shm)).toEqual([300, 300]);
    for (const worker of WORKERS) expect(out).toContain(`${worker}: out of service; its guard brings it back when it is another one`);
    await eventually(60_000, async () =>
      expect(await query(uri, "SELECT bool_and(isactive) AS active FROM pg_dist_node", "SELECT DISTINCT count(*)::int AS copies FROM citus_shards WHERE citus_table_type = 'distributed' GROUP BY shardid")).toEqual([[{ active: true }], [{ copies: 2 }]]),
    );
  });

  test("are replaced one after the other also by the update that brings their guard, and keep what was acknowledged", async () => {
    const { uris } = await project.outputs<{ uris: Record<string, string> }>();
    const uri = uris["a"] as string;
    project.configure({ guard: false });
    await project.up();
    expect(ids([`${PREFIX}coord_a`])).toHaveLength(1);
    expect(() => ids([`${PREFIX}guard_a`])).toThrow();
    const writers = new SteadyWriters(uri, "INSERT INTO rooms (room_id, name) VALUES ($1, '0') ON CONFLICT (room_id) DO UPDATE SET name = rooms.name::int + 1", [101, 102, 103, 104]);
    project.configure({ guard: true, limits: { worker: { shm: "301 MB" } } });
    const out = await project.pulumi("up", "--yes", "--skip-preview");
    const { acknowledged } = await writers.stop();
    for (const worker of WORKERS) expect(out).toContain(`${worker}: is replaced without waiting for others: no guard of its cluster runs`);
    expect(inOrderOfCreation(WORKERS)).toEqual(WORKERS);
    expect(WORKERS.map(shm)).toEqual([301, 301]);
    const [rooms = []] = await query(uri, "SELECT room_id::int AS id, name::int + 1 AS written FROM rooms WHERE room_id BETWEEN 101 AND 104 ORDER BY 1");
    expect(rooms.map(({ id }) => id)).toEqual([101, 102, 103, 104]);
    for (const { id, written } of rooms) expect(written).toBeGreaterThanOrEqual(acknowledged.get(id as number) ?? 0);
    expect(await query(uri, "SELECT bool_and(isactive) AS active FROM pg_dist_node", "SELECT DISTINCT count(*)::int AS copies FROM citus_shards WHERE citus_table_type = 'distributed' GROUP BY shardid")).toEqual([[{ active: true }], [{ copies: 2 }]]);
  });
});
