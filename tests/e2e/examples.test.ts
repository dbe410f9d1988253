import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createRouter, type Router } from "@citus-sharding/tenant-router";
import { Chat as DrizzleChat } from "../../examples/drizzle/chat";
import { chat as expressChat } from "../../examples/express/chat";
import { Chat as KyselyChat } from "../../examples/kysely/chat";
import type { ClusterAccess } from "../../tenants/clusterAccess";
import { moveTenant } from "../../tenants/move";
import { hasImage, Project, query } from "./project";

const ROOT = path.resolve(__dirname, "../..");
const EXAMPLE = path.join(ROOT, "examples/prisma");
const PREFIX = "e2e-ex-";
const PORTS = { a: 16632, b: 16732 };
const WORKERS = 1;
const WRITERS = 3;
const TOGETHER_MS = 1500;

/** What the examples have in common. */
interface Chat {
  post(room: number, user: number, body: string): Promise<void>;
  /** A transaction that reads, asks, and writes two messages. */
  exchange?(room: number, user: number, question: string, answer: (earlier: number) => Promise<string>): Promise<void>;
  bodies(room: number, user: number): Promise<string[]>;
  end?(): Promise<void>;
}

/** What Prisma's has beside it. */
interface OneClientChat extends Chat {
  has(room: number, id: bigint): Promise<boolean>;
  ids(room: number): Promise<bigint[]>;
}

/** The Express example, used as its clients do. */
async function overHttp(router: Router): Promise<Chat> {
  const server = expressChat(router).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const messages = (room: number): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/rooms/${room}/messages`;
  const send = async (room: number, user: number, ...bodies: string[]): Promise<void> => {
    const { status } = await fetch(messages(room), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ user, bodies }) });
    if (status !== 201) throw new Error(`${bodies.join(", ")}: ${status}`);
  };
  return {
    post: (room, user, body) => send(room, user, body),
    exchange: async (room, user, question, answer) => send(room, user, question, await answer(0)),
    bodies: async (room, user) => (await (await fetch(`${messages(room)}?user=${user}`)).json()) as string[],
    end: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Writes without a rest, in statements and in transactions, and remembers what was acknowledged. */
async function write(chat: Chat, room: number, user: number, running: () => boolean): Promise<string[]> {
  const acknowledged: string[] = [];
  for (let next = 0; running(); next += 1) {
    if (next % 2 === 0) {
      await chat.post(room, user, `post ${next}`);
      acknowledged.push(`post ${next}`);
    } else {
      await chat.exchange?.(room, user, `question ${next}`, () => Promise.resolve(`answer ${next}`));
      acknowledged.push(`question ${next}`, `answer ${next}`);
    }
  }
  return acknowledged;
}

describe.skipIf(!hasImage("citusdata/citus:13.2.0"))("the examples, while their room moves", () => {
  const project = new Project("active-active");
  const routers: Router[] = [];
  let clusters: ClusterAccess[];
  /** A room that begins in a for each test. */
  let rooms: number[];
  /** Rooms of b. */
  let elsewhere: number[];

  const routing = async (): Promise<Router> => {
    const router = await createRouter({ clusters: Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri }])), connectTimeoutMs: 10_000, moveTimeoutMs: 30_000 });
    routers.push(router);
    return router;
  };
  const rowsIn = async (cluster: string, room: number): Promise<number> => {
    const [rows] = await query((clusters.find(({ name }) => name === cluster) as ClusterAccess).uri, `SELECT count(*)::int AS n FROM messages WHERE room_id = ${room}`);
    return rows?.[0]?.["n"] as number;
  };

  /** Writes while the room goes there and back and there: everything that was acknowledged is there once, and nothing else. */
  const underWrites = async (chat: Chat, room: number): Promise<void> => {
    let running = true;
    const writers = Array.from({ length: WRITERS }, (_, user) => write(chat, room, user, () => running));
    const moved = (async () => {
      for (const to of ["b", "a", "b"]) {
        await delay(200);
        await moveTenant(clusters, String(room), to);
      }
    })();
    // All of it has ended before anything is judged.
    await Promise.allSettled([moved.finally(() => (running = false)), ...writers]);
    await moved;
    const written = await Promise.all(writers);
    for (const [user, acknowledged] of written.entries()) {
      expect(acknowledged.length).toBeGreaterThan(10);
      expect((await chat.bodies(room, user)).sort()).toEqual([...acknowledged].sort());
    }
    const all = written.flat().length;
    expect([await rowsIn("a", room), await rowsIn("b", room)]).toEqual([0, all]);
  };

  /** The room goes away in the middle of a transaction that has only read: it is run again as a whole, where the room is. */
  const underTransaction = async (chat: Chat, room: number): Promise<void> => {
    let asked = 0;
    await chat.exchange?.(room, 1, "question", async () => {
      asked += 1;
      if (asked === 1) await moveTenant(clusters, String(room), "b");
      return `answer ${asked}`;
    });
    expect(asked).toBe(2);
    expect(await chat.bodies(room, 1)).toEqual(["question", "answer 2"]);
    expect([await rowsIn("a", room), await rowsIn("b", room)]).toEqual([0, 2]);
  };

  beforeAll(async () => {
    project.configure({ prefix: PREFIX, shardCount: 4, replicationFactor: 1, clusters: { a: { workers: WORKERS, port: PORTS.a }, b: { workers: WORKERS, port: PORTS.b } } });
    await project.create();
    await project.up();
    const { uris } = await project.outputs<{ uris: Record<"a" | "b", string> }>();
    clusters = (["a", "b"] as const).map((name) => ({ name, uri: uris[name], nodes: { [`${PREFIX}worker_${name}1:5432`]: { host: "127.0.0.1", port: PORTS[name] + 1 } } }));
    const homes = "SELECT n, tenancy.home(n::text) AS home FROM generate_series(1, 200) n ORDER BY n";
    const found = ((await query(uris.a, homes))[0] as { n: number; home: string }[]).map(({ n, home }) => [home, n] as const);
    const of = (cluster: string, count: number): number[] => found.flatMap(([home, n]) => (home === cluster ? [n] : [])).slice(0, count);
    [rooms, elsewhere] = [of("a", 9), of("b", 2)];
  });
  afterEach(async () => {
    await Promise.all(routers.splice(0).map((router) => router.end()));
  });
  afterAll(() => project.dispose(PREFIX));

  test.each([
    ["Drizzle", (router: Router): Chat => new DrizzleChat(router)],
    ["Kysely", (router: Router): Chat => new KyselyChat(router)],
  ])("%s", async (_, make) => {
    const chat = make(await routing());
    await underWrites(chat, rooms.pop() as number);
    await underTransaction(chat, rooms.pop() as number);
  });

  test("Express", async () => {
    const chat = await overHttp(await routing());
    try {
      await underWrites(chat, rooms.pop() as number);
    } finally {
      await chat.end?.();
    }
  });

  test("Prisma, as it is installed and generated", async ({ skip, onTestFinished }) => {
    const directory = mkdtempSync(path.join(tmpdir(), "citus-sharding-prisma-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const missing = install(directory);
    if (missing !== undefined) skip(`Prisma cannot be installed: ${missing}`);
    const { Chat: PrismaChat } = (await import(path.join(directory, "chat.ts"))) as { Chat: new (router: Router) => OneClientChat };
    const chat = new PrismaChat(await routing());
    await underWrites(chat, rooms.pop() as number);
    await underTransaction(chat, rooms.pop() as number);

    // One client for all rooms, of either cluster, in the same ticks.
    const several = [rooms.pop() as number, rooms.pop() as number, ...elsewhere];
    const until = performance.now() + TOGETHER_MS;
    await Promise.all(several.map((room) => write(chat, room, 1, () => performance.now() < until)));
    const ids = await Promise.all(several.map((room) => chat.ids(room)));
    const found = await Promise.all(several.flatMap((room, index) => (ids[index] as bigint[]).slice(0, 5).map((id) => chat.has(room, id))));
    expect([...new Set(found), found.length]).toEqual([true, 5 * several.length]);
  });
});

/** Installs Prisma's example, beside the driver and the router of the repository, and generates its client. @returns why npm's registry cannot be reached, if it cannot. */
function install(directory: string): string | undefined {
  cpSync(EXAMPLE, directory, { recursive: true });
  const { dependencies, devDependencies } = JSON.parse(readFileSync(path.join(EXAMPLE, "package.json"), "utf8")) as Record<"dependencies" | "devDependencies", Record<string, string>>;
  const { pg: _, "@citus-sharding/tenant-router": __, ...others } = dependencies;
  writeFileSync(path.join(directory, "package.json"), JSON.stringify({ private: true, dependencies: others, devDependencies }));
  const run = (command: string, ...args: string[]): string | undefined => {
    try {
      // Generating runs no engine; without a path to one the command line would load it from Prisma's own server.
      execFileSync(command, args, { cwd: directory, env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath }, stdio: "pipe" });
      return undefined;
    } catch (error) {
      const { stderr } = error as { stderr: Buffer };
      const [reason] = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT/.exec(String(stderr)) ?? [];
      if (reason === undefined) throw error;
      return reason;
    }
  };
  const missing = run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--loglevel=error");
  if (missing !== undefined) return missing;
  // One driver: what is a pool of it is told by its class.
  rmSync(path.join(directory, "node_modules/pg"), { recursive: true, force: true });
  symlinkSync(path.join(ROOT, "node_modules/pg"), path.join(directory, "node_modules/pg"));
  return run("npx", "prisma", "generate");
}
