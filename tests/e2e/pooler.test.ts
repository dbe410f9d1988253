import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLeader, patroniCluster, switchOver, type PatroniMember } from "../../cli/patroniCluster";
import { whilePaused } from "../../cli/pooler";
import { parseSettings } from "../../config/parse";
import { planStack } from "../../topology/stack";
import { docker, eventually, hasImage, Project, query } from "./project";

const PREFIX = "e2e-po-";
const SETTINGS = {
  prefix: PREFIX,
  shardCount: 4,
  workers: 1,
  etcdMembers: 1,
  pooler: { poolSize: 4 },
  ports: { leader: 15610, standbys: 15611, nodes: 15614, statistics: 15612, pooler: 15613 },
};
const CLIENTS = 12;

/** A client that inserts rooms one after the other by a prepared statement, alone and in transactions, until it is told to stop. */
class Writer {
  /** Rooms whose insert was acknowledged. */
  readonly acknowledged: number[] = [];
  readonly done: Promise<void>;
  private stopped = false;

  constructor(uri: string, firstRoom: number) {
    this.done = this.write(uri, firstRoom);
    this.done.catch(() => undefined); // Whoever stops it is told.
  }

  /** Rejects with the first error that the client has seen. */
  stop(): Promise<void> {
    this.stopped = true;
    return this.done;
  }

  private async write(uri: string, firstRoom: number): Promise<void> {
    const client = new Client(uri);
    client.on("error", () => undefined); // The next statement reports it.
    await client.connect();
    for (let room = firstRoom; !this.stopped; room += 1) {
      const transaction = room % 3 === 0;
      if (transaction) await client.query("BEGIN");
      await client.query({ name: "insert a room", text: "INSERT INTO rooms (room_id, name) VALUES ($1, 'pooled')", values: [room] });
      if (transaction) await client.query("COMMIT");
      this.acknowledged.push(room);
    }
    await client.end();
  }
}

describe.skipIf(!hasImage("citusdata/citus:13.2.0"))("active-passive with the pooler", () => {
  const project = new Project("active-passive");
  const plan = planStack(parseSettings({ topology: "active-passive", ...SETTINGS }).settings, () => "");
  const names = plan.coordinators?.members.map(({ name }) => name) ?? [];
  let uris: Record<string, string>;
  const pooled = (): string => uris["pooled"] as string;
  const members = async (): Promise<readonly PatroniMember[]> => (await patroniCluster(names)) ?? [];
  const ask = (command: string): string => docker("exec", `${PREFIX}pooler`, "psql", "-qXAt", "-h", "/dev/shm/pgbouncer", "-p", "6432", "-U", "pgbouncer", "-d", "pgbouncer", "-c", command);

  beforeAll(async () => {
    project.configure(SETTINGS);
    await project.create();
    await project.up();
    ({ uris } = await project.outputs<{ uris: Record<string, string> }>());
  });
  afterAll(() => project.dispose(PREFIX));

  test("up again changes nothing", async () => {
    const { same, ...changes } = await project.up();
    expect(changes).toEqual({});
    expect(same).toBeGreaterThan(30);
  });

  test("leads to the leader", async () => {
    expect(await query(pooled(), "SELECT pg_is_in_recovery() AS standby")).toEqual([[{ standby: false }]]);
  });

  test("refuses a wrong password, and the console to whoever comes over the network", async () => {
    const wrong = new URL(pooled());
    wrong.password = "wrong";
    await expect(query(wrong.href, "SELECT 1")).rejects.toThrow(/authentication failed/);
    await expect(query(pooled().replace(/postgres$/, "pgbouncer"), "SHOW POOLS")).rejects.toThrow(/not allowed/);
  });

  test("knows the roles of the database, with their passwords", async () => {
    await query(uris["leader"] as string, "CREATE ROLE app LOGIN PASSWORD 'app''s own'");
    const app = new URL(pooled());
    app.username = "app";
    app.password = encodeURIComponent("app's own");
    expect(await query(app.href, "SELECT current_user")).toEqual([[{ current_user: "app" }]]);
    app.password = "postgres";
    await expect(query(app.href, "SELECT 1")).rejects.toThrow(/authentication failed/);
  });

  test("a pooled client sees no error while the leader changes in order, and no row is lost", async () => {
    const writers = Array.from({ length: CLIENTS }, (_, index) => new Writer(pooled(), (index + 1) * 1_000_000));
    for (let change = 0; change < 2; change += 1) {
      const before = await eventually(60_000, async () => {
        const group = await members();
        expect(group.filter(({ state }) => state === "streaming")).toHaveLength(2);
        return group;
      });
      const leader = before.find(isLeader)?.name as string;
      const candidate = before.find(({ role }) => role.endsWith("_standby"))?.name as string;
      const lines: string[] = [];
      expect(await whilePaused({ plan }, () => switchOver(leader, candidate), (line) => lines.push(line))).toBe(true);
      expect(lines).toEqual([]);
      await eventually(30_000, async () => expect((await members()).find(isLeader)?.name).toBe(candidate));
    }
    await Promise.all(writers.map((writer) => writer.stop()));
    const acknowledged = writers.flatMap((writer) => writer.acknowledged);
    expect(acknowledged.length).toBeGreaterThan(CLIENTS);
    const [rows] = await query(pooled(), "SELECT room_id FROM rooms WHERE name = 'pooled'");
    expect(rows?.map(({ room_id }) => Number(room_id)).sort((a, b) => a - b)).toEqual(acknowledged.sort((a, b) => a - b));
  });

  test("a transaction that does not end holds the change up for 5 s, and then goes on", async () => {
    const client = new Client(pooled());
    await client.connect();
    await client.query("BEGIN");
    await client.query("SELECT 1");
    const lines: string[] = [];
    await whilePaused({ plan }, () => client.query("COMMIT"), (line) => lines.push(line));
    await client.end();
    expect(lines).toEqual([`A transaction in ${PREFIX}pooler did not end within 5 s; going on without a pause, so pooled clients may see an error.`]);
    expect(ask("SHOW STATE")).toMatch(/^paused\|no$/m);
  });

  test("no password is in what Docker keeps of the image or the files", () => {
    const password = decodeURIComponent(new URL(pooled()).password);
    const image = docker("inspect", "--format", "{{.Image}}", `${PREFIX}pooler`);
    expect(docker("history", "--no-trunc", image)).not.toContain(password);
    // Process 1 is the holder's.
    const ofPgbouncer = `for process in /proc/[0-9]*; do if [ "$(cat $process/comm 2>/dev/null)" = pgbouncer ]; then echo found; tr '\\0' '\\n' <$process/environ; tr '\\0' ' ' <$process/cmdline; fi; done`;
    const told = docker("exec", `${PREFIX}pooler`, "sh", "-c", `cat /etc/pgbouncer/*; ${ofPgbouncer}`);
    expect(told).toContain("found\n");
    expect(told).not.toContain(password);
    expect(docker("exec", `${PREFIX}pooler`, "stat", "-c", "%a %U", "/dev/shm/pgbouncer/userlist.txt")).toBe("600 postgres");
  });
});
