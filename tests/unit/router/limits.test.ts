import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ConfigurationError, createRouter, PoolTimeoutError, StatementTimeoutError, type ClusterOptions, type Router, type RouterOptions } from "../../../router/index";
import { TenantLimiter } from "../../../router/tenantLimits";
import { FakeServer, type Answer } from "./fakeServer";

/** By the ring of a and b, 3, 11 and 4711 live in a, and 42 in b. */
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

async function routing(ofA: Partial<ClusterOptions> = {}, options: Partial<RouterOptions> = {}): Promise<Router> {
  const router = await createRouter({ clusters: { a: { ...a.config, ...ofA }, b: b.config }, ...options });
  routers.push(router);
  return router;
}

const says = (word: string) => (): Answer => ({ rows: [{ word }] });
const failure = async (work: Promise<unknown>): Promise<unknown> => work.then(() => expect.fail("it did not fail"), (error: unknown) => error);
const nap = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

const until = async (met: () => boolean | Promise<boolean>): Promise<void> => {
  for (let tries = 0; !(await met()) && tries < 600; tries += 1) await nap(10);
};

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

/** The ways in which a tenant's statements go. */
const WAYS: Record<string, (router: Router, tenant: number, text: string) => Promise<unknown>> = {
  "a statement": (router, tenant, text) => router.for(tenant).query(text),
  "a transaction": (router, tenant, text) => router.for(tenant).transaction((tx) => tx.query(text)),
  "a connection of one's own": async (router, tenant, text) => {
    await using client = await router.for(tenant).connect();
    return await client.query(text);
  },
  "a tenant's pool": (router, tenant, text) => router.for(tenant).pool.query(text),
  "a client of it": async (router, tenant, text) => {
    const client = await router.for(tenant).pool.connect();
    return client.query(text).finally(() => client.release());
  },
  "a transaction by hand": async (router, tenant, text) => {
    const client = await router.for(tenant).pool.connect();
    try {
      await client.query("BEGIN");
      const result = await client.query(text);
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await client.query("ROLLBACK");
      throw error;
    } finally {
      client.release();
    }
  },
  "the pool of a run": (router, tenant, text) => router.run(tenant, () => router.pool.query(text)),
};

describe("a tenant's part of a cluster's connections", () => {
  test.each(Object.entries(WAYS))("is not exceeded, and leaves the others theirs: %s", async (_, way) => {
    const router = await routing({ max: 3, maxPerTenant: 1, poolTimeoutMs: 60 });
    const held = await router.for(IN_A).connect();
    const error = await failure(way(router, IN_A, "SELECT mine"));
    expect(error).toBeInstanceOf(PoolTimeoutError);
    expect(error).toMatchObject({ code: "POOL_TIMEOUT", cluster: "a", tenant: "3", applied: "no", message: expect.stringMatching(/^Tenant 3 has had all .* cluster a, 1, in use for 60 ms \(poolTimeoutMs\).*maxPerTenant, or max of limits/) as string });
    await way(router, ALSO_IN_A, "SELECT its");
    held.release();
    await way(router, IN_A, "SELECT later");
    expect(a.statements.filter((text) => text.startsWith("SELECT"))).toEqual(["SELECT its", "SELECT later"]);
    await until(() => router.clusters[0]?.connections.open === router.clusters[0]?.connections.idle);
    expect(router.clusters[0]?.connections.waiting).toBe(0);
  });

  test("does not dead-lock in silence where a transaction waits for a statement outside of it", async () => {
    const router = await routing({}, { maxPerTenant: 1, poolTimeoutMs: 60 });
    const tenant = router.for(IN_A);
    expect(await failure(tenant.transaction(() => tenant.query("INSERT")))).toMatchObject({ code: "POOL_TIMEOUT", tenant: "3", message: expect.stringContaining("one of its transactions waits for a statement outside of it") as string });
    expect(a.statements.at(-1)).toBe("ROLLBACK");
    await tenant.query("INSERT");
  });

  test("is given to tenants in turn where connections are scarce, and to whoever came first within one", async () => {
    const router = await routing({ max: 1, maxPerTenant: 1 });
    a.answer = () => ({ after: 20, rows: [{ word: "x" }] });
    await Promise.all([3, 11, 4711].map((tenant) => router.locate(tenant)));
    await router.for(IN_A).query("SELECT 0");
    const texts = ["3 first", "3 second", "3 third", "11 first", "11 second", "4711 first"];
    await Promise.all(texts.map((text) => router.for(text.split(" ")[0] as string).query(text)));
    expect(a.statements.slice(1)).toEqual(["3 first", "11 first", "4711 first", "3 second", "11 second", "3 third"]);
  });

  test("is the cluster's where all of its connections are in use, and that is told as that", async () => {
    const router = await routing({ max: 1, maxPerTenant: 1, poolTimeoutMs: 60 });
    await using held = await router.for(IN_A).connect();
    expect(held.home).toBe("a");
    const error = await failure(router.for(ALSO_IN_A).query("SELECT 1"));
    expect(error).toMatchObject({ code: "POOL_TIMEOUT", tenant: undefined, message: expect.stringContaining("clusters.a.max is too small") as string });
  });

  test("is not waited for by what is given up, nor where the cluster goes down", async () => {
    const router = await routing({}, { maxPerTenant: 1 });
    a.answer = () => ({ after: 10_000 });
    const running = failure(router.for(IN_A).query("SELECT 1"));
    await nap(30);
    const waiting = failure(router.for(IN_A).query("SELECT 2"));
    expect(await failure(router.for(IN_A).query("SELECT 3", [], { signal: AbortSignal.timeout(30) }))).toMatchObject({ name: "TimeoutError" });
    expect(await failure(router.for(IN_A).query("SELECT 3", [], { signal: AbortSignal.abort(new Error("enough")) }))).toMatchObject({ message: "enough" });
    expect(router.clusters[0]?.connections.waiting).toBe(1);
    await a.stop();
    expect(await waiting).toMatchObject({ code: "CLUSTER_DOWN", applied: "no" });
    expect(await running).toMatchObject({ code: "CLUSTER_DOWN", applied: "unknown" });
    await until(() => router.clusters[0]?.up === false);
    await a.start();
    a.answer = says("from a");
    await until(() => router.clusters[0]?.up === true);
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
  });

  test("comes back however a connection ends", async () => {
    const router = await routing({ connectTimeoutMs: 200 }, { maxPerTenant: 1, poolTimeoutMs: 500 });
    const tenant = router.for(IN_A);
    a.answer = (text) => (text === "DROP" ? { drop: true } : text === "SLOW" ? { after: 5000 } : { rows: [{ word: "from a" }] });
    await failure(tenant.query("DROP"));
    await failure(tenant.query("BEGIN"));
    await failure(tenant.query("SLOW", [], { signal: AbortSignal.timeout(20) }));
    const client = await tenant.connect();
    const left = failure(client.query("SLOW"));
    client.release(true);
    client.release();
    await left;
    // One that cannot be opened.
    await until(() => router.clusters[0]?.connections.open === 0);
    a.refusal = { code: "28P01", message: "password authentication failed" };
    expect(await failure(tenant.query("SELECT 1"))).toMatchObject({ code: "28P01" });
    a.refusal = undefined;
    expect((await tenant.query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
  });
});

describe("limits of single tenants", () => {
  test("are asked for once in a while, and count before the cluster's", async () => {
    const asked: string[] = [];
    const router = await routing({ maxPerTenant: 1, poolTimeoutMs: 60 }, { limits: (tenant) => (asked.push(tenant), tenant === "3" ? { max: 2, poolTimeoutMs: 120 } : undefined) });
    const held = await Promise.all([IN_A, IN_A, ALSO_IN_A].map((tenant) => router.for(tenant).connect()));
    expect(await failure(router.for(IN_A).query("SELECT 1"))).toMatchObject({ tenant: "3", message: expect.stringMatching(/cluster a, 2, in use for 120 ms/) as string });
    expect(await failure(router.for(ALSO_IN_A).query("SELECT 1"))).toMatchObject({ tenant: "11", message: expect.stringMatching(/cluster a, 1, in use for 60 ms/) as string });
    for (const client of held) client.release();
    expect(asked.sort()).toEqual(["11", "3"]);
  });

  test("end each wait at its own time, whoever came before", async () => {
    const router = await routing({ max: 1, poolTimeoutMs: 300 }, { limits: (tenant) => (tenant === "3" ? { poolTimeoutMs: 60 } : undefined) });
    a.answer = () => ({ after: 600, rows: [{ word: "from a" }] });
    const running = router.for(4711).query("SELECT 1");
    await until(() => a.statements.length === 1);
    const wait = async (tenant: number): Promise<number> => {
      const began = performance.now();
      expect(await failure(router.for(tenant).query("INSERT"))).toMatchObject({ code: "POOL_TIMEOUT", tenant: undefined });
      return performance.now() - began;
    };
    const [long = 0, short = 0, longAgain = 0, shortAgain = 0] = await Promise.all([wait(ALSO_IN_A), wait(IN_A), wait(ALSO_IN_A), nap(100).then(() => wait(IN_A))]);
    for (const took of [short, shortAgain]) expect(took).toBeLessThan(250);
    for (const took of [long, longAgain]) expect(took).toBeGreaterThan(290);
    await running;
    expect(a.statements).not.toContain("INSERT");
  });

  test("are asked for again after 10 seconds, and kept of 10,000 tenants", async () => {
    let asked = 0;
    const limiter = new TenantLimiter(() => ({ statementTimeoutMs: (asked += 1) }));
    expect([limiter.of("1"), limiter.of("1")]).toEqual([{ statementTimeoutMs: 1 }, { statementTimeoutMs: 1 }]);
    const later = performance.now() + 10_100;
    vi.spyOn(performance, "now").mockImplementation(() => later);
    await nap(10);
    expect(limiter.of("1")).toEqual({ statementTimeoutMs: 2 });
    vi.restoreAllMocks();
    for (let tenant = 2; tenant <= 10_001; tenant += 1) limiter.of(String(tenant));
    expect([limiter.of("10001"), limiter.of("1")].map(({ statementTimeoutMs }) => statementTimeoutMs)).toEqual([10_002, 10_003]);
  });

  test.each<[string, (tenant: string) => unknown, RegExp]>([
    ["a mistyped name", () => ({ maximum: 2 }), /^limits\("3"\): Unrecognized key: "maximum"/],
    ["no connection at all", () => ({ max: 0 }), /^limits\("3"\)\.max: must be a whole number from 1 to 10000/],
    ["a promise", () => Promise.resolve({ max: 2 }), /^limits\("3"\): must be given at once, and not as a promise$/],
    ["an error", () => { throw new Error("no such customer"); }, /^limits\("3"\): the function failed: no such customer$/],
  ])("are refused: %s", async (_, limits, message) => {
    const router = await routing({}, { limits: limits as NonNullable<RouterOptions["limits"]> });
    const error = await failure(router.for(IN_A).query("SELECT 1"));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as Error).message).toMatch(message);
    expect(a.statements).toEqual([]);
    await expect(createRouter({ clusters: { a: a.config }, limits: { max: 2 } as never })).rejects.toThrow(/^limits: must be a function/);
  });
});

describe("a statement's time", () => {
  const slow = (text: string): Answer => (/^(INSERT|SELECT|CALL)/.test(text) ? { after: 10_000 } : {});
  const sets = "SET LOCAL statement_timeout TO 60; SET LOCAL citus";

  test.each<[string, string, "no" | "unknown", boolean]>([
    ["a statement", "INSERT", "unknown", false],
    ["a statement", "SELECT 1", "no", false],
    ["a statement", "SELECT charge()", "unknown", false],
    ["a tenant's pool", "INSERT", "unknown", false],
    ["a client of it", "INSERT", "unknown", false],
    ["a connection of one's own", "INSERT", "unknown", false],
    ["the pool of a run", "SELECT 1", "no", false],
    ["a transaction", "INSERT", "no", true],
    ["a transaction by hand", "CALL charge()", "no", true],
  ])("ends: %s, %s", async (way, text, applied, byDatabase) => {
    const router = await routing({ statementTimeoutMs: 60 });
    a.answer = slow;
    const began = performance.now();
    const error = await failure((WAYS[way] as (typeof WAYS)[string])(router, IN_A, text));
    expect(error).toBeInstanceOf(StatementTimeoutError);
    expect(error).toMatchObject({ code: "STATEMENT_TIMEOUT", tenant: "3", cluster: "a", timeoutMs: 60, applied, message: expect.stringContaining("60 ms in cluster a (statementTimeoutMs)") as string });
    expect(performance.now() - began).toBeLessThan(500);
    // The database's own limit costs no connection, and needs nobody who cancels.
    expect([a.cancelled, a.statements.some((statement) => statement.includes(sets)), a.statements.at(-1) === "ROLLBACK"]).toEqual(byDatabase ? [0, true, true] : [1, false, false]);
    await until(() => router.clusters[0]?.connections.open === (byDatabase ? 1 : 0));
    expect(router.clusters[0]?.connections.open).toBe(byDatabase ? 1 : 0);
    a.answer = says("from a");
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
  });

  test("is a tenant's own, and 0 is none", async () => {
    const router = await routing({ statementTimeoutMs: 60 }, { limits: (tenant) => ({ statementTimeoutMs: tenant === "11" ? 0 : 30 }) });
    a.answer = () => ({ after: 150, rows: [{ word: "from a" }] });
    const [error, { rows }] = await Promise.all([failure(router.for(IN_A).query("SELECT 1")), router.for(ALSO_IN_A).query("SELECT 1")]);
    expect([error, rows]).toMatchObject([{ timeoutMs: 30 }, [{ word: "from a" }]]);
    expect((await router.for(ALSO_IN_A).transaction((tx) => tx.query("SELECT 1"))).rows).toHaveLength(1);
    expect(a.statements.join()).not.toContain("statement_timeout");
  });

  test("begins when the statement is sent: waits for a connection, and statements before it, are not part of it", async () => {
    const router = await routing({ max: 1, statementTimeoutMs: 800 });
    a.answer = () => ({ after: 300, rows: [{ word: "from a" }] });
    await Promise.all([1, 2, 3].map(() => router.for(IN_A).query("SELECT 1")));
    await using client = await router.for(IN_A).connect();
    await Promise.all([1, 2, 3].map(() => client.query("SELECT 1")));
    expect(a.cancelled).toBe(0);
  });

  test("cuts no commit, nor what the database's own cancellation ended", async () => {
    const router = await routing({ statementTimeoutMs: 600 });
    a.answer = (text) => (text === "COMMIT" ? { after: 800, command: text } : text === "INSERT" ? { error: { code: "57014", message: "canceling statement due to user request" } } : { command: text });
    await router.for(IN_A).transaction((tx) => tx.query("UPDATE"));
    await using client = await router.for(IN_A).connect();
    for (const text of ["BEGIN", "UPDATE", "COMMIT"]) await client.query(text);
    expect(await failure(router.for(IN_A).query("INSERT"))).toMatchObject({ code: "57014" });
    expect(a.cancelled).toBe(0);
  });

  test("ends behind a pooler as well, which passes a cancellation on", async () => {
    a.pooled = true;
    const router = await routing({ statementTimeoutMs: 60 });
    a.answer = slow;
    const began = performance.now();
    expect(await failure(router.for(IN_A).query("INSERT"))).toMatchObject({ code: "STATEMENT_TIMEOUT", applied: "unknown" });
    expect(await failure(router.for(IN_A).transaction((tx) => tx.query("INSERT")))).toMatchObject({ code: "STATEMENT_TIMEOUT", applied: "no" });
    expect(performance.now() - began).toBeLessThan(800);
    expect([a.cancelRequests, a.cancelled]).toEqual([1, 0]);
  });

  test("is not that of a question to all clusters", async () => {
    const router = await routing({ statementTimeoutMs: 50 });
    a.answer = () => ({ after: 150, rows: [{ word: "from a" }] });
    expect(await router.all("SELECT 1")).toMatchObject({ complete: true });
  });
});
