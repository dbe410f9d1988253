import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createRouter, type ClusterOptions, type Router } from "../../../router/index";
import { FakeServer } from "./fakeServer";

/** By the ring of a and b, 3 and 11 live in a. */
const IN_A = 3;
const ALSO_IN_A = 11;

const READ = "BEGIN READ ONLY; SET LOCAL citus.task_assignment_policy TO 'round-robin'; SELECT 1 FROM public.rooms WHERE room_id = '3' LIMIT 1; COMMIT";

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

async function routing(ofB: Partial<ClusterOptions> = {}): Promise<Router> {
  const router = await createRouter({ clusters: { a: a.config, b: { ...b.config, ...ofB } } });
  routers.push(router);
  return router;
}

const nap = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
const until = async (met: () => boolean): Promise<void> => {
  for (let tries = 0; !met() && tries < 600; tries += 1) await nap(10);
};
/** Tenants begin to move from a to b. */
const depart = (...tenants: readonly number[]): void => {
  a.records = tenants.map((tenant) => ({ tenant: String(tenant), home: "a", epoch: 1, state: "moving", target: "b" }));
  a.notify(JSON.stringify({ tenants: tenants.map(String) }));
};
/** Statements of a tenant side by side, so that as many connections are opened. */
const use = (router: Router, tenant: number, sideBySide: number): Promise<unknown> => Promise.all(Array.from({ length: sideBySide }, () => router.for(tenant).query("SELECT 1")));
const open = (router: Router, cluster: string): number => router.clusters.find(({ name }) => name === cluster)?.connections.open ?? 0;

describe("where a tenant moves to", () => {
  test("sessions are made ready, as many as are used where it leaves, each for both copies", async () => {
    const router = await routing();
    await use(router, IN_A, 3);
    depart(IN_A);
    await until(() => b.statements.length === 6);
    await nap(50);
    expect(b.statements).toEqual(Array<string>(6).fill(READ));
    expect(open(router, "b")).toBe(3);
    expect(router.clusters.find(({ name }) => name === "b")?.connections).toEqual({ open: 3, idle: 3, waiting: 0 });
  });

  test("none are for a tenant that the router did not use", async () => {
    const router = await routing();
    await use(router, ALSO_IN_A, 1);
    depart(IN_A);
    await until(() => a.counts.looks > 0);
    await nap(50);
    expect(b.statements).toEqual([]);
  });

  test("those that move together are one", async () => {
    const router = await routing();
    await use(router, IN_A, 1);
    await use(router, ALSO_IN_A, 1);
    depart(IN_A, ALSO_IN_A);
    await until(() => b.statements.length === 2);
    await nap(50);
    expect(b.statements).toHaveLength(2);
  });

  test("connections that others need are left to them", async () => {
    const router = await routing({ max: 1 });
    await use(router, IN_A, 2);
    const client = await router.for(42).connect();
    depart(IN_A);
    await until(() => a.counts.looks > 0);
    await nap(50);
    expect(b.statements).toEqual([]);
    client.release();
  });

  test("what goes wrong is nobody's, and leaves nothing open", async () => {
    b.answer = () => ({ error: { code: "XX000", message: "a worker is away" } });
    const router = await routing();
    await use(router, IN_A, 1);
    depart(IN_A);
    await until(() => b.statements.length === 1);
    await nap(50);
    expect(open(router, "b")).toBe(0);
    b.answer = () => ({ rows: [{ word: "from b" }] });
    expect((await router.for(42).query("SELECT 1")).rows).toEqual([{ word: "from b" }]);
  });
});
