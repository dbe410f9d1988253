import type { Client } from "pg";
import { describe, expect, test } from "vitest";
import { Applier, statementFor, type Limits } from "../../../tenants/applier";
import type { Change, Relation } from "../../../tenants/pgoutput";
import type { TenantShard } from "../../../tenants/tenantTables";

const RELATION: Relation = {
  schema: "public",
  name: "messages_1",
  columns: [
    { name: "room_id", key: true },
    { name: "message_id", key: true },
    { name: "body", key: false },
  ],
};

describe("the statement of a change", () => {
  test.each<[string, Parameters<typeof statementFor>[0], string]>([
    ["insert", { kind: "insert", relation: 1, row: ["7", "1", "it's"] }, `INSERT INTO public.messages_9 ("room_id", "message_id", "body") OVERRIDING SYSTEM VALUE VALUES ('7', '1', 'it''s')`],
    ["insert of NULL", { kind: "insert", relation: 1, row: ["7", "1", null] }, `INSERT INTO public.messages_9 ("room_id", "message_id", "body") OVERRIDING SYSTEM VALUE VALUES ('7', '1', NULL)`],
    ["update", { kind: "update", relation: 1, row: ["7", "1", "a\\b"] }, String.raw`UPDATE public.messages_9 SET "room_id" = '7', "message_id" = '1', "body" =  E'a\\b' WHERE "room_id" = '7' AND "message_id" = '1'`],
    ["update that leaves a large value", { kind: "update", relation: 1, row: ["7", "1", undefined] }, `UPDATE public.messages_9 SET "room_id" = '7', "message_id" = '1' WHERE "room_id" = '7' AND "message_id" = '1'`],
    ["update of the key", { kind: "update", relation: 1, old: ["7", "1", null], row: ["7", "2", "x"] }, `UPDATE public.messages_9 SET "room_id" = '7', "message_id" = '2', "body" = 'x' WHERE "room_id" = '7' AND "message_id" = '1'`],
    ["delete", { kind: "delete", relation: 1, old: ["7", "1", null] }, `DELETE FROM public.messages_9 WHERE "room_id" = '7' AND "message_id" = '1'`],
  ])("%s", (_, change, statement) => {
    expect(statementFor(change, RELATION, "public.messages_9")).toBe(statement);
  });
});

const shard = (relation: string): TenantShard => ({ table: { name: "messages", column: "room_id", type: "pg_catalog.int8", columns: [], shape: "", key: [], sequences: [] }, relation, shardId: "1", placements: [] });

/** A worker that keeps the statements it gets, and says that each change met so many rows. */
function worker(met = 1): { client: Client; sent: string[] } {
  const sent: string[] = [];
  const query = (text: string): Promise<unknown> => {
    sent.push(text);
    return Promise.resolve(text.split("; ").map((statement) => ({ rowCount: /^(BEGIN|COMMIT)$/.test(statement) ? null : met })));
  };
  return { client: { query } as unknown as Client, sent };
}

const transaction = (commitLsn: bigint, id: string): Change[] => [{ kind: "begin", commitLsn }, { kind: "insert", relation: 1, row: ["7", id, "x"] }, { kind: "commit" }];
const barrier = (content: string): Change => ({ kind: "message", prefix: "tenancy", content });
const ids = (sent: readonly string[]): string[] => sent.flatMap((text) => [...text.matchAll(/'7', '(\d+)'/g)].map(([, id]) => id as string));

function applierOn(clients: readonly Client[], onFull?: (full: boolean) => void, limits?: Limits): Applier {
  const applier = new Applier(clients, [[shard("public.messages_1"), shard("public.messages_9")]], onFull, limits);
  applier.receive({ kind: "relation", id: 1, relation: RELATION });
  return applier;
}

describe("an applier", () => {
  test("makes the changes on every copy, in their order, before it says that a barrier was passed", async () => {
    const [one, other] = [worker(), worker()];
    const applier = applierOn([one.client, other.client]);
    const passed = applier.passed("here", 1000);
    for (const change of [...transaction(1n, "1"), ...transaction(2n, "2"), barrier("here")]) applier.receive(change);
    await passed;
    expect([ids(one.sent), ids(other.sent), applier.applied]).toEqual([["1", "2"], ["1", "2"], 2]);
  });

  test("holds what is committed at a position or later until it may go on", async () => {
    const { client, sent } = worker();
    const applier = applierOn([client]);
    applier.holdFrom();
    for (const change of [...transaction(1n, "1"), ...transaction(5n, "2")]) applier.receive(change);
    const first = applier.passed("first", 1000);
    applier.receive(barrier("first"));
    await first;
    expect(ids(sent)).toEqual([]);
    applier.holdFrom(5n);
    const second = applier.passed("second", 1000);
    applier.receive(barrier("second"));
    await second;
    expect(ids(sent)).toEqual(["1"]);
    applier.goOn();
    const third = applier.passed("third", 1000);
    applier.receive(barrier("third"));
    await third;
    expect(ids(sent)).toEqual(["1", "2"]);
  });

  test("sends a long transaction as several messages, and still as one transaction", async () => {
    const { client, sent } = worker();
    const applier = applierOn([client], undefined, { atOnce: 500, waiting: 5000 });
    const passed = applier.passed("here", 1000);
    const long = "x".repeat(300);
    applier.receive({ kind: "begin", commitLsn: 1n });
    for (const id of ["1", "2", "3"]) applier.receive({ kind: "insert", relation: 1, row: ["7", id, long] });
    for (const change of [{ kind: "commit" } as const, ...transaction(2n, "4"), barrier("here")]) applier.receive(change);
    await passed;
    expect(sent.map((text) => [text.startsWith("BEGIN"), text.endsWith("COMMIT"), ids([text])])).toEqual([
      [true, false, ["1"]],
      [false, false, ["2"]],
      [false, true, ["3"]],
      [true, true, ["4"]],
    ]);
  });

  test("has the stream rest while too much waits", async () => {
    const told: boolean[] = [];
    const applier = applierOn([worker().client], (full) => told.push(full), { atOnce: 500, waiting: 500 });
    applier.holdFrom();
    const long = "x".repeat(300);
    for (const id of ["1", "2"]) for (const change of [{ kind: "begin", commitLsn: 1n }, { kind: "insert", relation: 1, row: ["7", id, long] }, { kind: "commit" }] as const) applier.receive(change);
    expect(told).toEqual([true]);
    const passed = applier.passed("here", 1000);
    applier.goOn();
    applier.receive(barrier("here"));
    await passed;
    expect(told).toEqual([true, false]);
  });

  test("fails if a change does not meet exactly one row", async () => {
    const { client } = worker(0);
    const applier = applierOn([client]);
    const passed = applier.passed("here", 1000);
    for (const change of [...transaction(1n, "1"), barrier("here")]) applier.receive(change);
    await expect(passed).rejects.toThrow("met 0 rows at the new home instead of one");
  });

  test.each<[string, (applier: Applier) => void, string]>([
    ["a table is truncated", (applier) => applier.receive({ kind: "truncate" }), "truncated while the tenant moved"],
    ["the stream breaks", (applier) => applier.fail(new Error("the stream broke")), "the stream broke"],
    ["the barrier does not come", () => undefined, "more than 20 ms behind"],
  ])("does not wait for ever where %s", async (_, happen, message) => {
    const applier = applierOn([worker().client]);
    const passed = applier.passed("here", 20);
    happen(applier);
    await expect(passed).rejects.toThrow(message);
  });
});
