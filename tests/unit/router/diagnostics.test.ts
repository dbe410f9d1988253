import { subscribe, tracingChannel, unsubscribe, type ChannelListener } from "node:diagnostics_channel";
import { SpanStatusCode } from "@opentelemetry/api";
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createRouter, type DiagnosticMessages, type Operation, type Router, type RouterOptions } from "@citus-sharding/tenant-router";
import { instrument } from "@citus-sharding/tenant-router/opentelemetry";
import { FakeServer, type Answer } from "./fakeServer";

/** By the ring of a and b, 3 lives in a and 42 in b. */
const IN_A = 3;
const IN_B = 42;

let a: FakeServer;
let b: FakeServer;
const endings: (() => unknown)[] = [];

beforeEach(async () => {
  [a, b] = await Promise.all([new FakeServer("a").start(), new FakeServer("b").start()]);
});
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
  await Promise.all([a.stop(), b.stop()]);
});

async function routing(options: Partial<RouterOptions> = {}): Promise<Router> {
  const router = await createRouter({ clusters: { a: a.config, b: b.config }, ...options });
  endings.push(() => router.end());
  return router;
}

/** What a channel tells from now on. */
function heard<Name extends keyof DiagnosticMessages>(name: Name): DiagnosticMessages[Name][] {
  const messages: DiagnosticMessages[Name][] = [];
  const listener: ChannelListener = (message) => void messages.push(message as DiagnosticMessages[Name]);
  subscribe(name, listener);
  endings.push(() => unsubscribe(name, listener));
  return messages;
}

/** The events of a tracing channel from now on, each with the cluster that it named then. */
function followed(name: string): { events: string[]; last: () => Operation | undefined } {
  const events: string[] = [];
  let last: Operation | undefined;
  const channel = tracingChannel<unknown, Operation>(name);
  const note = (event: string) => (operation: Operation) => {
    last = operation;
    events.push(`${event} ${operation.tenant} ${operation.cluster}`);
  };
  const subscribers = { start: note("start"), end: note("end"), asyncStart: note("asyncStart"), asyncEnd: note("asyncEnd"), error: note("error") };
  channel.subscribe(subscribers);
  endings.push(() => void channel.unsubscribe(subscribers));
  return { events, last: () => last };
}

const refusal = (code: "TN001" | "TN002", home: string, epoch: number): Answer => ({
  error: { code, message: code === "TN001" ? `tenant ${IN_A} lives in cluster ${home}, not here` : `tenant ${IN_A} is being moved`, detail: JSON.stringify({ tenant: String(IN_A), home, epoch }) },
});
const until = async (met: () => boolean): Promise<void> => {
  for (let tries = 0; !met() && tries < 600; tries += 1) await new Promise((resolve) => setTimeout(resolve, 10));
};

describe("channels", () => {
  test("a statement is followed to its tenant's new home", async () => {
    const router = await routing();
    await router.locate(IN_A);
    const [{ events }, refusals, repeats] = [followed("tenant-router:statement"), heard("tenant-router:refusal"), heard("tenant-router:repeat")];
    a.answer = () => refusal("TN001", "b", 1);
    await router.for(IN_A).query("INSERT");
    expect(events).toEqual(["start 3 a", "end 3 a", "asyncStart 3 b", "asyncEnd 3 b"]);
    expect(refusals).toEqual([{ cluster: "a", tenant: "3", refusal: { kind: "elsewhere", tenant: "3", home: "b", epoch: 1 } }]);
    expect(repeats).toEqual([{ cluster: "a", tenant: "3", reason: "elsewhere" }]);
  });

  test("a statement that fails says why", async () => {
    const router = await routing();
    const { events, last } = followed("tenant-router:statement");
    a.answer = () => ({ error: { code: "23505", message: "duplicate key" } });
    const error: unknown = await router.for(IN_A).query("INSERT").catch((problem: unknown) => problem);
    expect(events).toContain("error 3 a");
    expect(last()?.error).toBe(error);
    expect(error).toMatchObject({ code: "23505" });
  });

  test.each([false, true])("a transaction, and a statement that is one: %s", async (bindStatements) => {
    const router = await routing({ bindStatements });
    await router.locate(IN_B);
    const [statements, transactions] = [followed("tenant-router:statement"), followed("tenant-router:transaction")];
    const tenant = router.for(IN_B);
    expect(await (bindStatements ? tenant.query("SELECT 1") : tenant.transaction((transaction) => transaction.query("SELECT 1")))).toMatchObject({ command: "SELECT" });
    expect(transactions.events).toEqual(["start 42 b", "end 42 b", "asyncStart 42 b", "asyncEnd 42 b"]);
    expect(statements.events).toEqual([]);
  });

  test("a conflict is a repeat", async () => {
    const router = await routing();
    const repeats = heard("tenant-router:repeat");
    let tries = 0;
    a.answer = (text) => (text === "UPDATE" && (tries += 1) === 1 ? { error: { code: "40001", message: "could not serialize access" } } : {});
    await router.for(IN_A).transaction((transaction) => transaction.query("UPDATE"), { retries: 1 });
    expect(repeats).toEqual([{ cluster: "a", tenant: "3", reason: "conflict" }]);
  });

  test("waits for a tenant that is closed, and what is refused on a connection of one's own", async () => {
    const router = await routing({ moveTimeoutMs: 30 });
    const [waits, refusals] = [heard("tenant-router:tenant-wait"), heard("tenant-router:refusal")];
    a.answer = () => refusal("TN002", "a", 1);
    await expect(router.for(IN_A).query("INSERT")).rejects.toMatchObject({ code: "TENANT_MOVING" });
    expect(waits.length).toBeGreaterThan(0);
    expect(waits[0]).toEqual({ cluster: "a", tenant: "3", waitMs: expect.any(Number) as number });
    expect(waits[0]?.waitMs).toBeGreaterThan(1);
    const before = refusals.length;
    const client = await router.for(IN_A).connect();
    await expect(client.query("INSERT")).rejects.toMatchObject({ code: "TENANT_MOVING" });
    client.release();
    expect(refusals.slice(before)).toMatchObject([{ cluster: "a", tenant: "3", refusal: { kind: "closed" } }]);
  });

  test("waits for a connection: one that is opened, and one that others have; not where one is free", async () => {
    const router = await routing({ clusters: { a: { ...a.config, max: 1 }, b: b.config }, poolTimeoutMs: 20 });
    const waits = heard("tenant-router:pool-wait");
    const client = await router.for(IN_A).connect();
    expect(waits).toEqual([{ cluster: "a", opening: true, waitMs: expect.any(Number) as number }]);
    await expect(router.for(IN_A).query("SELECT 1")).rejects.toMatchObject({ code: "POOL_TIMEOUT" });
    expect(waits[1]).toMatchObject({ cluster: "a", opening: false });
    expect(waits[1]?.waitMs).toBeGreaterThan(15);
    client.release();
    // Who stopped waiting gets it first, and gives it back.
    await until(() => router.clusters[0]?.connections.idle === 1);
    await router.for(IN_A).query("SELECT 1");
    expect(waits).toHaveLength(2);
  });

  test("waits for a connection that a tenant may have", async () => {
    const router = await routing({ maxPerTenant: 1, poolTimeoutMs: 30 });
    const client = await router.for(IN_A).connect();
    const waits = heard("tenant-router:pool-wait");
    await expect(router.for(IN_A).query("SELECT 1")).rejects.toMatchObject({ code: "POOL_TIMEOUT", tenant: "3" });
    expect(waits).toEqual([{ cluster: "a", opening: false, waitMs: expect.any(Number) as number }]);
    expect(waits[0]?.waitMs).toBeGreaterThan(25);
    client.release();
  });

  test("a cluster that comes and goes, and how fresh its directory is", async () => {
    const [states, comparisons] = [heard("tenant-router:cluster"), heard("tenant-router:comparison")];
    await routing();
    expect(states.map(({ cluster, up }) => `${cluster} ${up}`).sort()).toEqual(["a true", "b true"]);
    expect(comparisons.map(({ cluster }) => cluster).sort()).toEqual(["a", "b"]);
    await a.stop();
    await until(() => states.length > 2);
    expect(states[2]).toEqual({ cluster: "a", up: false, reason: expect.any(Error) as Error });
    comparisons.length = 0;
    await until(() => comparisons.some(({ cluster }) => cluster === "b"));
    expect(comparisons.some(({ cluster }) => cluster === "a")).toBe(false);
    await a.start();
    await until(() => states.length > 3);
    expect(states[3]).toEqual({ cluster: "a", up: true, reason: undefined });
    expect(comparisons.some(({ cluster }) => cluster === "a")).toBe(true);
  });
});

describe("OpenTelemetry", () => {
  let exporter: InMemoryMetricExporter;
  let spans: InMemorySpanExporter;
  let meterProvider: MeterProvider;
  let stop: () => void;

  beforeEach(() => {
    exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    spans = new InMemorySpanExporter();
    meterProvider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })] });
    stop = instrument({ meterProvider, tracerProvider: new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }) });
    endings.push(() => stop(), () => meterProvider.shutdown());
  });

  /** Attributes and value of an instrument's points; a histogram's is how often it was recorded. */
  async function points(name: string): Promise<(readonly [object, unknown])[]> {
    await meterProvider.forceFlush();
    const metrics = exporter.getMetrics().at(-1)?.scopeMetrics.flatMap((scope) => scope.metrics) ?? [];
    const found = metrics.find(({ descriptor }) => descriptor.name === name);
    return (found?.dataPoints ?? []).map(({ attributes, value }) => [attributes, typeof value === "number" ? value : value.count] as const);
  }

  test("has an instrument for each, and a span for an operation", async () => {
    const router = await routing();
    a.answer = (text) => (text === "INSERT" ? refusal("TN001", "b", 1) : {});
    b.answer = (text) => (text === "DELETE" ? { error: { code: "23503", message: "still referenced" } } : {});
    await router.for(IN_A).query("INSERT");
    await router.for(IN_B).transaction((transaction) => transaction.query("SELECT 1"));
    await router.for(IN_B).query("DELETE").catch(() => undefined);
    expect(await points("tenant_router.operation.duration")).toEqual([
      [{ cluster: "b", operation: "statement" }, 1],
      [{ cluster: "b", operation: "transaction" }, 1],
      [{ cluster: "b", operation: "statement", "error.type": "23503" }, 1],
    ]);
    expect(await points("tenant_router.refusals")).toEqual([[{ cluster: "a", kind: "elsewhere" }, 1]]);
    expect(await points("tenant_router.repeats")).toEqual([[{ cluster: "a", reason: "elsewhere" }, 1]]);
    expect(await points("tenant_router.pool.wait.duration")).toEqual([
      [{ cluster: "a", opening: true }, 1],
      [{ cluster: "b", opening: true }, 1],
    ]);
    const up = await points("tenant_router.cluster.up");
    expect(up).toHaveLength(2);
    expect(up).toEqual(expect.arrayContaining([[{ cluster: "a" }, 1], [{ cluster: "b" }, 1]]));
    for (const [, age] of await points("tenant_router.directory.age")) expect(age).toBeLessThan(30);
    expect(await points("tenant_router.directory.age")).toHaveLength(2);
    expect(spans.getFinishedSpans().map(({ name, attributes, status }) => ({ name, attributes, status: status.code }))).toEqual([
      { name: "tenant statement", attributes: { "db.system.name": "postgresql", "tenant_router.tenant": "3", "tenant_router.cluster": "b" }, status: SpanStatusCode.UNSET },
      { name: "tenant transaction", attributes: { "db.system.name": "postgresql", "tenant_router.tenant": "42", "tenant_router.cluster": "b" }, status: SpanStatusCode.UNSET },
      { name: "tenant statement", attributes: { "db.system.name": "postgresql", "tenant_router.tenant": "42", "tenant_router.cluster": "b", "error.type": "23503" }, status: SpanStatusCode.ERROR },
    ]);
  });

  test("a wait for a tenant is counted in seconds, and a cluster that is gone is 0", async () => {
    const router = await routing({ moveTimeoutMs: 30 });
    a.answer = () => refusal("TN002", "a", 1);
    await router.for(IN_A).query("INSERT").catch(() => undefined);
    const [[attributes, waited] = []] = await points("tenant_router.tenant.wait.time");
    expect(attributes).toEqual({ cluster: "a" });
    expect(waited).toBeGreaterThan(0.005);
    expect(waited).toBeLessThan(5);
    const down = heard("tenant-router:cluster");
    await b.stop();
    await until(() => down.length > 0);
    expect(await points("tenant_router.cluster.up")).toContainEqual([{ cluster: "b" }, 0]);
  });

  test("a cluster that is taken out has no point any more", async () => {
    const router = await routing();
    await router.removeCluster("b");
    for (const name of ["tenant_router.cluster.up", "tenant_router.directory.age"]) expect((await points(name)).map(([attributes]) => attributes)).toEqual([{ cluster: "a" }]);
  });

  test("nothing is told any more once it is stopped", async () => {
    const router = await routing();
    stop();
    await router.for(IN_A).query("SELECT 1");
    expect(spans.getFinishedSpans()).toEqual([]);
    expect(tracingChannel("tenant-router:statement").start.hasSubscribers).toBe(false);
  });
});
