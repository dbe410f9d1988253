import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ClusterDownError, ConfigurationError, createRouter, PoolTimeoutError, type Router, type RouterOptions } from "../../../router/index";
import { FakeServer, type Answer, type FakeRecord } from "./fakeServer";

/** By the ring of a and b, 3 and 11 live in a, and 42 in b; a ring with c gives it 11. */
const IN_A = 3;
const IN_B = 42;
const FROM_A_TO_C = 11;

let a: FakeServer;
let b: FakeServer;
let c: FakeServer;
const routers: Router[] = [];

beforeEach(async () => {
  [a, b, c] = await Promise.all([new FakeServer("a").start(), new FakeServer("b").start(), new FakeServer("c").start()]);
});
afterEach(async () => {
  await Promise.all(routers.splice(0).map((router) => router.end()));
  await Promise.all([a.stop(), b.stop(), c.stop()]);
});

async function routing(options: Partial<RouterOptions> = {}): Promise<Router> {
  const router = await createRouter({ clusters: { a: a.config, b: b.config }, ...options });
  routers.push(router);
  return router;
}

const settled = (tenant: number, home: string, epoch: number): FakeRecord => ({ tenant: String(tenant), home, epoch, state: "settled" });
const says = (word: string) => (): Answer => ({ rows: [{ word }] });
const failure = async (work: Promise<unknown>): Promise<unknown> => work.then(() => expect.fail("it did not fail"), (error: unknown) => error);
const nap = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
const until = async (met: () => boolean | Promise<boolean>): Promise<void> => {
  for (let tries = 0; !(await met()) && tries < 1000; tries += 1) await nap(10);
};
function events(router: Router): string[] {
  const told: string[] = [];
  router.on("down", (cluster) => void told.push(`${cluster} down`));
  router.on("up", (cluster) => void told.push(`${cluster} up`));
  return told;
}

describe("the loss of the router's own connection", () => {
  test("costs no other", async () => {
    const router = await routing();
    a.answer = () => ({ after: 300, rows: [{ word: "from a" }] });
    const told = events(router);
    const running = [1, 2, 3].map(() => router.for(IN_A).query("INSERT"));
    await nap(100);
    const { connects } = a.counts;
    a.endListening();
    await nap(20);
    running.push(router.for(IN_A).query("INSERT"));
    for (const { rows } of await Promise.all(running)) expect(rows).toEqual([{ word: "from a" }]);
    await until(() => a.counts.connects === connects + 1);
    // It listens again, and has read what it missed.
    a.records = [settled(IN_A, "b", 1)];
    a.notify(JSON.stringify({ tenant: "3" }));
    await until(async () => (await router.locate(IN_A)).home === "b");
    expect([(await router.locate(IN_A)).home, told]).toEqual(["b", []]);
  });

  test("is made good by the others where the server takes no more", async () => {
    const router = await routing({ clusters: { a: { ...a.config, max: 1 }, b: b.config } });
    a.answer = says("from a");
    const told = events(router);
    await router.for(IN_A).query("SELECT 1");
    a.refusal = { code: "53300", message: "too many connections" };
    a.endListening();
    await until(() => router.clusters[0]?.reason !== undefined);
    // The directory is asked for over the connection that there is.
    a.records = [settled(4711, "b", 1)];
    await until(async () => (await router.locate(4711)).epoch === 1);
    expect(await router.locate(4711)).toMatchObject({ home: "b", epoch: 1 });
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    expect([told, router.clusters[0]]).toMatchObject([[], { up: true, reason: { code: "53300" } }]);
    a.refusal = undefined;
    await until(() => router.clusters[0]?.reason === undefined);
    expect(router.clusters[0]?.reason).toBeUndefined();
  });

  describe("while it is silent", () => {
    beforeEach(() => {
      [a.answer, b.answer] = [says("left over"), says("from b")];
    });
    const moved = (): void => void (a.records = b.records = [settled(IN_A, "b", 1)]);

    test("has what is read confirmed by the others: of what was announced it may not have heard", async () => {
      const router = await routing();
      expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "left over" }]);
      a.mute = true;
      moved();
      await nap(500);
      expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from b" }]);
      expect(a.asked).toBe(1);
      a.mute = false;
    });

    test("has what is read in a transaction confirmed, which is not committed where the tenant has left", async () => {
      const router = await routing();
      const client = await router.for(IN_A).pool.connect();
      await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
      await client.query("SELECT 1");
      a.mute = true;
      moved();
      a.knownInTransaction = { home: "a", epoch: 0, state: "settled" };
      await nap(500);
      expect(await failure(client.query("COMMIT"))).toMatchObject({ code: "TENANT_MOVED", applied: "no" });
      client.release();
      a.mute = false;
    });

    test("has the cluster asked of a tenant that was announced, and could not be read", async () => {
      const router = await routing();
      await router.locate(IN_A);
      a.answer = () => ({ rows: [{ word: "left over" }], after: 20 });
      const reading = router.for(IN_A).query("SELECT 1");
      await nap(5);
      moved();
      a.notify(JSON.stringify({ tenant: String(IN_A) }));
      a.mute = true;
      expect((await reading).rows).toEqual([{ word: "from b" }]);
      a.mute = false;
    });
  });

  test("costs nothing while that answers", async () => {
    const router = await routing();
    a.answer = says("from a");
    for (let reads = 0; reads < 30; reads += 1) {
      await router.for(IN_A).query("SELECT 1");
      await nap(20);
    }
    // A process that stands still for as long is not sure, and asks.
    expect(a.asked).toBeLessThan(3);
  });

  test("is a cluster's where nothing else answers", async () => {
    const router = await routing();
    const told = events(router);
    await a.stop();
    await until(() => told.length > 0);
    expect(await failure(router.for(IN_A).query("SELECT 1"))).toMatchObject({ code: "CLUSTER_DOWN", applied: "no", cause: { code: "ECONNREFUSED" } });
    expect(told).toEqual(["a down"]);
  });
});

describe("a notification", () => {
  test("that is forged changes nothing", async () => {
    const router = await routing();
    const told = events(router);
    a.answer = says("from a");
    for (const forged of [{ tenant: "3", home: "zzz", epoch: 1e9, state: "settled" }, { tenant: 3 }, { ring: 99 }, ["x"], null]) a.notify(JSON.stringify(forged));
    a.notify("{not JSON");
    a.notify("");
    await until(() => a.counts.looks > 0);
    await nap(100);
    expect(await router.locate(IN_A)).toEqual({ tenant: "3", home: "a", epoch: 0, state: "settled", by: "hash" });
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    expect([a.counts.loads, told]).toEqual([1, []]);
  });

  test("one of many is read with the others", async () => {
    await routing();
    b.lookMs = 50;
    for (let tenant = 0; tenant < 500; tenant += 1) b.notify(JSON.stringify({ tenant: String(tenant) }));
    await nap(300);
    expect(b.counts.looks).toBeLessThan(10);
  });
});

describe("what somebody has to mend", () => {
  test.each([
    ["a wrong password", { code: "28P01", message: 'password authentication failed for user "postgres"' }],
    ["a wrong database", { code: "3D000", message: 'database "nope" does not exist' }],
  ])("is told when a router is made: %s", async (_, refusal) => {
    b.refusal = refusal;
    const error = await failure(routing());
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error).toMatchObject({ message: `clusters.b: no connection can be made: ${refusal.message}`, cause: { code: refusal.code } });
    expect(b.counts.connects).toBe(1);
  });

  test("a server without TLS where TLS is wanted", async () => {
    const error = await failure(routing({ clusters: { a: { ...a.config, ssl: true } } }));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as Error).message).toMatch(/^clusters\.a: no connection can be made: /);
  });

  test("swapped addresses", async () => {
    const error = await failure(routing({ clusters: { a: b.config, b: a.config } }));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as Error).message).toBe("clusters.a: leads to cluster b. Give each cluster's address under its own name");
  });

  test("clusters that write ids differently", async () => {
    b.idType = "uuid";
    expect(await failure(routing())).toMatchObject({ code: "CONFIGURATION", message: expect.stringMatching(/^clusters\.[ab]: its tables are distributed by columns of type/) as string });
  });

  test("is the reason of a cluster that is down, and is not tried four times a second", async () => {
    const router = await routing();
    a.refusal = { code: "28P01", message: "password authentication failed" };
    await a.stop();
    await until(() => router.clusters[0]?.up === false);
    await a.start();
    await until(() => router.clusters[0]?.reason instanceof ConfigurationError);
    const { connects } = a.counts;
    await nap(700);
    expect(a.counts.connects - connects).toBeLessThanOrEqual(1);
    expect(await failure(router.for(IN_A).query("SELECT 1"))).toMatchObject({ code: "CLUSTER_DOWN", message: expect.stringContaining("password authentication failed") as string, cause: { cause: { code: "28P01" } } });
  });
});

describe("a pool that is full", () => {
  test("is waited for as long as was asked for, and the statement was not sent", async () => {
    const router = await routing({ clusters: { a: { ...a.config, max: 2 }, b: b.config }, poolTimeoutMs: 100 });
    a.answer = () => ({ after: 600, rows: [{ word: "slow" }] });
    const running = [router.for(IN_A).query("SELECT 1"), router.for(IN_A).query("SELECT 1")];
    await nap(20);
    const error = await failure(router.for(IN_A).query("INSERT"));
    expect(error).toBeInstanceOf(PoolTimeoutError);
    expect(error).toMatchObject({ code: "POOL_TIMEOUT", cluster: "a", applied: "no", message: expect.stringContaining("100 ms (poolTimeoutMs)") as string });
    await Promise.all(running);
    a.answer = says("from a");
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    expect(a.statements).not.toContain("INSERT");
  });

  test("is waited for by each as long, whatever became of those before it", async () => {
    const router = await routing({ clusters: { a: { ...a.config, max: 1 }, b: b.config }, poolTimeoutMs: 200 });
    a.answer = () => ({ after: 800 });
    const running = router.for(IN_A).query("SELECT 1");
    await nap(20);
    const wait = async (signal?: AbortSignal): Promise<[unknown, number]> => {
      const began = performance.now();
      return [await failure(router.for(IN_A).query("INSERT", [], { ...(signal && { signal }) })), performance.now() - began];
    };
    const waiting = [wait(), wait(AbortSignal.timeout(50)), nap(120).then(() => wait())];
    const [[first, firstMs], [second, secondMs], [third, thirdMs]] = (await Promise.all(waiting)) as [[unknown, number], [unknown, number], [unknown, number]];
    expect([first, third]).toMatchObject([{ code: "POOL_TIMEOUT" }, { code: "POOL_TIMEOUT" }]);
    expect(second).toMatchObject({ name: "TimeoutError" });
    expect(secondMs).toBeLessThan(190);
    for (const took of [firstMs, thirdMs]) {
      expect(took).toBeGreaterThan(190);
      expect(took).toBeLessThan(400);
    }
    await running;
    a.answer = says("from a");
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    expect(a.statements).not.toContain("INSERT");
  });
});

describe("a change of the ring", () => {
  const refused = (code: "TN001" | "TN002", home: string): Answer => ({ error: { code, message: "refused", detail: JSON.stringify({ tenant: String(FROM_A_TO_C), home, epoch: 0 }) } });
  const ring = { version: 2, clusters: ["a", "b", "c"] };

  test("leaves no router stuck that wrote a tenant for the first time in that moment", async () => {
    const router = await routing({ clusters: { a: a.config, b: b.config, c: c.config } });
    expect((await router.locate(FROM_A_TO_C)).home).toBe("a");
    a.answer = () => refused("TN002", "a");
    c.answer = says("from c");
    const first = router.for(FROM_A_TO_C).query("INSERT");
    await nap(50);
    for (const server of [a, b, c]) server.ring = ring;
    // No cluster announces it; the fence says that the router's ring is an old one.
    a.answer = () => refused("TN001", "c");
    expect((await first).rows).toEqual([{ word: "from c" }]);
    expect(await router.locate(FROM_A_TO_C)).toMatchObject({ home: "c", by: "hash" });
    expect((await router.for(FROM_A_TO_C).query("SELECT 1")).rows).toEqual([{ word: "from c" }]);
  });

  test("that leaves out a cluster that is lost reaches routers, with its tenants", async () => {
    a.records = [settled(IN_A, "b", 5)];
    b.records = [settled(IN_A, "b", 5)];
    const router = await routing();
    expect((await router.locate(IN_A)).home).toBe("b");
    await b.stop();
    await until(() => router.clusters[1]?.up === false);
    expect((await router.locate(IN_A)).home).toBe("b");
    // npm run up -- --accept-loss b
    [a.records, a.ring] = [[], { version: 2, clusters: ["a"] }];
    a.notify(JSON.stringify({ ring: 2 }));
    await until(async () => (await router.locate(IN_A)).home === "a");
    expect([await router.locate(IN_A), await router.locate(IN_B)]).toMatchObject([{ home: "a", by: "hash" }, { home: "a", by: "hash" }]);
  });
});

describe("a cluster more", () => {
  test("is given to a router that runs", async () => {
    const router = await routing();
    a.records = [settled(IN_A, "c", 1)];
    a.notify(JSON.stringify({ tenant: "3" }));
    await until(async () => (await router.locate(IN_A)).home === "c");
    expect(await failure(router.for(IN_A).query("SELECT 1"))).toMatchObject({ code: "UNKNOWN_CLUSTER", cluster: "c", tenant: "3" });
    await router.addCluster("c", c.config);
    c.answer = says("from c");
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from c" }]);
    expect(await failure(router.addCluster("c", c.config))).toMatchObject({ message: "clusters.c: is among the router's clusters already" });
  });

  test("that is not what it was said to be is refused, and one that does not answer yet is waited for", async () => {
    const router = await routing();
    expect(await failure(router.addCluster("d", c.config))).toMatchObject({ code: "CONFIGURATION", message: expect.stringContaining("leads to cluster c") as string });
    expect(await failure(router.addCluster("d", {}))).toMatchObject({ message: "clusters.d: needs a connectionString or a host" });
    await c.stop();
    await router.addCluster("c", c.config);
    expect(router.clusters).toMatchObject([{ name: "a" }, { name: "b" }, { name: "c", up: false, reason: { code: "ECONNREFUSED" } }]);
    await c.start();
    await until(() => router.clusters[2]?.up === true);
    expect(router.clusters[2]).toMatchObject({ up: true, reason: undefined });
  });

  test("does not keep a router from starting while it is not set up", async () => {
    c.refusal = { code: "3D000", message: "there is no such database" };
    const router = await routing({ clusters: { a: a.config, b: b.config, c: c.config } });
    expect(router.clusters[2]).toMatchObject({ up: false, reason: { code: "CONFIGURATION" } });
  });
});

describe("a question to all clusters", () => {
  test("counts a tenant that moves once", async () => {
    [a.records, b.records] = [[{ ...settled(IN_A, "a", 1), state: "closed", target: "b" }], [settled(IN_A, "b", 2)]];
    const router = await routing();
    [a.answer, b.answer] = [says("from a"), says("from b")];
    const { moved } = await router.all((here) => `SELECT 1 FROM x WHERE ${here("x.room_id")}`);
    expect(moved).toBe(false);
    const elsewhere = (cluster: string): string => `NOT EXISTS (SELECT FROM tenancy.tenant AS elsewhere WHERE elsewhere.tenant = (x.room_id)::text AND elsewhere.home <> '${cluster}')`;
    // Cluster a has not heard yet that the tenant is open in b.
    expect([a.statements, b.statements]).toEqual([[`SELECT 1 FROM x WHERE (${elsewhere("a")} AND (x.room_id)::text <> '3')`], [`SELECT 1 FROM x WHERE (${elsewhere("b")})`]]);
  });

  test("is asked again where a tenant changed its home meanwhile", async () => {
    const router = await routing();
    a.answer = () => ({ after: 100, rows: [{ word: "x" }] });
    const asking = router.all((here) => `SELECT 1 WHERE ${here("room_id")}`);
    await nap(30);
    b.records = [settled(IN_A, "b", 1)];
    b.notify(JSON.stringify({ tenant: "3" }));
    expect(await asking).toMatchObject({ moved: false, complete: true });
    expect(a.statements).toHaveLength(2);
  });

  test("is asked again where a tenant has opened elsewhere, and that was not announced yet", async () => {
    const router = await routing();
    b.answer = () => {
      b.records = [settled(IN_A, "b", 1)];
      return { rows: [{ word: "x" }] };
    };
    expect(await router.all((here) => `SELECT 1 WHERE ${here("room_id")}`)).toMatchObject({ moved: false, complete: true });
    expect([a.statements.length, (await router.locate(IN_A)).home]).toEqual([2, "b"]);
  });

  test("is asked again where the connection that would have heard of a move is lost", async () => {
    const router = await routing();
    a.answer = () => ({ after: 100, rows: [{ word: "x" }] });
    const asking = router.all((here) => `SELECT 1 WHERE ${here("room_id")}`);
    await nap(30);
    b.refusal = { code: "53300", message: "sorry, too many clients already" };
    b.endListening();
    b.records = [settled(IN_A, "b", 1)];
    expect(await asking).toMatchObject({ moved: false, complete: true });
    expect([a.statements.length, (await router.locate(IN_A)).home]).toEqual([2, "b"]);
  });

  test("says so where that does not end", async () => {
    const router = await routing({ moveTimeoutMs: 50 });
    let epoch = 0;
    a.answer = () => {
      b.records = [settled(IN_A, "b", (epoch += 1))];
      b.notify(JSON.stringify({ tenant: "3" }));
      return { after: 50, rows: [{ word: "x" }] };
    };
    expect(await router.all((here) => `SELECT 1 WHERE ${here("room_id")}`)).toMatchObject({ moved: true });
  });
});

describe("the directory", () => {
  test("of a tenant is asked for when it is needed, of many at once, and once", async () => {
    a.records = Array.from({ length: 25_000 }, (_, index) => settled(index + 1_000_000, "b", 1));
    b.records = a.records;
    const router = await routing();
    const found = await Promise.all(Array.from({ length: 500 }, (_, index) => router.locate(1_000_000 + index)));
    expect(new Set(found.map(({ home, epoch, by }) => `${home} ${epoch} ${by}`))).toEqual(new Set(["b 1 lookup"]));
    await router.locate(1_000_001);
    await router.for(1_000_002).query("SELECT 1");
    expect([a.counts, b.counts]).toMatchObject([{ loads: 1, asked: 1 }, { loads: 1, asked: 2 }]);
  });

  test("follows a tenant from cluster to cluster, and asks all where one is away", async () => {
    const router = await routing({ clusters: { a: a.config, b: b.config, c: c.config } });
    [a.records, b.records] = [[settled(IN_A, "b", 1)], [settled(IN_A, "c", 2)]];
    c.records = [settled(IN_A, "c", 2), settled(FROM_A_TO_C, "b", 7)];
    b.records = [...b.records, settled(FROM_A_TO_C, "b", 7)];
    expect(await router.locate(IN_A)).toMatchObject({ home: "c", epoch: 2 });
    await a.stop();
    await until(() => router.clusters[0]?.up === false);
    expect(await router.locate(FROM_A_TO_C)).toMatchObject({ home: "b", epoch: 7 });
    // Nobody knows better than a, which is away.
    expect(await failure(router.for(4711).query("SELECT 1"))).toMatchObject({ code: "CLUSTER_DOWN", cluster: "a" });
  });

  test("knows of a tenant that is closed where it may be open already, also where it was made in that moment", async () => {
    a.records = [{ ...settled(IN_A, "a", 1), state: "closed", target: "b" }];
    b.records = [settled(IN_A, "b", 2)];
    const router = await routing();
    [a.answer, b.answer] = [() => ({ error: { code: "TN002", message: "closed", detail: JSON.stringify({ tenant: "3", home: "a", epoch: 1 }) } }), says("from b")];
    await router.all((here) => `SELECT 1 WHERE ${here("room_id")}`);
    expect(a.statements[0]).toContain("(room_id)::text <> '3'");
    expect((await router.for(IN_A).query("INSERT")).rows).toEqual([{ word: "from b" }]);
  });

  test("is read from the beginning where a cluster is another than it was", async () => {
    const router = await routing();
    a.records = [settled(IN_A, "b", 1)];
    a.notify(JSON.stringify({ tenants: ["3", "11"] }));
    await until(() => a.counts.looks > 0);
    a.restore();
    a.notify("");
    await until(() => a.counts.loads === 2);
    expect(a.counts.loads).toBe(2);
    expect(await router.locate(IN_A)).toMatchObject({ home: "b" });
  });

  test("of an older version is told as that", async () => {
    a.older = true;
    expect(await failure(routing())).toMatchObject({ code: "CONFIGURATION", message: expect.stringMatching(/^clusters\.a: has the directory of an older version .*Run npm run up$/) as string });
  });
});

describe("behind a pooler", () => {
  test("a transaction by hand is not committed where the tenant has left", async () => {
    a.pooled = true;
    const router = await routing();
    const client = await router.for(IN_A).pool.connect();
    try {
      await client.query("BEGIN");
      // What it did is not known, so that it is asked for at the end.
      await client.query("SELECT looked()");
      a.known = { home: "b", epoch: 1, state: "settled" };
      expect(await failure(client.query("COMMIT"))).toMatchObject({ code: "TENANT_MOVED", applied: "no" });
      expect([a.asked, a.statements.at(-1)]).toEqual([1, "ROLLBACK"]);
    } finally {
      client.release();
    }
  });

  test("changes are asked for every second, and what was read is confirmed", async () => {
    a.pooled = true;
    const router = await routing();
    expect((await router.locate(IN_A)).home).toBe("a");
    b.records = [settled(IN_A, "b", 1)];
    a.records = b.records;
    a.known = { home: "b", epoch: 1, state: "settled" };
    [a.answer, b.answer] = [says("left over"), says("from b")];
    const began = performance.now();
    // A read of a home that it has left is not believed.
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from b" }]);
    const changed = new Promise<void>((resolve) => router.once("change", () => resolve()));
    a.records = [...a.records, settled(FROM_A_TO_C, "a", 3)];
    await changed;
    expect(performance.now() - began).toBeLessThan(2000);
  });
});

test("a wait for a cluster that goes down ends", async () => {
  const router = await routing({ clusters: { a: { ...a.config, max: 1 }, b: b.config } });
  a.answer = () => ({ after: 10_000 });
  const running = failure(router.for(IN_A).query("SELECT 1"));
  await nap(50);
  const waiting = failure(router.for(IN_A).query("SELECT 1"));
  await a.stop();
  expect(await waiting).toBeInstanceOf(ClusterDownError);
  expect(await running).toMatchObject({ applied: "unknown" });
});
