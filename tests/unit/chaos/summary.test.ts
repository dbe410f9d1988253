import { expect, test } from "vitest";
import type { HistoryEvent } from "../../../chaos/history";
import { isGood, summarize } from "../../../chaos/summary";

const insert = (key: string, at: number, outcome: "ok" | "refused" | "unknown" = "ok", shard = "a/1"): HistoryEvent => ({ type: "insert", client: 1, shard, key, at, ms: 10, outcome });
const increment = (outcome: "ok" | "refused" | "unknown", at = 100): HistoryEvent => ({ type: "increment", client: 2, shard: "a/1", counter: "a:1", at, ms: 1, outcome });

const begun: HistoryEvent = { type: "run", at: 0, stack: "s", startedAt: "", seed: 1, shards: ["a/1", "a/2"], intervalMs: 20 };
const events: readonly HistoryEvent[] = [
  begun,
  insert("1-1", 100),
  insert("2-1", 100, "ok", "a/2"),
  { type: "fault", number: 1, fault: "kill", role: "worker", targets: ["w"], shards: ["a/1"], at: 200 },
  insert("1-2", 210, "unknown"),
  insert("1-3", 900),
  insert("2-2", 2900, "ok", "a/2"),
  { type: "connect", client: 1, endpoint: "leader", at: 500, ms: 33, outcome: "ok" },
  { type: "healed", number: 1, at: 1500, help: [] },
  insert("1-4", 1600),
];
const rows = { "1-1": 1, "2-1": 1, "1-3": 1, "2-2": 1, "1-4": 1 };

function final(more: object = {}): HistoryEvent {
  return { type: "final", at: 3000, rows, counters: {}, differing: {}, ...more };
}

test("the gap of a fault is over the shards that it may stop, from answer to answer", () => {
  // From 110 to 910 it is 800; a/2 has a longer one, and the fault cannot have stopped it.
  expect(summarize([...events, final()]).faults).toEqual([{ number: 1, fault: "kill", role: "worker", targets: ["w"], gapMs: 800, errors: 1, connectMs: 33, wholeMs: 1300, help: [] }]);
  expect(summarize(events.map((event) => (event.type === "fault" ? { ...event, shards: ["a/2"] } : event))).faults[0]?.gapMs).toBe(2800);
});

test.each<[string, readonly HistoryEvent[], boolean]>([
  ["all is there", [...events, final()], true],
  ["an unknown one is there", [...events, final({ rows: { ...rows, "1-2": 1 } })], true],
  ["an acknowledged one is lost", [...events, final({ rows: { "1-1": 1 } })], false],
  ["one is doubled", [...events, final({ rows: { ...rows, "1-3": 2 } })], false],
  ["placements differ", [...events, final({ differing: { "a/1": "x" } })], false],
  ["a counter may hold what is unknown", [...events, increment("ok"), increment("unknown"), final({ counters: { "a:1": 2 } })], true],
  ["a counter lacks what was acknowledged", [...events, increment("ok"), increment("ok"), final({ counters: { "a:1": 1 } })], false],
  ["a counter holds what was refused", [...events, increment("refused"), final({ counters: { "a:1": 1 } })], false],
  ["it was not read back", events, false],
  ["a fault was not healed", [...events.filter(({ type }) => type !== "healed"), final()], false],
])("%s", (_, history, good) => {
  expect(isGood(summarize(history))).toBe(good);
});
