import { describe, expect, test } from "vitest";
import { Gaps, summarize, type FaultEffect } from "../../../chaos/gaps";
import type { HistoryEvent } from "../../../chaos/history";
import { answers, connect, fault, healed, insert, read } from "./events";

function effects(...events: HistoryEvent[]): FaultEffect[] {
  const gaps = new Gaps();
  for (const event of events) gaps.add(event);
  return gaps.effects();
}

describe("the gap of a fault", () => {
  test.each<[string, HistoryEvent[], { shard: string; from: number; to: number; open: boolean } | undefined]>([
    ["contains its begin", [...answers("s1", 80, 100, 620, 640), fault(1, 105), healed(1, 900)], { shard: "s1", from: 100, to: 620, open: false }],
    ["may begin later, but before it healed", [...answers("s1", 100, 120, 140, 500, 510), fault(1, 105), healed(1, 900)], { shard: "s1", from: 140, to: 500, open: false }],
    ["may outlast the healing", [...answers("s1", 100, 120, 900), fault(1, 105), healed(1, 200)], { shard: "s1", from: 120, to: 900, open: false }],
    ["does not count what came before", [...answers("s1", 10, 90, 100, 120), fault(1, 105), healed(1, 110)], { shard: "s1", from: 100, to: 120, open: false }],
    ["does not count what comes after", [...answers("s1", 100, 120, 300, 320, 900), fault(1, 105), healed(1, 310)], { shard: "s1", from: 120, to: 300, open: false }],
    ["is the longest of all shards", [...answers("s1", 100, 200), ...answers("s2", 90, 400), fault(1, 105), healed(1, 900)], { shard: "s2", from: 90, to: 400, open: false }],
    ["is of the shards that it names", [...answers("s1", 100, 200), ...answers("s2", 90, 400), fault(1, 105, { shards: ["s1"] }), healed(1, 900)], { shard: "s1", from: 100, to: 200, open: false }],
    ["lasts until the last try in vain", [...answers("s1", 100), insert("x", { at: 110, ms: 300, outcome: "unknown" }), fault(1, 105)], { shard: "s1", from: 100, to: 410, open: true }],
    ["is none where nobody tried", [...answers("s1", 100), fault(1, 105), healed(1, 900)], undefined],
    ["sees no write in a read", [...answers("s1", 100, 400), read(1, 200), fault(1, 105), healed(1, 900)], { shard: "s1", from: 100, to: 400, open: false }],
    ["is the same in whatever order the file has it", [fault(1, 105), healed(1, 900), ...answers("s1", 640, 100, 620, 80)], { shard: "s1", from: 100, to: 620, open: false }],
  ])("%s", (_, events, expected) => {
    const gap = effects(...events)[0]?.gap;
    expect(gap).toEqual(expected && { ...expected, ms: expected.to - expected.from });
  });

  test("until the next fault may be longer, and ends there", () => {
    const [first, second] = effects(...answers("s1", 100, 120, 140, 300, 320, 900), fault(1, 105), healed(1, 130), fault(2, 400), healed(2, 950));
    expect(first?.gap?.ms).toBe(20);
    expect(first?.windowGap).toEqual({ shard: "s1", from: 140, to: 300, ms: 160, open: false });
    expect(second?.gap).toEqual({ shard: "s1", from: 320, to: 900, ms: 580, open: false });
  });

  test("has a baseline: what is usual since the last one had healed", () => {
    const [first, second] = effects(...answers("s1", 10, 40, 60, 500, 520, 545), fault(1, 65), healed(1, 450), fault(2, 550));
    expect([first?.baselineMs, second?.baselineMs]).toEqual([30, 25]);
  });
});

test("requests that fail during a fault are counted, and their errors grouped", () => {
  const failed = (at: number, error: string): HistoryEvent => insert(`k${at}`, { at, outcome: "refused", error });
  const [effect] = effects(
    ...answers("s1", 100),
    failed(20, "before"),
    fault(1, 105),
    failed(110, "connection to the remote node postgres@worker1:5432 failed"),
    failed(120, "connection to the remote node postgres@worker2:5432 failed"),
    read(0, 130, { outcome: "unknown", error: "transaction 6f9619ff-8b86-d011-b42d-00cf4fc964ff ended" }),
    connect(10, 800),
    connect(110, 40),
    connect(120, 250, { outcome: "refused" }),
    healed(1, 200, { help: ["docker start coord-1"] }),
    failed(210, "after"),
  );
  expect(effect).toMatchObject({ failedWrites: 2, failedReads: 1, slowestConnectMs: 800, healedAt: 200, help: ["docker start coord-1"] });
  expect(effect?.errors).toEqual([
    { kind: "connection to the remote node postgres@worker# failed", count: 2 },
    { kind: "transaction <uuid> ended", count: 1 },
  ]);
});

test("faults of one kind on one kind of node are put together", () => {
  const ends = [120, 1250, 2400, 3900];
  const events = ends.flatMap((end, index) => [...answers("s1", 1000 * index + 100, end), fault(index + 1, 1000 * index + 105, index === 3 ? { role: "worker" } : {}), healed(index + 1, end - 1)]);
  const summaries = summarize(effects(...events));
  expect(summaries).toMatchObject([
    { fault: "kill", role: "coordinator", times: 3, gapMs: { p50: 150, p95: 300, max: 300 }, healMs: 294 },
    { fault: "kill", role: "worker", times: 1, gapMs: { p50: 800, p95: 800, max: 800 } },
  ]);
});

test("a fault that did not heal has no time of healing", () => {
  const [effect] = effects(...answers("s1", 100, 200), fault(1, 105), healed(1, 900, { problem: "etcd has no leader" }));
  expect(effect).toMatchObject({ problem: "etcd has no leader", gap: { ms: 100 } });
  expect(effect).not.toHaveProperty("healedAt");
  expect(summarize(effect === undefined ? [] : [effect])[0]).not.toHaveProperty("healMs");
});
