import type { ClientBase } from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ClusterDownError, ConfigurationError, createRouter, RouterError, type ConnectHook, type Router, type RouterOptions } from "../../../router/index";
import { FakeServer, type Answer } from "./fakeServer";

/** By the ring of a and b, 3 and 11 live in a, and 42 in b. */
const IN_A = 3;
const ALSO_IN_A = 11;
const IN_B = 42;

let a: FakeServer;
let b: FakeServer;
const routers: Router[] = [];

beforeEach(async () => {
  [a, b] = await Promise.all([new FakeServer("a").start(), new FakeServer("b").start()]);
});
afterEach(async () => {
  await Promise.all(routers.splice(0).map((router) => router.end()));
  await Promise.all([a.stop(), b.stop()]);
});

async function routing(onConnect: ConnectHook, options: Partial<RouterOptions> = {}): Promise<Router> {
  const router = await createRouter({ clusters: { a: a.config, b: b.config }, onConnect, ...options });
  routers.push(router);
  return router;
}

const says = (word: string) => (): Answer => ({ rows: [{ word }] });
const failure = async (work: Promise<unknown>): Promise<unknown> => work.then(() => expect.fail("it did not fail"), (error: unknown) => error);
const nap = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
const until = async (met: () => boolean): Promise<void> => {
  for (let tries = 0; !met() && tries < 600; tries += 1) await nap(10);
};
const SET = "SET search_path TO mine";

describe("what is to be done when a connection is opened", () => {
  test("is done once for each, before it is used, and not for the router's own", async () => {
    const seen: string[] = [];
    const router = await routing(async (client, cluster) => {
      seen.push(cluster);
      await nap(10);
      await client.query(SET);
    });
    expect(seen).toEqual([]);
    a.answer = says("from a");
    for (const tenant of [IN_A, ALSO_IN_A]) expect((await router.for(tenant).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    await router.for(IN_A).pool.query("SELECT 2");
    await router.for(IN_A).transaction((tx) => tx.query("SELECT 3"));
    expect([seen, a.statements.filter((text) => text.startsWith("S"))]).toEqual([["a"], [SET, "SELECT 1", "SELECT 1", "SELECT 2", "SELECT 3"]]);
    const clients = await Promise.all([1, 2].map(() => router.for(IN_B).connect()));
    for (const client of clients) client.release();
    expect([seen, b.statements]).toEqual([["a", "b", "b"], [SET, SET]]);
  });

  test("is waited for, also where its promise is not returned", async () => {
    a.answer = (text) => (text === SET ? { after: 50 } : { rows: [{ word: "from a" }] });
    const router = await routing((client) => void client.query(SET));
    await router.for(IN_A).query("SELECT 1");
    expect(a.statements).toEqual([SET, "SELECT 1"]);
  });

  test("closes the connection where it fails, and is told to who waited, and is tried anew", async () => {
    let tries = 0;
    const router = await routing((client) => ((tries += 1) === 1 ? client.query("SET ROLE nobody") : client.query(SET)));
    a.answer = (text) => (text === "SET ROLE nobody" ? { error: { code: "22023", message: 'role "nobody" does not exist' } } : { rows: [{ word: "from a" }] });
    const error = await failure(router.for(IN_A).query("INSERT"));
    expect(error).toBeInstanceOf(RouterError);
    expect(error).toMatchObject({ code: "CONNECT_HOOK", applied: "no", message: 'onConnect failed for a new connection to cluster a: role "nobody" does not exist', cause: { code: "22023" } });
    expect(router.clusters[0]).toMatchObject({ up: true, connections: { open: 0, waiting: 0 } });
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    expect(a.statements).not.toContain("INSERT");
  });

  test.each<[string, ConnectHook]>([
    ["by itself", () => new Promise(() => undefined)],
    ["in a statement", (client) => client.query("SELECT pg_sleep(10)")],
  ])("is given up where it hangs %s", async (_, hook) => {
    a.answer = (text) => (text.includes("pg_sleep") ? { after: 10_000 } : {});
    const router = await routing(hook, { clusters: { a: { ...a.config, connectTimeoutMs: 100, max: 2 }, b: b.config } });
    const began = performance.now();
    const errors = await Promise.all([1, 2].map(() => failure(router.for(IN_A).query("INSERT"))));
    expect(performance.now() - began).toBeLessThan(700);
    for (const error of errors) expect(error).toMatchObject({ code: "CONNECT_HOOK", message: expect.stringContaining("it has not ended within 100 ms with the opening (connectTimeoutMs)") as string });
    expect(router.clusters[0]).toMatchObject({ up: true, connections: { open: 0 } });
  });

  test("may throw, and may not leave a transaction open", async () => {
    const hooks: ConnectHook[] = [() => { throw new Error("no such file"); }, (client) => client.query("BEGIN")];
    const router = await routing((client, cluster) => hooks.shift()?.(client, cluster));
    expect(await failure(router.for(IN_A).query("INSERT"))).toMatchObject({ code: "CONNECT_HOOK", cause: { message: "no such file" } });
    expect(await failure(router.for(IN_A).query("INSERT"))).toMatchObject({ code: "CONNECT_HOOK", message: expect.stringContaining("left a transaction open") as string });
    await router.for(IN_A).query("INSERT");
  });

  test("whose connection breaks is a cluster's that is down, and costs the process nothing", async () => {
    let hook: ConnectHook = () => new Promise(() => undefined);
    const router = await routing((client, cluster) => hook(client, cluster));
    const waiting = failure(router.for(IN_A).query("INSERT"));
    await nap(50);
    await a.stop();
    expect(await waiting).toBeInstanceOf(ClusterDownError);
    expect(await waiting).toMatchObject({ applied: "no" });
    hook = (client: ClientBase) => client.query("DROP");
    a.answer = (text) => (text === "DROP" ? { drop: true } : {});
    await a.start();
    await until(() => router.clusters[0]?.up === true);
    expect(await failure(router.for(IN_A).query("INSERT"))).toMatchObject({ code: "CLUSTER_DOWN", applied: "no" });
  });

  test("is refused where there is a pooler, and where it is no function", async () => {
    b.pooled = true;
    const error = await failure(routing((client) => client.query(SET)));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as Error).message).toMatch(/^clusters\.b: is reached through a pooler, where what onConnect sets/);
    expect(await failure(createRouter({ clusters: { a: a.config }, onConnect: SET as never }))).toMatchObject({ message: expect.stringMatching(/^onConnect: must be a function/) as string });
  });
});
