import type { Client } from "pg";
import { describe, expect, test } from "vitest";
import { payloadsOf, RingChangedError, writeRecords, type RecordChange } from "../../../tenants/record";

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

describe("records", () => {
  const settled = (tenant: string, epoch: number): RecordChange => ({ tenant, home: "b", epoch, state: "settled" });
  /** A session on a cluster that has records of some tenants, and remembers the epochs up to 5 of those that it has forgotten. It keeps what is done, and which tenants are written. */
  const session = (known: readonly string[], done: unknown[], next: readonly string[] | null = null): Client => {
    const query = (text: string, values: readonly unknown[] = []): Promise<unknown> => {
      if (text.includes("tenancy.horizon")) return Promise.resolve([{}, {}, {}, { rows: [{ epoch: "5" }] }, { rows: [{ version: "3", clusters: ["a", "b"], next }] }]);
      if (text.startsWith("SELECT tenant FROM tenancy.tenant")) return Promise.resolve({ rows: known.filter((tenant) => (values[0] as string[]).includes(tenant)).map((tenant) => ({ tenant })) });
      if (text.startsWith("INSERT")) {
        const tenants = [values[0]].flat() as string[];
        done.push(tenants);
        return Promise.resolve({ rows: tenants.map((tenant) => ({ tenant })) });
      }
      if (text === "COMMIT" || text === "ROLLBACK") done.push(text);
      return Promise.resolve({ rows: [] });
    };
    return { query } as unknown as Client;
  };

  test.each<[string, RecordChange[], string[], unknown[]]>([
    ["of a forgotten epoch do not come back where they have gone", [settled("7", 5), settled("8", 4)], [], ["ROLLBACK"]],
    ["of a forgotten epoch are written where they are", [settled("7", 5), settled("8", 4)], ["8"], [["8"], "COMMIT"]],
    ["of a later epoch are written", [settled("8", 4), settled("7", 6)], [], [["7"], "COMMIT"]],
  ])("%s", async (_, changes, known, expected) => {
    const done: unknown[] = [];
    const written = await writeRecords(session(known, done), changes, []);
    expect(done).toEqual(expected);
    expect([...written]).toEqual(expected.flatMap((one) => (Array.isArray(one) ? (one as string[]) : [])));
  });

  test.each<[string, number, readonly string[] | null]>([
    ["the ring is another", 2, null],
    ["it is being changed", 3, ["a"]],
  ])("of tenants that had none are not written where %s", async (_, version, next) => {
    const done: unknown[] = [];
    await expect(writeRecords(session([], done, next), [settled("7", 6)], [], version)).rejects.toThrow(RingChangedError);
    expect(done).toEqual(["ROLLBACK"]);
    await writeRecords(session([], done, next), [settled("7", 6)], []);
    expect(done.slice(1)).toEqual([["7"], "COMMIT"]);
  });
});
