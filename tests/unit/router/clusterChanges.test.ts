import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ClusterDownError, ConfigurationError, createRouter, UnknownClusterError, type Availability, type ClusterOptions, type Router, type RouterOptions } from "../../../router/index";
import { FakeServer, type Answer } from "./fakeServer";

/** By the ring of a and b, 3 and 11 live in a, and 42 in b. */
const IN_A = 3;
const ALSO_IN_A = 11;
const IN_B = 42;

let a: FakeServer;
let b: FakeServer;
/** Another server of cluster a. */
let other: FakeServer;
const routers: Router[] = [];

beforeEach(async () => {
  [a, b, other] = await Promise.all([new FakeServer("a").start(), new FakeServer("b").start(), new FakeServer("a").start()]);
  [a.answer, b.answer, other.answer] = [says("from a"), says("from b"), says("from the other")];
  // What is read in a cluster that the router has left is confirmed there.
  a.known = { home: "a", epoch: 0, state: "settled" };
});
afterEach(async () => {
  await Promise.all(routers.splice(0).map((router) => router.end()));
  await Promise.all([a.stop(), b.stop(), other.stop()]);
});

async function routing(ofA: Partial<ClusterOptions> = {}, options: Partial<RouterOptions> = {}): Promise<Router> {
  const router = await createRouter({ clusters: { a: { ...a.config, ...ofA }, b: b.config }, ...options });
  routers.push(router);
  return router;
}

const says = (word: string) => (): Answer => ({ rows: [{ word }] });
const slowly = (word: string, after = 150) => (): Answer => ({ after, rows: [{ word }] });
const word = async (router: Router, tenant: number): Promise<unknown> => (await router.for(tenant).query<{ word: string }>("SELECT 1")).rows[0]?.word;
const failure = async (work: Promise<unknown>): Promise<unknown> => work.then(() => expect.fail("it did not fail"), (error: unknown) => error);
const nap = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
const until = async (met: () => boolean | Promise<boolean>): Promise<void> => {
  for (let tries = 0; !(await met()) && tries < 600; tries += 1) await nap(10);
};
function events(router: Router): string[] {
  const told: string[] = [];
  router.on("down", (cluster) => void told.push(`${cluster} down`));
  router.on("up", (cluster) => void told.push(`${cluster} up`));
  return told;
}

describe("a cluster that is taken out", () => {
  test("is unknown from then on, and nothing of it is left", async () => {
    const router = await routing();
    await word(router, IN_B);
    const told: unknown[] = [];
    const listener = (message: unknown): void => void told.push(message);
    subscribe("tenant-router:cluster", listener);
    const heard = events(router);
    await router.removeCluster("b");
    unsubscribe("tenant-router:cluster", listener);
    expect(told).toEqual([{ cluster: "b", up: false, reason: undefined, removed: true } satisfies Availability]);
    await until(() => b.connections === 0);
    expect([b.connections, router.clusters.map(({ name }) => name)]).toEqual([0, ["a"]]);
    for (const way of [router.for(IN_B).query("INSERT"), router.for(IN_B).transaction((tx) => tx.query("INSERT")), router.for(IN_B).connect(), router.for(IN_B).pool.query("INSERT")]) {
      const error = await failure(way);
      expect(error).toBeInstanceOf(UnknownClusterError);
      expect(error).toMatchObject({ cluster: "b", applied: "no", message: expect.stringContaining("which this router does not have: it has a.") as string });
    }
    expect(await word(router, IN_A)).toBe("from a");
    // It is where hashing says, whoever has its address.
    expect(await router.locate(IN_B)).toMatchObject({ home: "b" });
    const { missing, ...gathered } = await router.all("SELECT 1");
    expect(gathered).toMatchObject({ complete: false, answered: ["a"] });
    expect(missing).toMatchObject([{ cluster: "b", error: { code: "UNKNOWN_CLUSTER", message: expect.stringMatching(/^Tenants live in cluster b/) as string } }]);
    // Nobody listens to it any more, nor tries to.
    const { connects } = b.counts;
    await nap(600);
    expect([b.counts.connects, heard]).toEqual([connects, []]);
  });

  test("serves what has begun, and who waited for a connection, to the end", async () => {
    const router = await routing({ max: 2 });
    a.answer = (text) => ({ ...(text === "SELECT 1" && { after: 150 }), rows: [{ word: "from a" }] });
    const held = await router.for(IN_A).connect();
    const transaction = router.for(IN_A).transaction(async (tx) => {
      await nap(100);
      return (await tx.query("SELECT 2")).rows;
    });
    await until(() => a.statements.some((text) => text.startsWith("BEGIN")));
    const waiting = [word(router, IN_A), word(router, IN_A)];
    await nap(20);
    let gone = false;
    const removed = router.removeCluster("a").then(() => (gone = true));
    expect(await failure(router.for(IN_A).query("INSERT"))).toBeInstanceOf(UnknownClusterError);
    expect(await transaction).toEqual([{ word: "from a" }]);
    expect(await Promise.all(waiting)).toEqual(["from a", "from a"]);
    await nap(50);
    expect([gone, (await held.query("SELECT 3")).rows]).toEqual([false, [{ word: "from a" }]]);
    held.release();
    await removed;
    await until(() => a.connections === 0);
    expect([a.connections, a.statements.includes("INSERT")]).toEqual([0, false]);
  });

  test("has a write that met no row make sure of it", async () => {
    const router = await routing();
    a.answer = () => ({ after: 100, command: "UPDATE 0" });
    const writing = router.for(IN_A).query("UPDATE");
    await until(() => a.statements.length === 1);
    await router.removeCluster("a");
    expect([(await writing).rowCount, a.asked]).toEqual([0, 1]);
  });

  test("gives up what has not ended in time", async () => {
    const router = await routing({ max: 1, maxPerTenant: 1 });
    await router.locate(ALSO_IN_A);
    a.answer = () => ({ after: 10_000 });
    const running = failure(router.for(IN_A).query("INSERT"));
    await until(() => a.statements.length === 1);
    const waiting = [failure(router.for(IN_A).query("UPDATE")), failure(router.for(ALSO_IN_A).query("UPDATE"))];
    await nap(30);
    const began = performance.now();
    await router.removeCluster("a", { drainMs: 100 });
    expect(performance.now() - began).toBeLessThan(700);
    expect(await running).toBeInstanceOf(ClusterDownError);
    expect(await running).toMatchObject({ applied: "unknown", message: expect.stringContaining("the cluster taken out of it") as string });
    for (const one of waiting) expect(await one).toMatchObject({ code: "CLUSTER_DOWN", applied: "no" });
    await until(() => a.connections === 0);
    expect([a.connections, a.statements]).toEqual([0, ["INSERT"]]);
  });

  test("gives up what has only just begun, too", async () => {
    const router = await routing();
    await word(router, IN_A);
    const running = failure(word(router, IN_A));
    await router.removeCluster("a", { drainMs: 0 });
    expect(await running).toBeInstanceOf(ClusterDownError);
  });

  test("is left at once where it is frozen, or does not answer", async () => {
    const router = await routing();
    await word(router, IN_A);
    a.freeze(true);
    const running = failure(router.for(IN_A).query("INSERT"));
    await until(() => router.clusters[0]?.up === false);
    const began = performance.now();
    await router.removeCluster("a");
    expect(performance.now() - began).toBeLessThan(700);
    expect(await running).toMatchObject({ code: "CLUSTER_DOWN", applied: "unknown" });
    a.freeze(false);
    await until(() => a.connections === 0);
    expect(a.connections).toBe(0);
  });

  test("may come back, also elsewhere, and while something still runs where it was", async () => {
    const router = await routing();
    a.answer = slowly("from a");
    const running = word(router, IN_A);
    await until(() => a.statements.length === 1);
    const removed = router.removeCluster("a");
    await router.addCluster("a", other.config);
    expect(await word(router, IN_A)).toBe("from the other");
    expect(await running).toBe("from a");
    await removed;
    other.records = [{ tenant: "3", home: "b", epoch: 1, state: "settled" }];
    other.notify(JSON.stringify({ tenant: "3" }));
    await until(async () => (await router.locate(IN_A)).home === "b");
    expect(await word(router, IN_A)).toBe("from b");
    expect(router.clusters.map(({ name, up }) => `${name} ${up}`)).toEqual(["b true", "a true"]);
  });

  test("is forgotten once it is out of the ring as well", async () => {
    const router = await routing();
    await router.removeCluster("b");
    expect((await router.locate(IN_B)).home).toBe("b");
    a.ring = { version: 2, clusters: ["a"] };
    a.notify(JSON.stringify({ ring: 2 }));
    await until(async () => (await router.locate(IN_B)).home === "a");
    expect(await word(router, IN_B)).toBe("from a");
    expect(await router.all("SELECT 1")).toMatchObject({ complete: true, missing: [] });
  });

  test("had a part in moves, which go on without it", async () => {
    a.records = [{ tenant: "3", home: "a", epoch: 1, state: "moving", target: "b" }];
    const router = await routing();
    expect(await router.locate(IN_A)).toMatchObject({ home: "a", state: "moving" });
    await router.removeCluster("a");
    b.records = [{ tenant: "3", home: "b", epoch: 2, state: "settled" }];
    b.notify(JSON.stringify({ tenant: "3" }));
    await until(async () => (await router.locate(IN_A)).home === "b");
    expect(await word(router, IN_A)).toBe("from b");
  });

  test.each<[string, string, object, RegExp]>([
    ["there is not", "c", {}, /^clusters\.c: is not among the router's clusters: it has a, b$/],
    ["is to be left before it was", "a", { drainMs: -1 }, /^drainMs: must be a whole number of milliseconds from 0/],
    ["is left with a mistyped option", "a", { drainMS: 5 }, /drainMS/],
  ])("is refused where it %s", async (_, name, options, message) => {
    const router = await routing();
    const error = await failure(router.removeCluster(name, options));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as Error).message).toMatch(message);
    expect(router.clusters).toHaveLength(2);
  });

  test("is not the last one", async () => {
    const router = await routing();
    await router.removeCluster("a");
    expect(await failure(router.removeCluster("b"))).toMatchObject({ code: "CONFIGURATION", message: "clusters.b: is the only one of the router: end the router instead" });
    await router.end();
    expect(await failure(router.removeCluster("b"))).toMatchObject({ code: "ENDED" });
  });

  test.each([{}, { maxPerTenant: 1 }])("and a router that is ended, let who waits for a connection have its turn (%o)", async (limits) => {
    const router = await routing({ max: 1, ...limits });
    a.answer = slowly("from a", 60);
    const waiting = [word(router, IN_A), word(router, IN_A), word(router, ALSO_IN_A)];
    await until(() => a.statements.length === 1);
    const late = failure(nap(20).then(() => word(router, IN_A)));
    await router.end();
    expect(await Promise.all(waiting)).toEqual(["from a", "from a", "from a"]);
    expect(await late).toMatchObject({ code: "ENDED" });
    await until(() => a.connections + b.connections === 0);
    expect(a.connections + b.connections).toBe(0);
  });

  test("is waited for by the router's end", async () => {
    const router = await routing();
    a.answer = slowly("from a");
    const running = word(router, IN_A);
    await until(() => a.statements.length === 1);
    void router.removeCluster("a");
    await router.end();
    expect(await running).toBe("from a");
    await until(() => a.connections + b.connections === 0);
    expect(a.connections + b.connections).toBe(0);
  });
});

describe("a cluster's change", () => {
  test("to another address is no error to what runs, and what comes goes there", async () => {
    const router = await routing();
    const told = events(router);
    a.answer = slowly("from a");
    const running = [word(router, IN_A), router.for(IN_A).transaction(async (tx) => (await tx.query<{ word: string }>("SELECT 2")).rows[0]?.word)];
    const client = await router.for(IN_A).pool.connect();
    await until(() => a.statements.length >= 2);
    const changed = router.updateCluster("a", other.config);
    await until(async () => (await word(router, IN_A)) === "from the other");
    expect((await client.query<{ word: string }>("SELECT 1")).rows).toEqual([{ word: "from the other" }]);
    expect(await Promise.all(running)).toEqual(["from a", "from a"]);
    client.release();
    await changed;
    await until(() => a.connections === 0);
    expect([a.connections, told, router.clusters.map(({ name, up }) => `${name} ${up}`)]).toEqual([0, [], ["a true", "b true"]]);
    // The old one is heard no more, and the new one is.
    a.notify(JSON.stringify({ tenant: "3" }));
    other.records = [{ tenant: "3", home: "b", epoch: 1, state: "settled" }];
    other.notify(JSON.stringify({ tenant: "3" }));
    await until(async () => (await router.locate(IN_A)).home === "b");
    expect(await word(router, IN_A)).toBe("from b");
  });

  test("of a password is no error to anybody", async () => {
    const router = await routing();
    a.answer = slowly("from a", 50);
    const running = Array.from({ length: 20 }, () => word(router, IN_A));
    await until(() => a.statements.length >= 4);
    a.password = "second";
    await router.updateCluster("a", { password: "second" });
    running.push(...Array.from({ length: 20 }, () => word(router, IN_A)));
    expect(new Set(await Promise.all(running))).toEqual(new Set(["from a"]));
  });

  test.each<[string, () => Partial<ClusterOptions>, RegExp]>([
    ["to another cluster's address", () => b.config, /^clusters\.a: leads to cluster b/],
    ["to an address where nobody is", () => ({ port: 1 }), /^clusters\.a: does not answer as it was changed \(connect ECONNREFUSED .*\): it stays as it was$/],
    ["to no connection", () => ({ max: 0 }), /^clusters\.a\.max: must be/],
    ["to no address", () => ({ host: undefined }), /^clusters\.a: needs a connectionString or a host/],
    ["to two addresses", () => ({ connectionString: other.uri }), /^clusters\.a\.user: is taken from connectionString: leave one of them out; clusters\.a\.host: /],
  ])("that cannot be right changes nothing: %s", async (_, changes, message) => {
    const router = await routing();
    const error = await failure(router.updateCluster("a", changes()));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as Error).message).toMatch(message);
    expect(await word(router, IN_A)).toBe("from a");
    a.records = [{ tenant: "3", home: "b", epoch: 1, state: "settled" }];
    a.notify(JSON.stringify({ tenant: "3" }));
    await until(async () => (await router.locate(IN_A)).home === "b");
    expect((await router.locate(IN_A)).home).toBe("b");
    await until(() => other.connections === 0);
    expect(other.connections).toBe(0);
  });

  test("of limits leaves connections as they are, and counts at once", async () => {
    const router = await routing({ max: 1, poolTimeoutMs: 5000 });
    await word(router, IN_A);
    const { connects } = a.counts;
    a.answer = slowly("from a", 100);
    const held = await router.for(IN_A).connect();
    const waiting = word(router, IN_A);
    await nap(20);
    await router.updateCluster("a", { max: 3 });
    // Nobody gives a connection back.
    expect(await waiting).toBe("from a");
    expect(a.counts.connects).toBe(connects + 1);
    const clients = await Promise.all([1, 2].map(() => router.for(IN_A).connect()));
    await router.updateCluster("a", { max: 1, poolTimeoutMs: 60, maxPerTenant: 1 });
    expect(await failure(router.for(IN_A).query("SELECT 1"))).toMatchObject({ code: "POOL_TIMEOUT", message: expect.stringContaining("60 ms") as string });
    for (const client of [held, ...clients]) client.release();
    expect(router.clusters[0]?.connections.open).toBe(1);
    await using mine = await router.for(IN_A).connect();
    expect(mine.home).toBe("a");
    expect(await failure(router.for(IN_A).query("SELECT 1"))).toMatchObject({ code: "POOL_TIMEOUT", tenant: "3" });
    // The default again.
    await router.updateCluster("a", { maxPerTenant: undefined, max: 2, statementTimeoutMs: 50 });
    expect(await failure(router.for(IN_A).query("INSERT"))).toMatchObject({ code: "STATEMENT_TIMEOUT" });
  });

  test("is made after another's, and has what that changed", async () => {
    const router = await routing();
    await Promise.all([router.updateCluster("a", other.config), router.updateCluster("a", { max: 1, poolTimeoutMs: 60 })]);
    await using held = await router.for(IN_A).connect();
    expect((await held.query<{ word: string }>("SELECT 1")).rows).toEqual([{ word: "from the other" }]);
    expect(await failure(router.for(IN_A).query("SELECT 1"))).toMatchObject({ code: "POOL_TIMEOUT", message: expect.stringContaining("60 ms (poolTimeoutMs): statements on its 1 ") as string });
  });

  test("brings a cluster back that is down", async () => {
    const router = await routing();
    await a.stop();
    await until(() => router.clusters[0]?.up === false);
    const told = events(router);
    await router.updateCluster("a", other.config);
    expect([told, await word(router, IN_A)]).toEqual([["a up"], "from the other"]);
  });

  test("is given up where the cluster is taken out meanwhile, or the router ended", async () => {
    const router = await routing({ connectTimeoutMs: 300 });
    other.lookMs = 100;
    const changed = failure(router.updateCluster("a", other.config));
    await until(() => other.counts.connects > 0);
    await router.removeCluster("a");
    expect(await changed).toMatchObject({ code: "CONFIGURATION", message: expect.stringContaining("is not among the router's clusters") as string });
    await router.addCluster("a", a.config);
    const again = failure(router.updateCluster("a", other.config));
    await until(() => other.counts.connects > 1);
    await router.end();
    expect(await again).toMatchObject({ code: "ENDED" });
    await until(() => other.connections === 0);
    expect(other.connections).toBe(0);
  });
});
