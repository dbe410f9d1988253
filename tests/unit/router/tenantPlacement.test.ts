import { afterEach, beforeEach, expect, test } from "vitest";
import { createRouter, RouterError, type Router } from "@citus-sharding/tenant-router";
import { createPlacement, PlacementError, type PlacementOptions } from "@citus-sharding/tenant-router/placement";
import { FakeServer } from "./fakeServer";

let servers: { readonly a: FakeServer; readonly b: FakeServer };
let router: Router;

beforeEach(async () => {
  servers = { a: await new FakeServer("a").start(), b: await new FakeServer("b").start() };
  router = await createRouter({ clusters: { a: servers.a.config, b: servers.b.config } });
});
afterEach(async () => {
  await router.end();
  for (const server of Object.values(servers)) await server.stop();
});

const failure = async (work: Promise<unknown>): Promise<PlacementError> => {
  const error: unknown = await work.then(() => undefined, (reason: unknown) => reason);
  expect(error).toBeInstanceOf(PlacementError);
  expect(error).toBeInstanceOf(RouterError);
  return error as PlacementError;
};

test("what is no cluster and no region is refused before anybody is asked", async () => {
  const placement = createPlacement(router);
  const { connects } = servers.a.counts;
  for (const wrong of [{}, { cluster: "" }, { region: 3 }, { cluster: "a", region: "eu" }, { node: "a" }]) {
    expect(await failure(placement.place(42, wrong as never))).toMatchObject({ code: "PLACEMENT", applied: "no", tenant: "42", message: expect.stringContaining("must be a cluster or a region") as string });
  }
  await failure(placement.move(42, ""));
  expect(servers.a.counts.connects).toBe(connects);
});

test("a cluster that neither the router has nor an address is given for is named, and one that nobody has", async () => {
  expect((await failure(createPlacement(router, { clusters: { c: { nodes: {} } } }).place(42, { cluster: "a" }))).message).toBe("clusters.c: needs a connectionString or a host, since the router has no such cluster");
  expect((await failure(createPlacement(router).place(42, { cluster: "c" }))).message).toBe("There is no cluster c. There is a, b");
});

test("the router's own connections are used, with what they have not been given", async () => {
  expect((await failure(createPlacement(router).move(42, "b"))).message).toMatch(/cannot move tenants: that takes a superuser, on the coordinator and on each worker$/);
  expect((await failure(createPlacement(router).place(42, { cluster: "b" }))).message).toMatch(/cannot place tenants: that takes a superuser, or INSERT and UPDATE on tenancy.tenant/);
  servers.a.pooled = servers.b.pooled = true;
  expect((await failure(createPlacement(router).place(42, { cluster: "b" }))).message).toMatch(/^Cluster [ab] is reached through a pooler/);
  servers.b.pooled = false;
  const direct: PlacementOptions = { clusters: { a: { host: "127.0.0.1", port: 1 } } };
  expect((await failure(createPlacement(router, direct).place(42, { cluster: "a" }))).message).toMatch(/^Cluster a does not answer: connect ECONNREFUSED/);
});
