import { expect, test } from "vitest";
import { clusterOf, FIRST_TENANT, LAST_TENANT, MOST_TENANTS, pauseMs, retryMs, tenantName, tenants } from "../../../blast/tenants";
import { FIRST_ID, ROOMS } from "../../../cli/demoRows";

test("rooms are numbers that JavaScript counts exactly, and none of the demo's", async () => {
  expect(Number.isSafeInteger(LAST_TENANT)).toBe(true);
  expect(FIRST_TENANT).toBeGreaterThan(FIRST_ID + ROOMS);
  expect((await tenants(MOST_TENANTS, () => Promise.resolve("a"))).at(-1)?.id).toBe(LAST_TENANT);
});

test("a tenant's name tells its cluster", async () => {
  const [tenant] = await tenants(1, () => Promise.resolve("eu-1"));
  expect(tenant).toEqual({ id: FIRST_TENANT, cluster: "eu-1" });
  expect(clusterOf(tenantName({ id: FIRST_TENANT, cluster: "eu-1" }))).toBe("eu-1");
});

test.each<[number, number]>([[1, 20], [3, 20], [12, 80], [300, 2000]])("of %d tenants each pauses %d ms", (count, milliseconds) => {
  expect(pauseMs(count)).toBe(milliseconds);
});

test("a client that is told errors tries less and less often", () => {
  expect([1, 2, 3, 4, 5, 6, 100].map(retryMs)).toEqual([50, 75, 113, 169, 250, 250, 250]);
});
