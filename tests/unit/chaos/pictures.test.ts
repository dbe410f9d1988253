import { describe, expect, test } from "vitest";
import type { HistoryEvent } from "../../../chaos/history";
import { judge, type Judgement } from "../../../chaos/judge";
import { markdownReport, terminalReport } from "../../../chaos/report";
import { escaped } from "../../../chaos/svg";
import { elements } from "./elements";
import { answers, connect, fault, final, healed, insert, run } from "./events";

/** Writes of each shard every 20 ms, but for the first shard between a fault and its end; errors meanwhile. */
function history(shards: number, seconds: number, faults: readonly (readonly [number, number])[]): HistoryEvent[] {
  const names = Array.from({ length: shards }, (_, index) => `a<${index}>&`);
  const events: HistoryEvent[] = [run({ stack: 'the "stack" & <more>', shards: names })];
  const rows: Record<string, number> = {};
  for (let at = 0; at < seconds * 1000; at += 20) {
    for (const shard of names) {
      const silent = shard === names[0] && faults.some(([from, to]) => at >= from && at < to);
      const key = `${shard}-${at}`;
      if (!silent) rows[key] = 1;
      events.push(insert(key, { shard, at, ms: 3, ...(silent && { outcome: "refused", error: "connection 7 to <worker> refused" }) }));
    }
  }
  faults.forEach(([from, to], index) => events.push(fault(index + 1, from, { fault: "kill & run" }), healed(index + 1, to + 100)));
  return [...events, connect(0, 12), final({ at: seconds * 1000 + 500, rows })];
}

const limits = [{ fault: "kill & run", role: "coordinator", ms: 600 }];
const short = (): Promise<Judgement> => judge(history(3, 10, [[2000, 2500], [6000, 6900]]), { limits, objectives: { rpo: 0 } });

describe("the timeline", () => {
  test("is well-formed, and shows shards, faults, gaps and failures", async () => {
    const { timeline } = await short();
    elements(timeline);
    for (const text of ["a&lt;0&gt;&amp;", "1 kill &amp; run, coordinator", "2 kill &amp; run, coordinator", ">0.52 s<", ">0.92 s<", "seconds since the run began", "per 100 ms", "acknowledged", "failed"]) expect(timeline).toContain(text);
    expect(timeline.match(/<rect class="gap" x="\d/g)).toHaveLength(3);
    expect(timeline.match(/<rect class="band" x="[\d.]+" y="126"/g)).toHaveLength(2);
    expect(timeline.match(/<path class="ok bar"/g)).toHaveLength(3);
    expect(timeline).toContain("prefers-color-scheme: dark");
  });

  test("of half an hour with many shards and faults stays below 1 MB", async () => {
    const faults = Array.from({ length: 120 }, (_, index) => [index * 15_000 + 5000, index * 15_000 + 9000] as const);
    const names = Array.from({ length: 64 }, (_, index) => `shard ${index}`);
    const events: HistoryEvent[] = [run({ shards: names })];
    // Uneven numbers of answers and errors everywhere, so that nothing can be left out.
    for (let at = 0; at < 1_800_000; at += 400) {
      names.forEach((shard, index) => {
        if ((at / 400 + index) % 3 > 0) events.push(insert(`${shard}${at}`, { shard, at }));
        if ((at / 400 + index) % 2 > 0) events.push(insert(`${shard}${at}x`, { shard, at, outcome: "unknown" }));
      });
    }
    faults.forEach(([from, to], index) => events.push(fault(index + 1, from), healed(index + 1, to)));
    const { timeline } = await judge(events);
    elements(timeline);
    expect(Buffer.byteLength(timeline)).toBeLessThan(1_000_000);
  });

  test("of nothing is a picture, too", async () => {
    const { timeline, chart } = await judge([]);
    expect(elements(timeline)[0]).toBe("svg");
    expect(elements(chart)[0]).toBe("svg");
    expect(timeline + chart).not.toMatch(/NaN|Infinity|undefined/);
  });
});

test("the chart of gaps has a dot for each fault, and tells those over the limit", async () => {
  const { chart } = await short();
  elements(chart);
  expect(chart.match(/<circle class="ok" fill/g)).toHaveLength(1);
  expect(chart.match(/<circle class="miss" fill/g)).toHaveLength(1);
  expect(chart).toContain("kill &amp; run, coordinator ×2");
  expect(chart).toContain("max 0.92 s of 0.60 s");
  expect(chart).not.toMatch(/NaN|Infinity|undefined/);
});

test("control characters, which XML does not have, are blanks", () => {
  expect(escaped('a\u0000b\u001b"<&>')).toBe("a b &quot;&lt;&amp;&gt;");
});

describe("the report", () => {
  test("says for a terminal what was found, met and missed", async () => {
    const text = terminalReport(await short());
    expect(text).toMatch(/^Chaos on the "stack" & <more>: objectives missed\n/);
    expect(text).toMatch(/kill & run {2}coordinator {2}2 {6}0\.02 s {2}0\.52 s {3}0\.92 s {2}0\.92 s {2}0\.92 s {6}70 {6}- {8}1\.0 s/);
    expect(text).toMatch(/gap of kill & run of coordinator, p95 +0\.60 s +0\.92 s +missed/);
    expect(text).toMatch(/acknowledged writes lost +0 +0 +met/);
    expect(text).toContain("70 × connection # to <worker> refused");
    expect(text).toContain("✗ 1 of 23 objectives was missed.");
  });

  test("tells violations with their cases, in Markdown as lists, and shows pictures", async () => {
    const judgement = await judge([run(), ...answers("s1", 5000), final({ differing: { s1: "one | two" } })]);
    const text = markdownReport(judgement, { "The run in time": "chaos.svg" });
    expect(text).toContain("- 1 acknowledged inserts without a row:\n  - s1-5000, client 1, at 5.00 s: should have a row, since it was acknowledged; has none.\n");
    expect(text).toContain("![The run in time](chaos.svg)");
    expect(text).toContain("| acknowledged writes lost | 0 | 1 | **missed** |");
  });
});
