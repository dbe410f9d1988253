import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import { setTimeout as nap } from "node:timers/promises";
import { drizzle } from "drizzle-orm/node-postgres";
import { Kysely, PostgresDialect } from "kysely";
import { Pool, Query, type PoolClient, type QueryResult } from "pg";
import { from, to } from "pg-copy-streams";
import Cursor from "pg-cursor";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createRouter, OtherTenantError, RouterError, TenantMovedError, TenantMovingError, UnknownOutcomeError, type Router, type RouterOptions } from "../../../router/index";
import { FakeServer, type Answer } from "./fakeServer";

/** By the ring of a and b, 3 and 4 live in a and 42 in b. */
const IN_A = 3;
const IN_B = 42;

let a: FakeServer;
let b: FakeServer;
let router: Router;

beforeEach(async () => {
  [a, b] = await Promise.all([new FakeServer("a").start(), new FakeServer("b").start()]);
  router = await routing();
});
afterEach(async () => {
  await router.end();
  await Promise.all([a.stop(), b.stop()]);
});

const routing = (options: Partial<RouterOptions> = {}): Promise<Router> => createRouter({ clusters: { a: a.config, b: b.config }, ...options });
const says = (word: string) => (): Answer => ({ rows: [{ word }] });
const refusal = (code: "TN001" | "TN002", home: string, epoch: number, tenant = String(IN_A)): Answer => ({
  error: { code, message: code === "TN001" ? `tenant ${tenant} lives in cluster ${home}, not here` : `tenant ${tenant} is being moved`, detail: JSON.stringify({ tenant, home, epoch }) },
});
const movesWith = (word: string) => (sql: string): Answer => (sql.startsWith(word) ? refusal("TN001", "b", 1) : {});
const failure = async (work: Promise<unknown>): Promise<unknown> => work.then(() => expect.fail("it did not fail"), (error: unknown) => error);

/** What of a result or an error a program sees. */
function seen(outcome: unknown): unknown {
  if (Array.isArray(outcome)) return outcome.map(seen);
  if (outcome instanceof Error) return { error: outcome.message, code: (outcome as { code?: string }).code, type: outcome.constructor.name };
  if (typeof outcome !== "object" || outcome === null || !("rows" in outcome)) return outcome ?? "nothing";
  const { command, rowCount, rows, fields } = outcome as QueryResult;
  return { command, rowCount, rows, fields: fields.map(({ name }) => name) };
}
/** How a call that takes a callback called it. */
const called = (call: (callback: (...given: unknown[]) => void) => unknown): Promise<unknown> =>
  new Promise((resolve) => {
    const returned = call((error, result) => resolve([returned, error, result].map(seen)));
  });
const using = async <Result>(pool: Pool, work: (client: PoolClient) => Promise<Result>): Promise<Result> => {
  const client = await pool.connect();
  try {
    return await work(client);
  } finally {
    client.release();
  }
};
const EVENTS = ["connect", "acquire", "release", "remove", "error"] as const;

/** What programs do with a pool; each gives what they see. */
const CALLS: Record<string, (pool: Pool) => Promise<unknown>> = {
  "a text": (pool) => pool.query("SELECT 1"),
  "a text with values": (pool) => pool.query("SELECT $1", ["x"]),
  "a configuration": (pool) => pool.query({ text: "SELECT $1", values: ["x"] }),
  "a configuration with values beside it": (pool) => pool.query({ text: "SELECT $1" }, ["x"]),
  "a named statement, twice": async (pool) => [await pool.query({ name: "one", text: "SELECT $1", values: ["x"] }), await pool.query({ name: "one", text: "SELECT $1", values: ["y"] })],
  "a name that was given to another text": async (pool) => [await pool.query({ name: "one", text: "SELECT 1" }), await pool.query({ name: "one", text: "SELECT 2" }).catch((error: unknown) => error)],
  "rows as arrays": (pool) => pool.query({ text: "SELECT 1", rowMode: "array" }),
  "rows as arrays, with values beside": (pool) => pool.query({ text: "SELECT $1", rowMode: "array" }, ["x"]),
  "parsers of its own": (pool) => pool.query({ text: "SELECT 1", types: { getTypeParser: () => (value: unknown) => `parsed ${String(value)}` } }),
  "several statements": (pool) => pool.query("SELECT 1; SELECT 2"),
  "a query of the driver": (pool) => pool.query(new Query("SELECT 1")) as unknown as Promise<unknown>,
  "an error": (pool) => pool.query("WRONG").catch((error: unknown) => error),
  "no statement": (pool) => (pool.query(undefined as unknown as string) as Promise<unknown>).catch((error: unknown) => error),
  "values that are none": (pool) => pool.query("SELECT $1", "x" as unknown as string[]).catch((error: unknown) => error),
  "a callback": (pool) => called((callback) => pool.query("SELECT 1", callback)),
  "values and a callback": (pool) => called((callback) => pool.query("SELECT $1", ["x"], callback)),
  "a configuration and a callback": (pool) => called((callback) => pool.query({ text: "SELECT $1", values: ["x"] }, callback)),
  "an error and a callback": (pool) => called((callback) => pool.query("WRONG", callback)),
  "a callback and nothing else": (pool) => called((callback) => pool.query(callback as never)),
  "a client": (pool) => using(pool, (client) => client.query("SELECT 1")),
  "a client with a callback": (pool) =>
    new Promise((resolve, reject) =>
      pool.connect((error, client, release) => {
        if (client === undefined) return reject(error ?? new Error("no client"));
        client.query("SELECT 1", (wrong: Error | null, result: QueryResult) => {
          release();
          resolve([wrong, result].map(seen));
        });
      }),
    ),
  "a client's configuration with a callback in it": (pool) => using(pool, (client) => called((callback) => client.query({ text: "SELECT 1", callback } as unknown as string))),
  "no statement for a client": (pool) => using(pool, (client) => Promise.resolve().then(() => client.query(undefined as unknown as string)).catch((error: unknown) => error)),
  "a client's error": (pool) => using(pool, (client) => client.query("WRONG").catch((error: unknown) => error)),
  "statements at once, in their order": (pool) => using(pool, (client) => Promise.all(["SELECT 1", "SELECT 2", "WRONG", "SELECT 3"].map((text) => client.query(text).catch((error: unknown) => error)))),
  "a client that is released twice": async (pool) => {
    const client = await pool.connect();
    client.release();
    try {
      return client.release();
    } catch (error) {
      return error;
    }
  },
  "what a client says of itself": (pool) =>
    using(pool, async (client) => {
      const status = [client.getTransactionStatus()];
      await client.query("BEGIN");
      status.push(client.getTransactionStatus());
      await client.query("ROLLBACK");
      const { escapeIdentifier, escapeLiteral } = client;
      return [status, typeof (client as unknown as { processID: number }).processID, client.host, client.port, client.database, client.user, escapeIdentifier('a"b'), escapeLiteral("a'b"), (client.getTypeParser(20, "text") as (value: string) => unknown)("7")] as unknown[];
    }),
  "a transaction": (pool) => using(pool, async (client) => [await client.query("BEGIN"), await client.query("SELECT 1"), await client.query("COMMIT")]),
  "a transaction with an isolation": (pool) => using(pool, async (client) => [await client.query("begin isolation level serializable;"), await client.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), await client.query("commit")]),
  "a transaction by configurations": (pool) => using(pool, async (client) => [await client.query({ text: "BEGIN", rowMode: "array", values: [] }), await client.query({ text: "SELECT 1", rowMode: "array" }), await client.query({ text: "COMMIT", rowMode: "array", values: [] })]),
  "a transaction that failed, and is committed": (pool) =>
    using(pool, async (client) => [await client.query("BEGIN"), await client.query("WRONG").catch((error: unknown) => error), await client.query("SELECT 1").catch((error: unknown) => error), await client.query("COMMIT")]),
  "a cursor": (pool) =>
    using(pool, async (client) => {
      const cursor = client.query(new Cursor("SELECT $1", ["x"]));
      const rows = await cursor.read(10);
      await cursor.close();
      return rows as unknown[];
    }),
  "a cursor that fails": (pool) => using(pool, (client) => client.query(new Cursor("WRONG", [])).read(10).catch((error: unknown) => error)),
  "a query of the driver, by its events": (pool) =>
    using(pool, async (client) => {
      const query = client.query(new Query("SELECT 1"));
      const rows: unknown[] = [];
      query.on("row", (row) => rows.push(row));
      await once(query, "end");
      return rows;
    }),
  "COPY from a stream": (pool) => using(pool, (client) => pipeline(Readable.from(["1\n", "2\n"]), client.query(from("COPY t FROM STDIN"))).then(() => client.query("SELECT 1"))),
  "COPY to a stream": (pool) => using(pool, async (client) => (await client.query(to("COPY t TO STDOUT")).toArray()).join("")),
  "a warning": (pool) =>
    using(pool, async (client) => {
      const warning = once(client, "notice");
      await client.query("WARN");
      return (await warning).map(({ message }: { message: string }) => message);
    }),
  "its options": (pool) => Promise.resolve([pool.options.max, pool.ending, pool.ended, pool instanceof Pool]),
  "its counts": async (pool) => {
    const counts = (): number[] => [pool.totalCount, pool.idleCount, pool.waitingCount];
    const clients = await Promise.all([1, 2, 3, 4].map(() => pool.connect()));
    const full = counts();
    const next = pool.connect();
    await nap(20);
    const waiting = counts();
    clients[0]?.release();
    (await next).release();
    for (const client of clients.slice(1)) client.release();
    return [full, waiting, counts()];
  },
  "its events": async (pool) => {
    const told: string[] = [];
    for (const event of EVENTS) pool.on(event, (first: unknown) => void told.push(`${event} ${first instanceof Error ? first.message : ""}`));
    await pool.query("SELECT 1");
    await pool.query("SELECT 2");
    const [one, other] = [await pool.connect(), await pool.connect()];
    one.release();
    other.release(new Error("broken"));
    for (let tries = 0; tries < 100 && !told.includes("remove "); tries += 1) await nap(5);
    return told;
  },
  "a connection that is set up when it is opened": async (pool) => {
    pool.on("connect", (client) => void client.query("SET search_path TO mine"));
    await pool.query("SELECT 1");
    await pool.query("SELECT 2");
    return a.statements.filter((text) => text.startsWith("S"));
  },
  "its end": async (pool) => {
    const client = await pool.connect();
    const late = failure(pool.end().then(() => client.query("SELECT 1")));
    const refused = [await failure(pool.connect()), await failure(pool.query("SELECT 1")), await failure(pool.end())];
    const state = [pool.ending, pool.ended];
    client.release();
    await late;
    return [refused.map(seen), state, pool.ended];
  },
  "its end with a callback": (pool) => new Promise((resolve) => pool.end(() => resolve([pool.ending, pool.ended]))),
};

test.each(Object.entries(CALLS))("is to a program what the driver's is: %s", async (_, call) => {
  const answer = (text: string): Answer => {
    if (text === "WRONG") return { error: { code: "42601", message: "syntax error" } };
    if (text === "WARN") return { warning: { code: "01000", message: "mind the gap" } };
    return text.startsWith("SELECT") ? { rows: [{ word: text }] } : {};
  };
  a.answer = answer;
  const driver = new Pool(a.config);
  driver.on("error", () => undefined);
  const expected = seen(await call(driver));
  await (driver.ending ? undefined : driver.end());
  a.statements.splice(0);
  expect(seen(await call(router.for(IN_A).pool))).toEqual(expected);
});

test("is taken by ORMs as it is", () => {
  const pool: Pool = router.for(IN_A).pool;
  expect(drizzle({ client: pool }).$client).toBe(pool);
  expect(drizzle({ client: router.pool }).$client).toBe(router.pool);
  expect(new Kysely({ dialect: new PostgresDialect({ pool }) })).toBeDefined();
});

describe("a statement", () => {
  test.each<[string, (pool: Pool) => Promise<QueryResult>]>([
    ["of the pool", (pool) => pool.query("INSERT", [])],
    ["of a client outside of a transaction", (pool) => using(pool, (client) => client.query("INSERT"))],
    ["of a client after others, and a transaction", (pool) => using(pool, async (client) => {
      for (const text of ["BEGIN", "UPDATE", "COMMIT", "SELECT word FROM t", "SET LOCAL x = 1"]) await client.query(text);
      return client.query("INSERT");
    })],
  ])("%s that the fence refuses is done at the home that it names", async (_, work) => {
    a.answer = movesWith("INSERT");
    b.answer = says("from b");
    expect((await work(router.for(IN_A).pool)).rows).toEqual([{ word: "from b" }]);
    expect(b.statements).toEqual(["INSERT"]);
    await expect.poll(() => router.clusters.map(({ connections: { open, idle } }) => open - idle)).toEqual([0, 0]);
  });

  test("that has a name is prepared again where it is done", async () => {
    const { pool } = router.for(IN_A);
    const insert = { name: "insert", text: "INSERT $1", values: ["x"] };
    await pool.query(insert);
    await pool.query(insert);
    a.answer = () => refusal("TN001", "b", 1);
    await pool.query(insert);
    expect([a.counts.parses > 0, b.statements]).toEqual([true, ["INSERT $1"]]);
  });

  test.each(["SET search_path TO mine", "LISTEN news", "PREPARE p AS SELECT 1", "SELECT pg_advisory_lock(1)", "SELECT remember()", "CREATE TEMP TABLE t (x int)"])("after %s stays where it is, and is refused as what it is", async (text) => {
    a.answer = movesWith("INSERT");
    const error = await using(router.for(IN_A).pool, async (client) => {
      await client.query(text);
      return failure(client.query("INSERT"));
    });
    expect(error).toBeInstanceOf(TenantMovedError);
    expect(error).toMatchObject({ tenant: String(IN_A), home: "b", applied: "no", cause: { code: "TN001" } });
    expect(b.statements).toEqual([]);
  });

  test("that asks for what another left is run where that was", async () => {
    b.answer = says("from b");
    await using(router.for(IN_A).pool, async (client) => {
      await client.query("INSERT");
      b.records = [{ tenant: String(IN_A), home: "b", epoch: 1, state: "settled" }];
      b.notify(JSON.stringify({ tenant: String(IN_A) }));
      while ((await router.locate(IN_A)).home !== "b") await nap(5);
      await client.query("SELECT lastval()").catch(() => undefined);
    });
    expect([a.statements, b.statements]).toEqual([["INSERT", "SELECT lastval()"], []]);
  });

  test.each(["CALL charge()", "INSERT; INSERT"])("that may have committed in part is not repeated: %s", async (text) => {
    a.answer = () => refusal("TN001", "b", 1);
    expect(await failure(router.for(IN_A).pool.query(text))).toMatchObject({ applied: "unknown" });
    expect(b.statements).toEqual([]);
  });

  test("that met no row in a home that was left is done in the next", async () => {
    a.answer = () => ({ command: "UPDATE 0" });
    a.known = { home: "b", epoch: 1, state: "settled" };
    b.answer = () => ({ command: "UPDATE 1" });
    expect((await router.for(IN_A).pool.query("UPDATE")).rowCount).toBe(1);
  });

  test("is run on a client that somebody sees where somebody wants to, and is the same otherwise", async () => {
    const { pool } = router.for(IN_A);
    a.answer = says("from a");
    expect((await pool.query({ text: "SELECT 1", values: [] })).rows).toEqual([{ word: "from a" }]);
    const seen: string[] = [];
    for (const event of ["acquire", "release"] as const) pool.on(event, () => void seen.push(event));
    expect((await pool.query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    expect(seen).toEqual(["acquire", "release"]);
    expect(await failure(pool.query(null as unknown as string))).toBeInstanceOf(TypeError);
    pool.removeAllListeners();
    expect(await failure(pool.query(null as unknown as string))).toBeInstanceOf(TypeError);
  });

  test("that leaves a transaction open is told of, as a commit that may be lost is", async () => {
    expect(await failure(router.for(IN_A).pool.query("BEGIN"))).toMatchObject({ code: "OPEN_TRANSACTION" });
    a.answer = () => ({ warning: { code: "01000", message: "canceling wait for synchronous replication due to user request" } });
    expect(await failure(router.for(IN_A).pool.query("INSERT"))).toBeInstanceOf(UnknownOutcomeError);
  });

  test("is bound where statements are", async () => {
    await router.end();
    router = await routing({ bindStatements: true });
    await router.for(IN_A).pool.query("INSERT");
    expect(a.statements).toEqual([expect.stringMatching(/^BEGIN; .*SET LOCAL tenancy.tenant = '3'$/), "INSERT", "COMMIT"]);
  });

  test("of a stream or a cursor that is refused is told as what it is", async () => {
    const { error } = refusal("TN001", "b", 1);
    a.answer = () => ({ error: { ...error, code: "XX000", message: error?.message ?? "" } });
    await using(router.for(IN_A).pool, async (client) => {
      expect(await failure(pipeline(Readable.from(["1\n"]), client.query(from("COPY t FROM STDIN"))))).toBeInstanceOf(TenantMovedError);
      expect(await failure(client.query(new Cursor("INSERT", [])).read(1))).toBeInstanceOf(TenantMovedError);
    });
    expect(await failure(router.for(IN_A).pool.query(new Cursor("SELECT", [])) as unknown as Promise<unknown>)).toMatchObject({ code: "CONFIGURATION", message: expect.stringContaining("connect()") as string });
  });
});

describe("a transaction by hand", () => {
  const transact = (pool: Pool, ...texts: string[]): Promise<unknown[]> =>
    using(pool, async (client) => {
      const outcomes: unknown[] = [];
      for (const text of texts) outcomes.push(await client.query(text).then(({ command }) => command, (error: unknown) => error));
      return outcomes;
    });

  test.each(["BEGIN", "begin;", "START TRANSACTION ISOLATION LEVEL SERIALIZABLE", "/* traced */ BEGIN", "BEGIN -- now", "BEGIN; SELECT 1"])("is bound to its tenant: %s", async (begin) => {
    await transact(router.for(IN_A).pool, begin, "INSERT", "COMMIT");
    expect(a.statements.slice(0, 2).join("; ")).toMatch(/SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL tenancy.tenant = '3'/);
    expect(a.statements.slice(-2)).toEqual(["INSERT", "COMMIT"]);
  });

  test("is bound again by COMMIT AND CHAIN", async () => {
    a.answer = () => ({});
    await transact(router.for(IN_A).pool, "BEGIN", "COMMIT; BEGIN", "COMMIT");
    expect(a.statements.filter((text) => text.includes("tenancy.tenant = '3'"))).toHaveLength(2);
  });

  test("that is refused is not repeated, and its COMMIT is a ROLLBACK, as PostgreSQL has it", async () => {
    a.answer = movesWith("INSERT");
    const [, refused, next, end] = await transact(router.for(IN_A).pool, "BEGIN", "INSERT", "SELECT 1", "COMMIT");
    expect(refused).toBeInstanceOf(TenantMovedError);
    expect(refused).toMatchObject({ applied: "no", home: "b" });
    expect([next, end]).toMatchObject([{ code: "25P02" }, "ROLLBACK"]);
    expect(b.statements).toEqual([]);
    expect(await transact(router.for(IN_A).pool, "BEGIN", "INSERT", "COMMIT")).toEqual(["BEGIN", "SELECT", "COMMIT"]);
  });

  test("of a tenant that is closed is refused as that", async () => {
    a.answer = (sql) => (sql === "INSERT" ? refusal("TN002", "a", 1) : {});
    const [, refused] = await transact(router.for(IN_A).pool, "BEGIN", "INSERT");
    expect(refused).toBeInstanceOf(TenantMovingError);
    expect(refused).toMatchObject({ applied: "no" });
  });

  test("fails where a write met no row in a home that was left, whatever is done then", async () => {
    a.answer = (sql) => ({ command: sql === "UPDATE" ? "UPDATE 0" : "INSERT 0 1" });
    a.known = { home: "b", epoch: 1, state: "settled" };
    const [, , missed, next, end] = await transact(router.for(IN_A).pool, "BEGIN", "INSERT", "UPDATE", "INSERT", "COMMIT");
    expect(missed).toBeInstanceOf(TenantMovedError);
    expect(missed).toMatchObject({ applied: "no" });
    expect(next).toMatchObject({ code: "25P02" });
    expect(a.statements.filter((text) => text === "INSERT")).toHaveLength(1);
    expect(end).not.toBeInstanceOf(Error);
  });

  test("that met no row at home goes on", async () => {
    a.answer = (sql) => (sql === "UPDATE" ? { command: "UPDATE 0" } : {});
    a.known = { home: "a", epoch: 0, state: "settled" };
    expect(await transact(router.for(IN_A).pool, "BEGIN", "UPDATE", "COMMIT")).toEqual(["BEGIN", "UPDATE", "COMMIT"]);
  });

  test("that has only read is not committed in a home that was left", async () => {
    const answers = await using(router.for(IN_A).pool, async (client) => {
      await client.query("BEGIN");
      await client.query("SELECT visible()");
      b.records = [{ tenant: String(IN_A), home: "b", epoch: 1, state: "settled" }];
      b.notify(JSON.stringify({ tenant: String(IN_A) }));
      while ((await router.locate(IN_A)).home !== "b") await nap(5);
      return [await failure(client.query("COMMIT")), client.getTransactionStatus()];
    });
    expect(answers).toMatchObject([{ code: "TENANT_MOVED", applied: "no" }, "I"]);
    expect(a.statements.at(-1)).toBe("ROLLBACK");
  });

  test("whose commit may be lost says so", async () => {
    a.answer = (sql) => (sql === "COMMIT" ? { warning: { code: "01000", message: "canceling wait for synchronous replication due to user request", routine: "SyncRepWaitForLSN" } } : {});
    const [, , outcome] = await transact(router.for(IN_A).pool, "BEGIN", "INSERT", "COMMIT");
    expect(outcome).toBeInstanceOf(UnknownOutcomeError);
    a.answer = () => ({});
    expect(await router.for(IN_A).pool.query("SELECT 1")).toBeDefined();
  });

  test("whose connection breaks is told as that, and costs the process nothing", async () => {
    a.answer = (sql) => (sql === "INSERT" ? { drop: true } : {});
    const [, outcome] = await transact(router.for(IN_A).pool, "BEGIN", "INSERT");
    expect(outcome).toMatchObject({ code: "CLUSTER_DOWN", applied: "unknown" });
  });

  test("that is not ended is rolled back, and its connection closed", async () => {
    await transact(router.for(IN_A).pool, "BEGIN", "INSERT");
    for (let tries = 0; tries < 200 && router.clusters[0]?.connections.open !== 0; tries += 1) await nap(10);
    expect(router.clusters[0]?.connections.open).toBe(0);
  });

  test("is run again by retry, as a whole", async () => {
    a.answer = movesWith("INSERT");
    let tries = 0;
    const result = await router.for(IN_A).retry(async (tenant) => {
      tries += 1;
      const [, refused, ended] = await transact(tenant.pool, "BEGIN", "INSERT", "COMMIT");
      // As ORMs do: an error of their own, with its cause.
      if (refused instanceof Error) throw new Error("Failed query", { cause: refused });
      return ended;
    });
    expect([tries, result, b.statements.slice(1)]).toEqual([2, "COMMIT", ["INSERT", "COMMIT"]]);
  });

  test.each([
    ["INSERT", 2],
    ["CALL charge()", 1],
  ])("is run again by retry where the ORM's error has but the code: %s", async (text, expected) => {
    a.answer = movesWith(text);
    let tries = 0;
    const done = router.for(IN_A).retry(async ({ pool }) => {
      tries += 1;
      await pool.query("SET x = 1");
      await using(pool, (client) => client.query("SET x = 1").then(() => client.query(text))).catch((error: unknown) => Promise.reject(Object.assign(new Error("Invalid invocation"), { code: (error as RouterError).code })));
    });
    await done.catch(() => undefined);
    expect(tries).toBe(expected);
  });

  test("is run again by retry where the ORM asks in another run of the tenant, as one may that sends together what several have begun", async () => {
    a.answer = movesWith("INSERT");
    let tries = 0;
    const done = router.for(IN_A).retry(async () => {
      tries += 1;
      await using(router.pool, async (client) => {
        await client.query("BEGIN");
        await router.run(IN_A, () => client.query("INSERT"));
        await client.query("COMMIT");
      }).catch((error: unknown) => Promise.reject(Object.assign(new Error("Invalid invocation"), { code: (error as RouterError).code })));
    });
    await done;
    expect(tries).toBe(2);
  });

  test.each<[string, () => Error]>([
    ["an error of its own", () => new Error("no")],
    ["what may have been applied", () => new TenantMovedError(String(IN_A), "b", undefined, "unknown")],
    ["another tenant's", () => new TenantMovedError("7", "b")],
    ["an outcome that is not known, whatever it came of", () => new RouterError("TRANSACTION_OVER", "over", { cause: new TenantMovedError(String(IN_A), "b") }, "unknown")],
  ])("is not run again for %s", async (_, error) => {
    let tries = 0;
    const thrown = error();
    expect(await failure(router.for(IN_A).retry(() => ((tries += 1), Promise.reject(thrown))))).toBe(thrown);
    expect(tries).toBe(1);
  });

  test("is not run again for ever", async () => {
    await router.end();
    router = await routing({ moveTimeoutMs: 60 });
    expect(await failure(router.for(IN_A).retry(() => Promise.reject(new TenantMovingError(String(IN_A)))))).toMatchObject({ code: "TENANT_MOVING" });
  });
});

describe("a run", () => {
  const word = async (): Promise<unknown> => (await router.pool.query<{ word: string }>("SELECT 1")).rows[0]?.word;
  beforeEach(() => {
    [a.answer, b.answer] = [says("from a"), says("from b")];
  });

  test("says whose the pool is, also in runs within runs and at once", async () => {
    const both = router.run(IN_A, async () => [await word(), await router.run(IN_B, word), await word(), router.tenant.id]);
    expect(await Promise.all([both, router.run(String(IN_B), word)])).toEqual([["from a", "from b", "from a", "3"], "from b"]);
  });

  test("gives what its function gives", () => {
    expect(router.run(IN_A, (tenant) => tenant.id)).toBe("3");
  });

  test("has queries in it that begin where they are waited for", async () => {
    const db = drizzle({ client: router.pool });
    expect((await router.run(IN_B, () => db.execute("SELECT 1"))).rows).toEqual([{ word: "from b" }]);
    expect((await router.for(IN_A).retry(() => db.execute("SELECT 1"))).rows).toEqual([{ word: "from a" }]);
  });

  test("goes on in what it has begun", async () => {
    let late: Promise<unknown> | undefined;
    router.run(IN_B, () => {
      late = nap(20).then(word);
    });
    expect(await late).toBe("from b");
  });

  test("is missed where there is none, by promise and by callback", async () => {
    const told = { code: "NO_TENANT", applied: "no", message: expect.stringContaining("router.run(tenant, …)") as string };
    expect(await failure(router.pool.query("SELECT 1"))).toMatchObject(told);
    expect(await failure(router.pool.connect())).toMatchObject(told);
    expect(await new Promise((resolve) => router.pool.query("SELECT 1", resolve))).toMatchObject(told);
    expect(() => router.tenant).toThrow("router.run");
  });

  test("of another tenant has nothing of a client, and a transaction nothing of another run", async () => {
    await router.run(IN_A, async () => {
      const client = await router.pool.connect();
      await client.query("BEGIN");
      expect(await failure(router.run(IN_B, () => client.query("INSERT")))).toBeInstanceOf(OtherTenantError);
      await client.query("ROLLBACK");
      client.release();
      expect(await failure(router.tenant.transaction(() => router.run(IN_B, word)))).toBeInstanceOf(OtherTenantError);
      expect(await failure(router.tenant.transaction(() => router.for(IN_B).pool.connect()))).toBeInstanceOf(OtherTenantError);
    });
    expect(a.statements).not.toContain("INSERT");
  });

  test("counts the connections of all clusters", async () => {
    await Promise.all([router.run(IN_A, word), router.run(IN_B, word)]);
    expect([router.pool.totalCount, router.pool.idleCount, router.pool.waitingCount]).toEqual([2, 2, 0]);
  });

  test("of a router that has ended is refused", async () => {
    const left = router.run(IN_A, () => nap(30).then(() => failure(router.pool.query("SELECT 1"))));
    await router.end();
    expect(await left).toMatchObject({ code: "ENDED" });
  });
});

test("a pool that has ended leaves the router and other pools as they are", async () => {
  const tenant = router.for(IN_A);
  await tenant.pool.end();
  expect(await failure(tenant.pool.query("SELECT 1"))).toMatchObject({ message: "Cannot use a pool after calling end on the pool" });
  expect(await router.for(IN_A).pool.query("SELECT 1")).toBeDefined();
  expect(await tenant.query("SELECT 1")).toBeDefined();
});

test("a client that was released has no statement any more", async () => {
  const client = await router.for(IN_A).pool.connect();
  client.release();
  expect(await failure(client.query("SELECT 1"))).toMatchObject({ code: "ENDED" });
});
