import { describe, expect, test } from "vitest";
import { payloadsOf } from "../../../tenants/record";

const news = (tenant: string): { tenant: string; home: string; epoch: number; state: "settled" } => ({ tenant, home: "b", epoch: 2, state: "settled" });

describe("what routers are told", () => {
  test("of one tenant, what became of it", () => {
    expect(payloadsOf([news("7")])).toEqual(['{"tenant":"7","home":"b","epoch":2,"state":"settled"}']);
  });

  test("of several, where to look", () => {
    expect(payloadsOf([news("7"), news('"8"')])).toEqual(['{"tenants":["7","\\"8\\""]}']);
  });

  test.each<[string, number, (index: number) => string]>([
    ["numbers", 1000, (index) => String(8_100_000_000_000 + index)],
    ["UUIDs", 500, (index) => `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`],
    ["letters of several bytes", 500, (index) => `Zürich €${index}`],
    ["long texts", 7, (index) => `${"x".repeat(2600)}${index}`],
  ])("of many %s, in as few notifications as PostgreSQL takes", (_, count, tenantOf) => {
    const tenants = Array.from({ length: count }, (__, index) => tenantOf(index));
    const payloads = payloadsOf(tenants.map(news));
    expect(payloads.flatMap((payload) => (JSON.parse(payload) as { tenants: string[] }).tenants)).toEqual(tenants);
    const sizes = payloads.map((payload) => Buffer.byteLength(payload));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(7000);
    expect(payloads.length).toBeLessThanOrEqual(Math.ceil((sizes.reduce((sum, size) => sum + size, 0) / 7000) * 1.5));
  });
});
