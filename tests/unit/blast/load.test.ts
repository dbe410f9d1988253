import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Answer } from "../../../blast/application";
import { Load } from "../../../blast/load";
import type { HistoryEvent, InsertEvent } from "../../../chaos/history";
import { Random } from "../../../chaos/random";

const rooms = [{ id: 1, cluster: "a" }, { id: 2, cluster: "b" }];

/** Runs a load for a while; what it recorded, and its view of who is silent. */
async function run(write: (room: number, key: string) => Answer, milliseconds: number): Promise<{ events: InsertEvent[]; silent: string[]; last: number }> {
  const events: HistoryEvent[] = [];
  const startedAt = performance.now();
  const now = (): number => performance.now() - startedAt;
  const load = new Load({ write: (room, key) => Promise.resolve(write(room, key)) }, rooms, { now, since: (at) => now() - at, record: (event) => void events.push(event) }, new Random(1));
  load.start();
  await delay(milliseconds);
  const silent = load.silentSince(milliseconds / 2);
  await load.stop();
  const last = events.length;
  await delay(60);
  expect(events).toHaveLength(last);
  return { events: events.filter((event) => event.type === "insert"), silent, last };
}

test("every tenant writes under keys of its own until the load stops", async () => {
  const { events, silent } = await run(() => ({ outcome: "ok" }), 200);
  expect(new Set(events.map(({ key }) => key)).size).toBe(events.length);
  expect(new Set(events.map(({ shard }) => shard))).toEqual(new Set(["a/1", "b/2"]));
  expect(events.length).toBeGreaterThan(4);
  expect(silent).toEqual([]);
});

test("a tenant whose writes fail is silent, and goes on trying", async () => {
  const { events, silent } = await run((room) => (room === 1 ? { outcome: "unknown", error: "connection lost" } : { outcome: "ok" }), 300);
  expect(silent).toEqual(["a/1"]);
  const failed = events.filter(({ shard }) => shard === "a/1");
  expect(failed.length).toBeGreaterThanOrEqual(2);
  expect(failed[0]).toMatchObject({ client: 1, key: expect.stringMatching(/-1-1$/) as string, outcome: "unknown", error: "connection lost" });
});
