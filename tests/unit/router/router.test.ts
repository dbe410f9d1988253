import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  ClusterDownError,
  ConfigurationError,
  createRouter,
  OtherTenantError,
  RouterError,
  TenantMovedError,
  TenantMovingError,
  UnknownClusterError,
  UnknownOutcomeError,
  type Queryable,
  type Router,
  type RouterOptions,
} from "../../../router/index";
import { FakeServer, type Answer } from "./fakeServer";

/** How long a closed tenant is left alone. */
const CLOSED_MS = 20;

/** By the ring of a and b, 3 lives in a and 42 in b. */
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

async function routing(options: Partial<RouterOptions> = {}): Promise<Router> {
  const router = await createRouter({ clusters: { a: a.config, b: b.config }, ...options });
  routers.push(router);
  return router;
}

const refusal = (code: "TN001" | "TN002", home: string, epoch: number, tenant = String(IN_A)): Answer => ({
  error: { code, message: code === "TN001" ? `tenant ${tenant} lives in cluster ${home}, not here` : `tenant ${tenant} is being moved`, detail: JSON.stringify({ tenant, home, epoch }) },
});
const says = (word: string) => (): Answer => ({ rows: [{ word }] });
const failure = async (work: Promise<unknown>): Promise<unknown> => work.then(() => expect.fail("it did not fail"), (error: unknown) => error);
/** A server has a record of a tenant, and tells who listens. */
const moved = (server: FakeServer, home: string, epoch: number, state = "settled", tenant = String(IN_A)): void => {
  server.records = [...server.records.filter((record) => record.tenant !== tenant), { tenant, home, epoch, state }];
  server.notify(JSON.stringify({ tenant, home, epoch, state }));
};
const until = async (met: () => boolean | Promise<boolean>): Promise<void> => {
  for (let tries = 0; !(await met()) && tries < 600; tries += 1) await nap(10);
};
const nap = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe("a statement", () => {
  test("goes to the tenant's home", async () => {
    const router = await routing();
    [a.answer, b.answer] = [says("from a"), says("from b")];
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    expect((await router.for(BigInt(IN_B)).query("SELECT $1", ["x"])).rows).toEqual([{ word: "from b" }]);
    expect(await router.locate(String(IN_B))).toMatchObject({ home: "b", by: "hash", epoch: 0 });
  });

  test("that the fence refuses is done at the home that it names", async () => {
    const router = await routing();
    a.answer = () => refusal("TN001", "b", 1);
    b.answer = says("from b");
    expect((await router.for(IN_A).query("INSERT")).rows).toEqual([{ word: "from b" }]);
    expect(await router.locate(IN_A)).toMatchObject({ home: "b", epoch: 1, by: "lookup" });
    await router.for(IN_A).query("INSERT");
    expect([a.statements.length, b.statements.length]).toEqual([1, 2]);
  });

  test("waits while the tenant is closed, and goes where it is then", async () => {
    const router = await routing();
    a.answer = () => refusal("TN002", "a", 0);
    b.answer = says("from b");
    const answer = router.for(IN_A).query("INSERT");
    await nap(40);
    moved(b, "b", 1);
    expect((await answer).rows).toEqual([{ word: "from b" }]);
  });

  test("does not wait for a tenant for ever", async () => {
    const router = await routing({ moveTimeoutMs: 60 });
    a.answer = () => refusal("TN002", "a", 0);
    expect(await failure(router.for(IN_A).query("INSERT"))).toMatchObject({ code: "TENANT_MOVING", tenant: String(IN_A), cause: { code: "TN002" } });
  });

  test("keeps to what it knows where an older home is named, and waits for the new one to open", async () => {
    const router = await routing();
    moved(b, "b", 5);
    await until(async () => (await router.locate(IN_A)).epoch === 5);
    let refused = 0;
    b.answer = () => ((refused += 1) < 3 ? refusal("TN001", "a", 4) : { rows: [{ word: "from b" }] });
    expect((await router.for(IN_A).query("INSERT")).rows).toEqual([{ word: "from b" }]);
    expect(a.statements).toEqual([]);
  });

  test("that fails for a reason of its own fails with the database's error", async () => {
    const router = await routing();
    a.answer = () => ({ error: { code: "23505", message: "duplicate key" } });
    expect(await failure(router.for(IN_A).query("INSERT"))).toMatchObject({ code: "23505", message: "duplicate key" });
    expect(a.statements).toHaveLength(1);
  });

  test("whose connection breaks is not repeated: whether it was applied is not known", async () => {
    const router = await routing();
    a.answer = () => ({ drop: true });
    const error = await failure(router.for(IN_A).query("INSERT"));
    expect(error).toBeInstanceOf(ClusterDownError);
    expect(error).toMatchObject({ cluster: "a", applied: "unknown" });
    expect(a.statements).toHaveLength(1);
  });

  test("for a tenant in a cluster that the router does not have is refused", async () => {
    const router = await routing();
    a.answer = () => refusal("TN001", "c", 1);
    const error = await failure(router.for(IN_A).query("INSERT"));
    expect(error).toBeInstanceOf(UnknownClusterError);
    expect(error).toMatchObject({ code: "UNKNOWN_CLUSTER", tenant: "3", cluster: "c", applied: "no", message: expect.stringContaining("router.addCluster") as string });
  });
});

describe("what may have committed in part", () => {
  test.each([
    ["a procedure", "CALL charge()"],
    ["a block", "/* charge */ DO $$ BEGIN NULL; END $$"],
    ["several statements", "BEGIN; INSERT; COMMIT; UPDATE"],
  ])("is not repeated: %s", async (_, sql) => {
    const router = await routing();
    a.answer = () => refusal("TN002", "a", 1);
    expect(await failure(router.for(IN_A).query(sql))).toMatchObject({ code: "TENANT_MOVING", applied: "unknown", cause: { code: "TN002" } });
    a.answer = () => refusal("TN001", "b", 2);
    await nap(CLOSED_MS);
    expect(await failure(router.for(IN_A).query(sql))).toMatchObject({ code: "TENANT_MOVED", home: "b", applied: "unknown" });
    expect([a.statements, b.statements]).toEqual([[sql, sql], []]);
  });

  test("is repeated where nothing of it can have been", async () => {
    const router = await routing();
    a.answer = () => refusal("TN001", "b", 1);
    b.answer = says("from b");
    expect((await router.for(IN_A).query("INSERT INTO x VALUES ('CALL; DO')")).rows).toEqual([{ word: "from b" }]);
  });
});

describe("a commit whose wait for a standby was cancelled", () => {
  const warning = { code: "01000", message: "canceling wait for synchronous replication due to user request", routine: "SyncRepWaitForLSN" };

  test.each([["by its text", { ...warning, routine: undefined }], ["in another language", { ...warning, message: "Warten auf synchrone Replikation wird abgebrochen" }]])("has an unknown outcome, and is known %s", async (_, { routine, ...said }) => {
    const router = await routing();
    a.answer = (sql) => ({ command: sql, ...(sql === "INSERT" && { warning: { ...said, ...(routine !== undefined && { routine }) } }) });
    const error = await failure(router.for(IN_A).query("INSERT"));
    expect(error).toBeInstanceOf(UnknownOutcomeError);
    expect(error).toMatchObject({ code: "UNKNOWN_OUTCOME", cluster: "a", applied: "unknown", cause: { code: "01000" } });
    // The connection is as good as before, and the next statement is not concerned.
    await router.for(IN_A).query("SELECT 1");
    expect([a.statements, router.clusters[0]?.connections.open]).toEqual([["INSERT", "SELECT 1"], 1]);
  });

  test("is not followed where a statement before it was refused", async () => {
    const router = await routing();
    a.answer = (sql) => (sql === "INSERT" ? refusal("TN001", "b", 1) : { command: sql, ...(sql === "COMMIT" && { warning }) });
    // Back to a savepoint: the refusal does not fail the transaction.
    const error = await failure(router.for(IN_A).transaction(async (tx) => void (await tx.query("INSERT").catch(() => undefined)), { retries: 5 }));
    expect(error).toBeInstanceOf(UnknownOutcomeError);
    expect([a.statements.filter((sql) => sql === "COMMIT").length, b.statements]).toEqual([1, []]);
  });

  test("is told on a connection of one's own", async () => {
    const router = await routing();
    a.answer = (sql) => ({ command: sql, ...(sql === "COMMIT" && { warning }) });
    await using client = await router.for(IN_A).connect();
    await client.query("BEGIN");
    expect(await failure(client.query("COMMIT"))).toBeInstanceOf(UnknownOutcomeError);
  });

  test("is not cancelled by a signal: whoever gives up before the answer does not know", async () => {
    const router = await routing();
    a.answer = (sql) => ({ command: sql, ...(sql === "COMMIT" && { after: 10_000 }) });
    await router.locate(IN_A);
    const error = await failure(router.for(IN_A).transaction(() => Promise.resolve(1), { signal: AbortSignal.timeout(50) }));
    expect(error).toMatchObject({ code: "UNKNOWN_OUTCOME", applied: "unknown", cause: { name: "TimeoutError" } });
    expect(a.cancelled).toBe(0);
  });
});

describe("a read", () => {
  test("that met a home in cleaning is asked again where the tenant is", async () => {
    const router = await routing();
    a.answer = () => ({ after: 100, rows: [{ word: "half" }] });
    b.answer = says("whole");
    const reading = router.for(IN_A).query("SELECT * FROM messages");
    const inTransaction = router.for(IN_A).transaction(async (tx) => (await tx.query<{ word: string }>("SELECT * FROM messages")).rows);
    const writing = router.for(IN_A).query("SELECT charge()");
    await nap(30);
    moved(b, "b", 1);
    expect((await reading).rows).toEqual([{ word: "whole" }]);
    expect(await inTransaction).toEqual([{ word: "whole" }]);
    // It may have written.
    expect((await writing).rows).toEqual([{ word: "half" }]);
    expect(b.statements).not.toContain("SELECT charge()");
  });

  test("waits for news that has been announced and not been read", async () => {
    const router = await routing();
    a.answer = () => ({ after: 50, rows: [{ word: "half" }] });
    b.answer = says("whole");
    b.lookMs = 100;
    const reading = router.for(IN_A).query("SELECT * FROM messages");
    moved(b, "b", 1);
    expect((await reading).rows).toEqual([{ word: "whole" }]);
  });
});

describe("a write that meets no row", () => {
  const none = (): Answer => ({ command: "UPDATE 0" });
  const one = (): Answer => ({ command: "UPDATE 1" });

  test("is left at that where the tenant lives", async () => {
    const router = await routing();
    [a.answer, a.known] = [none, { home: "a", epoch: 0, state: "settled" }];
    expect((await router.for(IN_A).query("UPDATE")).rowCount).toBe(0);
    expect([a.statements.length, a.asked]).toEqual([1, 1]);
    a.known = { home: "a", epoch: 0, state: "moving" };
    expect((await router.for(IN_A).query("UPDATE")).rowCount).toBe(0);
    expect([a.statements.length, a.asked]).toEqual([2, 2]);
  });

  test("is done where the tenant has gone", async () => {
    const router = await routing();
    [a.answer, b.answer, a.known] = [none, one, { home: "b", epoch: 1, state: "settled" }];
    expect((await router.for(IN_A).query("UPDATE")).rowCount).toBe(1);
    expect([a.statements.length, b.statements.length]).toEqual([1, 1]);
    expect(await router.locate(IN_A)).toMatchObject({ home: "b", epoch: 1 });
  });

  test("is done again where the tenant has been away", async () => {
    const router = await routing();
    a.answer = () => (a.statements.length > 1 ? one() : none());
    a.known = { home: "a", epoch: 2, state: "settled" };
    expect((await router.for(IN_A).query("UPDATE")).rowCount).toBe(1);
    expect(await router.locate(IN_A)).toMatchObject({ home: "a", epoch: 2 });
  });

  test("waits while the tenant is closed", async () => {
    const router = await routing();
    [a.answer, b.answer, a.known] = [none, one, { home: "a", epoch: 0, state: "closed" }];
    const answer = router.for(IN_A).query("UPDATE");
    await nap(40);
    moved(b, "b", 1);
    expect((await answer).rowCount).toBe(1);
    expect(b.statements).toEqual(["UPDATE"]);
  });

  test.each([
    ["a read", "SELECT 1", "SELECT 0"],
    ["one that met a row", "UPDATE", "UPDATE 1"],
    ["one that may have written beside it", "WITH x AS (INSERT INTO y DEFAULT VALUES) UPDATE", "UPDATE 0"],
    ["one that is no write of rows", "CREATE TABLE x ()", "CREATE TABLE"],
  ])("asks nothing of %s", async (_, sql, command) => {
    const router = await routing();
    a.answer = (text) => ({ command: text === sql ? command : text });
    await router.for(IN_A).query(sql);
    await router.for(IN_A).transaction((tx) => tx.query(sql));
    expect(a.asked).toBe(0);
  });

  test("has its transaction run again where the tenant has gone, also if the work made an error of it", async () => {
    const router = await routing();
    [a.answer, b.answer, a.known] = [(sql) => ({ command: sql === "UPDATE" ? "UPDATE 0" : sql }), (sql) => ({ command: sql === "UPDATE" ? "UPDATE 1" : sql }), { home: "b", epoch: 1, state: "settled" }];
    const result = await router.for(IN_A).transaction(async (tx) => {
      const { rowCount } = await tx.query("UPDATE");
      if (rowCount === 0) throw new Error("there is no such row");
      return rowCount;
    });
    expect(result).toBe(1);
    expect(a.statements.slice(1)).toEqual(["UPDATE", "ROLLBACK"]);
    expect(b.statements.slice(1)).toEqual(["UPDATE", "COMMIT"]);
  });

  test("leaves a transaction as it is where the tenant lives, or where it has failed", async () => {
    const router = await routing();
    [a.answer, a.known] = [(sql) => ({ command: sql === "UPDATE" ? "UPDATE 0" : sql }), { home: "a", epoch: 0, state: "settled" }];
    expect(await router.for(IN_A).transaction(async (tx) => (await tx.query("UPDATE")).rowCount)).toBe(0);
    expect(a.statements.slice(1)).toEqual(["UPDATE", "COMMIT"]);
    expect(await failure(router.for(IN_A).transaction(async (tx) => void (await tx.query("UPDATE").then(() => Promise.reject(new Error("no"))))))).toMatchObject({ message: "no" });
  });

  test("is confirmed outside of a transaction whose snapshot is old", async () => {
    const router = await routing();
    a.answer = (sql) => ({ command: sql === "UPDATE" ? "UPDATE 0" : sql });
    [b.answer, a.known] = [(sql) => ({ command: sql === "UPDATE" ? "UPDATE 1" : sql }), { home: "b", epoch: 1, state: "settled" }];
    // What is asked in the transaction gets its snapshot's answer.
    a.knownInTransaction = { home: "a", epoch: 0, state: "settled" };
    expect(await router.for(IN_A).transaction(async (tx) => (await tx.query("UPDATE")).rowCount, { isolation: "repeatable read" })).toBe(1);
    await using client = await router.for(IN_B).connect();
    [b.answer, b.known, b.knownInTransaction] = [a.answer, { home: "a", epoch: 1, state: "settled" }, { home: "b", epoch: 0, state: "settled" }];
    await client.query("BEGIN");
    expect(await failure(client.query("UPDATE"))).toBeInstanceOf(TenantMovedError);
  });

  test("ends a connection of one's own that the tenant has left", async () => {
    const router = await routing();
    [a.answer, a.known] = [none, { home: "b", epoch: 1, state: "settled" }];
    await using client = await router.for(IN_A).connect();
    expect(await failure(client.query("UPDATE"))).toBeInstanceOf(TenantMovedError);
    a.known = null;
    expect(await failure(client.query("UPDATE"))).toBeInstanceOf(TenantMovingError);
  });
});

describe("a signal", () => {
  test("gives up a statement that runs, and cancels it", async () => {
    const router = await routing();
    a.answer = () => ({ after: 10_000 });
    const began = performance.now();
    const error = await failure(router.for(IN_A).query("SELECT pg_sleep(10)", undefined, { signal: AbortSignal.timeout(30) }));
    expect(error).toMatchObject({ name: "TimeoutError" });
    expect(performance.now() - began).toBeLessThan(450);
    // The cancellation may come late: nobody else gets the connection.
    await until(() => router.clusters[0]?.connections.open === 0);
  });

  test("gives up one that waits for a tenant, and one that has not begun", async () => {
    const router = await routing();
    a.answer = () => refusal("TN002", "a", 0);
    expect(await failure(router.for(IN_A).query("INSERT", [], { signal: AbortSignal.timeout(30) }))).toMatchObject({ name: "TimeoutError" });
    expect(await failure(router.for(IN_B).query("INSERT", [], { signal: AbortSignal.abort(new Error("enough")) }))).toMatchObject({ message: "enough" });
    expect(b.statements).toEqual([]);
  });
});

describe("the handle of a transaction that has ended", () => {
  test("is dead, whatever its end was", async () => {
    const router = await routing();
    a.answer = (sql) => (sql === "bad" ? { error: { code: "22012", message: "division by zero" } } : { command: sql });
    let late: Promise<unknown> = Promise.resolve();
    const stray = async (tx: Queryable): Promise<void> => {
      late = nap(50).then(() => tx.query("INSERT"));
      late.catch(() => undefined);
      await Promise.all([tx.query("bad"), late]);
    };
    expect(await failure(router.for(IN_A).transaction(stray))).toMatchObject({ code: "22012" });
    expect(await failure(late)).toMatchObject({ code: "TRANSACTION_OVER", applied: "no" });
    const kept: Queryable[] = [];
    await router.for(IN_A).transaction((tx) => Promise.resolve(kept.push(tx)));
    expect(await failure((kept[0] as Queryable).query("INSERT"))).toMatchObject({ code: "TRANSACTION_OVER" });
    expect(a.statements).not.toContain("INSERT");
  });

  test("is dead while the transaction is run again", async () => {
    const router = await routing();
    [a.answer, b.answer] = [(sql) => (sql === "INSERT" ? refusal("TN001", "b", 1) : { command: sql }), (sql) => ({ command: sql })];
    const handles: Queryable[] = [];
    await router.for(IN_A).transaction(async (tx) => {
      handles.push(tx);
      if (handles.length > 1) expect(await failure((handles[0] as Queryable).query("LATE"))).toMatchObject({ code: "TRANSACTION_OVER" });
      await tx.query("INSERT");
    });
    expect([handles.length, [...a.statements, ...b.statements].includes("LATE")]).toEqual([2, false]);
  });

  test("is dead once the work has ended the transaction itself, and nothing is run again", async () => {
    const router = await routing();
    a.answer = (sql) => (sql.startsWith("INSERT") || sql === "COMMIT; INSERT" ? refusal("TN001", "b", 1) : { command: sql });
    const both = async (tx: Queryable): Promise<void> => {
      await tx.query("COMMIT");
      await tx.query("INSERT");
    };
    expect(await failure(router.for(IN_A).transaction(both))).toMatchObject({ code: "TRANSACTION_OVER", applied: "unknown" });
    expect(await failure(router.for(IN_A).transaction((tx) => tx.query("COMMIT; INSERT"), { retries: 3 }))).toMatchObject({ code: "TRANSACTION_OVER", applied: "unknown" });
    expect([a.statements.filter((sql) => sql.startsWith("COMMIT")).length, a.statements.includes("INSERT"), b.statements]).toEqual([2, false, []]);
  });

  test("lets go on what was begun in it", async () => {
    const router = await routing();
    b.answer = says("from b");
    let late: Promise<{ rows: unknown[] }> | undefined;
    await router.for(IN_A).transaction(() => {
      late = nap(50).then(() => router.for(IN_B).query("SELECT 1"));
      return Promise.resolve();
    });
    expect((await late)?.rows).toEqual([{ word: "from b" }]);
  });
});

describe("a connection", () => {
  test("that comes back in a transaction is closed", async () => {
    const router = await routing({ clusters: { a: { ...a.config, max: 1 }, b: b.config } });
    const client = await router.for(IN_A).connect();
    await client.query("BEGIN");
    client.release();
    await router.for(IN_A).query("INSERT");
    expect([a.statements, a.counts.connects]).toEqual([["BEGIN", "INSERT"], 3]);
    await router.for(IN_A).query("INSERT");
    expect(a.counts.connects).toBe(3);
  });

  test("that a statement left in a transaction is closed, and that is told", async () => {
    const router = await routing();
    expect(await failure(router.for(IN_A).query("BEGIN"))).toMatchObject({ code: "OPEN_TRANSACTION", applied: "no" });
    expect(await failure(router.for(IN_A).query("BEGIN; INSERT"))).toMatchObject({ code: "OPEN_TRANSACTION", applied: "unknown" });
    a.answer = () => ({ error: { code: "23505", message: "duplicate key" } });
    expect(await failure(router.for(IN_A).query("BEGIN; INSERT; COMMIT"))).toMatchObject({ code: "23505" });
    await until(() => router.clusters[0]?.connections.open === 0);
    expect(router.clusters[0]?.connections.open).toBe(0);
  });

  test("with a statement that does not end is closed when it comes back", async () => {
    const router = await routing();
    const client = await router.for(IN_A).connect();
    a.answer = () => ({ after: 5000 });
    const left = failure(client.query("SELECT pg_sleep(5)"));
    client.release();
    await until(() => router.clusters[0]?.connections.open === 0);
    expect(await left).toBeInstanceOf(ClusterDownError);
  });

  test("is dead to whoever has released it", async () => {
    const router = await routing();
    const client = await router.for(IN_A).connect();
    client.release();
    client.release();
    expect(await failure(client.query("INSERT"))).toMatchObject({ code: "ENDED" });
    expect(() => client.client).toThrow(RouterError);
    expect(a.statements).toEqual([]);
  });
});

describe("an error of the application", () => {
  test("says where the program waited for it", async () => {
    const router = await routing();
    a.answer = (sql) => (sql === "INSERT" ? { error: { code: "23505", message: "there is one already" } } : {});
    const tenant = router.for(IN_A);
    const waits = {
      handle: async () => void (await tenant.query("INSERT")),
      pool: async () => void (await tenant.pool.query("INSERT")),
      transaction: async () => tenant.transaction(async (tx) => void (await tx.query("INSERT"))),
      client: async () => {
        const client = await tenant.pool.connect();
        await client.query("INSERT").finally(() => client.release());
      },
    };
    for (const wait of Object.values(waits)) {
      const error = (await failure(wait())) as Error;
      expect(error).toMatchObject({ code: "23505" });
      expect(error.stack).toContain("router.test.ts");
    }
  });

  test("is told as what it is, and costs no connection", async () => {
    const router = await routing();
    a.answer = says("from a");
    expect(await failure(router.for(IN_A).query("SELECT $1::jsonb", [{ n: 1n }]))).toMatchObject({ name: "TypeError", message: expect.stringContaining("BigInt") as string });
    await until(() => router.clusters[0]?.connections.idle === 1);
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    expect([router.clusters[0]?.up, a.counts.connects]).toEqual([true, 2]);
  });

  test("a statement of another tenant is told as that", async () => {
    const router = await routing();
    a.answer = () => refusal("TN001", "b", 0, String(IN_B));
    expect(await failure(router.for(IN_A).query("INSERT"))).toMatchObject({ code: "OTHER_TENANT", tenant: "3", message: expect.stringContaining('router.for("42")') as string });
  });

  test("a statement is bound to its tenant where that is asked for", async () => {
    const router = await routing({ bindStatements: true });
    a.answer = (sql) => ({ command: sql });
    await router.for(IN_A).query("INSERT", [1]);
    expect(a.statements).toEqual([expect.stringContaining("SET LOCAL tenancy.tenant = '3'"), "INSERT", "COMMIT"]);
  });

  test("an isolation that there is not is refused", async () => {
    const router = await routing();
    expect(await failure(router.for(IN_A).transaction(() => Promise.resolve(), { isolation: "snapshot; DROP TABLE x" as never }))).toMatchObject({ code: "CONFIGURATION" });
    expect(a.statements).toEqual([]);
  });
});

describe("a transaction", () => {
  test("is run again however long it took before it was refused", async () => {
    const router = await routing({ moveTimeoutMs: 100 });
    let runs = 0;
    a.answer = (sql) => (sql === "INSERT" && runs === 1 ? refusal("TN002", "a", 0) : { command: sql });
    await router.for(IN_A).transaction(async (tx) => {
      runs += 1;
      if (runs === 1) await nap(250);
      await tx.query("INSERT");
    });
    expect(runs).toBe(2);
  });

  test("is bound to its tenant, and committed", async () => {
    const router = await routing();
    a.answer = (sql) => ({ command: sql.startsWith("BEGIN") ? "SET" : sql, rows: [{ word: "x" }] });
    expect(await router.for(IN_A).transaction(async (tx) => (await tx.query("SELECT")).rows.length, { isolation: "repeatable read" })).toBe(0);
    expect(a.statements).toEqual(["BEGIN ISOLATION LEVEL repeatable read; SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL tenancy.tenant = '3'", "COMMIT"]);
  });

  test("is rolled back where the work throws", async () => {
    const router = await routing();
    expect(await failure(router.for(IN_A).transaction(() => Promise.reject(new Error("no"))))).toMatchObject({ message: "no" });
    expect(a.statements.at(-1)).toBe("ROLLBACK");
  });

  test("that the fence refuses is run again as a whole where the tenant lives, even if the work swallows the error", async () => {
    const router = await routing();
    a.answer = (sql) => (sql === "INSERT" ? refusal("TN001", "b", 1) : { command: sql === "COMMIT" ? "ROLLBACK" : "SET" });
    b.answer = (sql) => ({ command: sql });
    let runs = 0;
    await router.for(IN_A).transaction(async (tx) => {
      runs += 1;
      await tx.query("INSERT").catch(() => undefined);
    });
    expect(runs).toBe(2);
    expect(b.statements.slice(-2)).toEqual(["INSERT", "COMMIT"]);
  });

  test("says so where PostgreSQL rolled it back though the work went on", async () => {
    const router = await routing();
    a.answer = (sql) => (sql === "INSERT" ? { error: { code: "23505", message: "duplicate key" } } : { command: sql === "COMMIT" ? "ROLLBACK" : "SET" });
    const error = await failure(router.for(IN_A).transaction(async (tx) => void (await tx.query("INSERT").catch(() => undefined))));
    expect(error).toMatchObject({ code: "ROLLED_BACK", cause: { code: "23505" } });
  });

  test("is repeated after a conflict as often as one asks for", async () => {
    const router = await routing();
    a.answer = (sql) => (sql === "UPDATE" ? { error: { code: "40001", message: "could not serialize" } } : { command: sql });
    const update = (tx: { query: (text: string) => Promise<unknown> }): Promise<unknown> => tx.query("UPDATE");
    expect(await failure(router.for(IN_A).transaction(update, { retries: 2 }))).toMatchObject({ code: "40001" });
    expect(a.statements.filter((sql) => sql === "UPDATE")).toHaveLength(3);
    expect(await failure(router.for(IN_A).transaction(update))).toMatchObject({ code: "40001" });
    expect(a.statements.filter((sql) => sql === "UPDATE")).toHaveLength(4);
  });

  test("has no statements of another tenant, whatever way they come", async () => {
    const router = await routing();
    a.answer = (sql) => (sql === "INSERT" ? { error: { code: "TN003", message: "this transaction is of tenant 3, and the statement writes tenant 4" } } : { command: sql });
    const other = await failure(router.for(IN_A).transaction(() => router.for(IN_B).query("INSERT")));
    expect(other).toBeInstanceOf(OtherTenantError);
    expect(b.statements).toEqual([]);
    expect(await failure(router.for(IN_A).transaction((tx) => tx.query("INSERT")))).toMatchObject({ code: "OTHER_TENANT", tenant: "3", cause: { code: "TN003" } });
    await router.for(IN_B).query("INSERT");
  });
});

describe("a connection of one's own", () => {
  test("stays with its cluster, and is given back", async () => {
    const router = await routing();
    {
      await using client = await router.for(IN_A).connect();
      expect(client.home).toBe("a");
      a.answer = () => refusal("TN001", "b", 1);
      expect(await failure(client.query("INSERT"))).toBeInstanceOf(TenantMovedError);
      a.answer = () => refusal("TN002", "a", 1);
      expect(await failure(client.query("INSERT"))).toBeInstanceOf(TenantMovingError);
      expect(router.clusters[0]).toMatchObject({ name: "a", connections: { open: 1, idle: 0 } });
    }
    await until(() => router.clusters[0]?.connections.idle === 1);
    expect(router.clusters[0]).toMatchObject({ name: "a", connections: { open: 1, idle: 1 } });
  });
});

describe("a cluster that is frozen", () => {
  test("fails its tenants within a second, at once from then on, and nobody else's; and takes statements again when it wakes", async () => {
    const router = await routing();
    [a.answer, b.answer] = [says("from a"), says("from b")];
    const told: unknown[] = [];
    router.on("down", (cluster) => told.push(`${cluster} down`));
    router.on("up", (cluster) => told.push(`${cluster} up`));
    await router.for(IN_A).query("SELECT 1");
    a.freeze(true);
    const began = performance.now();
    const first = await failure(router.for(IN_A).query("INSERT"));
    expect(performance.now() - began).toBeLessThan(1000);
    expect(first).toMatchObject({ code: "CLUSTER_DOWN", cluster: "a", applied: "unknown" });
    const again = performance.now();
    expect(await failure(router.for(IN_A).query("INSERT"))).toMatchObject({ code: "CLUSTER_DOWN", cluster: "a", applied: "no" });
    expect((await router.for(IN_B).query("SELECT 1")).rows).toEqual([{ word: "from b" }]);
    expect(performance.now() - again).toBeLessThan(100);
    a.freeze(false);
    for (let tries = 0; router.clusters[0]?.up !== true && tries < 200; tries += 1) await nap(10);
    expect((await router.for(IN_A).query("SELECT 1")).rows).toEqual([{ word: "from a" }]);
    expect(told).toEqual(["a down", "a up"]);
  });

  test("does not hold up who waits for a connection", async () => {
    const router = await routing();
    a.answer = () => ({ after: 10_000 });
    a.freeze(true);
    const began = performance.now();
    const errors = await Promise.all(Array.from({ length: 20 }, () => failure(router.for(IN_A).query("INSERT"))));
    expect(performance.now() - began).toBeLessThan(1000);
    expect(errors.every((error) => error instanceof ClusterDownError)).toBe(true);
  });
});

describe("a cluster that is full", () => {
  test("is not down: statements wait for a connection, longer than one may take to open", async () => {
    const router = await routing({ connectTimeoutMs: 50 });
    a.answer = () => ({ after: 120, rows: [{ word: "x" }] });
    const answers = await Promise.all(Array.from({ length: 8 }, () => router.for(IN_A).query("SELECT 1")));
    expect(answers).toHaveLength(8);
    expect(router.clusters[0]?.up).toBe(true);
  });
});

describe("a router", () => {
  test("starts with one cluster, and takes the other in when it comes", async () => {
    await b.stop();
    const router = await routing();
    expect(await failure(router.for(IN_B).query("INSERT"))).toMatchObject({ code: "CLUSTER_DOWN", cluster: "b", applied: "no" });
    a.answer = says("from a");
    await router.for(IN_A).query("SELECT 1");
    await b.start();
    b.answer = says("from b");
    for (let tries = 0; router.clusters[1]?.up !== true && tries < 300; tries += 1) await nap(10);
    expect((await router.for(IN_B).query("SELECT 1")).rows).toEqual([{ word: "from b" }]);
  });

  test("does not start without any", async () => {
    await Promise.all([a.stop(), b.stop()]);
    expect(await failure(routing())).toBeInstanceOf(ClusterDownError);
  });

  test("hears of a change within 100 ms, and of one that was not announced within seconds", async () => {
    const router = await routing();
    const changes: unknown[] = [];
    router.on("change", (change) => changes.push(change));
    moved(b, "b", 1);
    await nap(100);
    expect(changes).toEqual([{ tenant: String(IN_A), home: "b", epoch: 1, state: "settled" }]);
    expect(b.counts).toMatchObject({ loads: 1, looks: 1 });
    a.records = [{ tenant: String(IN_A), home: "a", epoch: 2, state: "settled" }];
    for (let tries = 0; changes.length < 2 && tries < 300; tries += 1) await nap(10);
    expect(await router.locate(IN_A)).toMatchObject({ home: "a", epoch: 2 });
  });

  test("gathers from all clusters, and names those that did not answer", async () => {
    const router = await routing();
    [a.answer, b.answer] = [says("from a"), () => ({ after: 300, rows: [{ word: "late" }] })];
    const { rows, answered, missing, complete } = await router.all("SELECT 1", undefined, { timeoutMs: 60 });
    expect({ rows, answered, complete }).toEqual({ rows: [{ cluster: "a", row: { word: "from a" } }], answered: ["a"], complete: false });
    expect(missing).toMatchObject([{ cluster: "b", error: { name: "TimeoutError" } }]);
    b.answer = says("from b");
    expect(await router.all("SELECT 1")).toMatchObject({ complete: true, missing: [], rows: [{ cluster: "a" }, { cluster: "b" }] });
  });

  test("that was ended takes nothing more", async () => {
    const router = await routing();
    await router.end();
    await router.end();
    expect(() => router.for(IN_A)).toThrow(RouterError);
    expect(await failure(router.all("SELECT 1"))).toMatchObject({ code: "ENDED" });
  });

  test.each<[string, unknown, RegExp]>([
    ["no clusters", { clusters: {} }, /^clusters: must name one cluster or more/],
    ["a cluster without an address", { clusters: { a: { max: 3 } } }, /^clusters\.a: needs a connectionString or a host/],
    ["a pool's own time limit", { clusters: { a: { host: "x", connectionTimeoutMillis: 5 } } }, /^clusters\.a\.connectionTimeoutMillis: is the router's connectTimeoutMs/],
    ["a wait for no time", { clusters: { a: { host: "x" } }, poolTimeoutMs: 0 }, /^poolTimeoutMs: must be a whole number of milliseconds from 1 to 600000/],
    ["a word where there is a choice", { clusters: { a: { host: "x" } }, bindStatements: "yes" }, /^bindStatements: must be true or false/],
    ["a wrong time", { clusters: { a: { host: "x" } }, connectTimeoutMs: "1s" }, /^connectTimeoutMs: must be a whole number of milliseconds from 50 to 60000/],
    ["an unknown option", { clusters: { a: { host: "x" } }, retries: 3 }, /retries/],
  ])("refuses %s", async (_, options, message) => {
    const error = await failure(createRouter(options as RouterOptions));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as Error).message).toMatch(message);
  });

  test("takes another spelling of an id for the same tenant", async () => {
    const router = await routing();
    expect([router.for("042").id, (await router.locate("+42")).tenant]).toEqual(["42", "42"]);
  });

  test.each(["", 1.5, Number.NaN, 2 ** 60, "0x1", "forty-two"])("refuses %s as a tenant", async (id) => {
    const router = await routing();
    expect(() => router.for(id)).toThrow(ConfigurationError);
  });
});
