import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ConfigurationError, createRouter, PoolTimeoutError, type ClusterOptions, type Router, type RouterOptions } from "../../../router/index";
import { FakeServer, type Answer } from "./fakeServer";

/** By the ring of a and b, 3 lives in a, and 42 in b. */
const IN_A = 3;
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

async function routing(ofA: Partial<ClusterOptions> = {}, options: Partial<RouterOptions> = {}): Promise<Router> {
  const router = await createRouter({ clusters: { a: { ...a.config, ...ofA }, b: b.config }, ...options });
  routers.push(router);
  return router;
}

const says = (word: string) => (): Answer => ({ rows: [{ word }] });
const failure = async (work: Promise<unknown>): Promise<unknown> => work.then(() => expect.fail("it did not fail"), (error: unknown) => error);
const nap = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe("a cluster's own limits", () => {
  test("count for it, and the router's for the others", async () => {
    const router = await routing({ max: 1, poolTimeoutMs: 60 }, { poolTimeoutMs: 250 });
    a.answer = b.answer = () => ({ after: 900, rows: [{ word: "slow" }] });
    const running = [router.for(IN_A).query("SELECT 1"), ...Array.from({ length: 4 }, () => router.for(IN_B).query("SELECT 1"))];
    await nap(20);
    const [ofA, ofB] = await Promise.all([failure(router.for(IN_A).query("SELECT 2")), failure(router.for(IN_B).query("SELECT 2"))]);
    expect(ofA).toBeInstanceOf(PoolTimeoutError);
    expect([ofA, ofB]).toMatchObject([
      { cluster: "a", message: expect.stringContaining("60 ms (poolTimeoutMs): statements on its 1 ") as string },
      { cluster: "b", message: expect.stringContaining("250 ms (poolTimeoutMs): statements on its 4 ") as string },
    ]);
    await Promise.all(running);
  });

  test("say how long a connection may take to open", async () => {
    b.freeze(true);
    const began = performance.now();
    const router = await createRouter({ clusters: { a: a.config, b: { ...b.config, connectTimeoutMs: 100 } }, connectTimeoutMs: 30_000 });
    routers.push(router);
    expect(performance.now() - began).toBeLessThan(2000);
    expect(router.clusters).toMatchObject([{ up: true }, { up: false }]);
    b.freeze(false);
  });

  test.each<[string, object, RegExp]>([
    ["a name that is mistyped", { host: "x", poolTimeoutMS: 5 }, /^clusters\.a\.poolTimeoutMS: is no option of a cluster: those are what a client of pg takes, max, min, .*poolTimeoutMs/],
    ["a pool of none", { host: "x", max: 0 }, /^clusters\.a\.max: must be a whole number from 1 to 10000/],
    ["a pool that is never as small as it may be", { host: "x", max: 2, min: 3 }, /^clusters\.a\.min: must be 2 at most, which is max/],
    ["no time", { host: "x", poolTimeoutMs: 0 }, /^clusters\.a\.poolTimeoutMs: must be a whole number of milliseconds from 1 to 600000/],
    ["seconds in a text", { host: "x", idleTimeoutMillis: "10s" }, /^clusters\.a\.idleTimeoutMillis: must be a whole number of milliseconds from 0/],
    ["the driver's other name of a pool's size", { host: "x", poolSize: 4 }, /^clusters\.a\.poolSize: is max$/],
    ["a password in two places", { connectionString: "postgresql://me:secret@x/db", password: "other" }, /^clusters\.a\.password: is in connectionString as well: leave it out there$/],
    ["a password that is none", { host: "x", password: 5 }, /^clusters\.a\.password: must be a text, or a function/],
    ["no object", 5 as unknown as object, /^clusters\.a: must be a pool's configuration/],
  ])("refuse %s", async (_, its, message) => {
    const error = await failure(createRouter({ clusters: { a: its } }));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain("secret");
  });
});

describe("a password that is a function", () => {
  test.each<[string, () => ClusterOptions]>([
    ["an object", () => a.config],
    ["a text", () => ({ connectionString: a.uri })],
  ])("is asked for each connection, beside the address as %s", async (_, address) => {
    a.password = "first";
    let word = "first";
    const router = await createRouter({ clusters: { a: { ...address(), password: () => Promise.resolve(word) } } });
    routers.push(router);
    a.answer = says("from a");
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    // Connections that there are go on; those that are opened need the new one.
    a.password = word = "second";
    const clients = await Promise.all([1, 2].map(() => router.for(IN_A).connect()));
    for (const client of clients) expect((await client.query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    for (const client of clients) client.release();
    a.password = "third";
    await router.for(IN_A).query("SELECT 1");
    const held = await Promise.all([1, 2].map(() => router.for(IN_A).connect()));
    expect(await failure(router.for(IN_A).query("SELECT 1"))).toMatchObject({ code: "28P01" });
    for (const client of held) client.release();
  });
});
