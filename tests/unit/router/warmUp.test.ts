import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createRouter, type ClusterOptions, type Router } from "../../../router/index";
import { FakeServer } from "./fakeServer";

/** By the ring of a and b, 3 and 11 live in a, and 42 in b. */
const IN_A = 3;
const ALSO_IN_A = 11;
const IN_B = 42;

const READ = "BEGIN READ ONLY; SET LOCAL citus.task_assignment_policy TO 'round-robin'; SELECT 1 FROM public.rooms WHERE room_id = '3' LIMIT 0; COMMIT";

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
  for (let tries = 0; !met() && tries < 800; tries += 1) await nap(10);
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
    await use(router, IN_A, 2);
    depart(IN_A);
    await until(() => b.statements.length === 4);
    await nap(50);
    expect(b.statements).toEqual(Array<string>(4).fill(READ));
    expect(router.clusters.find(({ name }) => name === "b")?.connections).toEqual({ open: 2, idle: 2, waiting: 0 });
  });

  test("none are for a tenant that the router did not use", async () => {
    const router = await routing();
    await use(router, ALSO_IN_A, 1);
    depart(IN_A);
    await until(() => a.counts.looks > 0);
    await nap(50);
    expect(b.statements).toEqual([]);
  });

  test("they are kept ready while it moves, and no longer", { timeout: 15_000 }, async () => {
    const router = await routing();
    await use(router, IN_A, 1);
    depart(IN_A);
    await until(() => b.statements.length === 4);
    expect(b.statements).toHaveLength(4);
    a.records = [{ tenant: String(IN_A), home: "b", epoch: 2, state: "settled" }];
    a.notify(JSON.stringify({ tenant: String(IN_A) }));
    await nap(5500);
    expect(b.statements).toHaveLength(4);
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

  test.each([
    ["all of which are used", 1, 0],
    ["half of which are left to others", 4, 2],
  ])("connections, %s", async (_, inUse, sessions) => {
    const router = await routing({ max: inUse === 1 ? 1 : 4 });
    await use(router, IN_A, 4);
    const clients = await Promise.all(Array.from({ length: inUse === 1 ? 1 : 0 }, () => router.for(IN_B).connect()));
    depart(IN_A);
    await until(() => a.counts.looks > 0 && b.statements.length >= 2 * sessions);
    await nap(50);
    expect(b.statements).toHaveLength(2 * sessions);
    for (const client of clients) client.release();
  });

  test("what goes wrong is nobody's, and leaves the session to others", async () => {
    b.answer = (text) => (text.startsWith("BEGIN") ? { error: { code: "XX000", message: "a worker is away" } } : {});
    const router = await routing();
    await use(router, IN_A, 1);
    depart(IN_A);
    await until(() => b.statements.includes("ROLLBACK"));
    await nap(50);
    expect(b.statements).toEqual([READ, "ROLLBACK"]);
    expect(open(router, "b")).toBe(1);
    b.answer = () => ({ rows: [{ word: "from b" }] });
    expect((await router.for(IN_B).query("SELECT 1")).rows).toEqual([{ word: "from b" }]);
  });
});
