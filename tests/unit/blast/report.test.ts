import { expect, test } from "vitest";
import { gap, latency, losses, share } from "../../../blast/figures";
import { markdownReport, terminalReport } from "../../../blast/report";
import type { ClusterCost } from "../../../blast/cost";
import { activeReport } from "./reports";

test("the terminal shows each cluster, and all of them", () => {
  const text = terminalReport(activeReport());
  expect(text).toMatch(/^What a failure costs on active-active: 4 tenants write, what is killed stays dead for 10 s\n/);
  expect(text).toContain("cluster:a: killed coord_a, worker_a1, started again after 1.5 s, whole again after 5.0 s");
  const rows = text.split("\n").map((line) => line.trim().replaceAll(/ {2,}/g, " | "));
  expect(rows).toContain("a | 2 | 2 (100 %) | 2.00 / 2.00 / 2.00 s | 0 / 0 | 4.0 / 4.0 / 4.0 ms | 360 | 40");
  expect(rows).toContain("b | 2 | 0 (0 %) | – | 0 / 0 | 4.0 / 4.0 / 4.0 ms | 400 | 0");
  expect(rows).toContain("all | 4 | 2 (50 %) | 2.00 / 2.00 / 2.00 s | 0 / 0 | 4.0 / 4.0 / 4.0 ms | 760 | 40");
  expect(text).toContain("40 × ClusterDownError: cluster a is down, waited for up to 0.00 s");
  expect(text).toContain("✓ No acknowledged write was lost or doubled.");
});

test("what must not be is told in place of the good news", () => {
  const text = terminalReport(activeReport("cluster", {}, { rows: ({ "3-500": _, ...rows }) => rows }));
  expect(text).toContain("✗ cluster:a: 1 acknowledged inserts without a row");
  expect(text).not.toContain("✓");
});

test("the page has the same as Markdown, with the picture", () => {
  const text = markdownReport(activeReport(), "blast.svg");
  expect(text).toContain("![Acknowledged writes in time](blast.svg)");
  expect(text).toContain("| a | 2 | 2 (100 %) | 2.00 / 2.00 / 2.00 s | 0 / 0 | 4.0 / 4.0 / 4.0 ms | 360 | 40 |");
  expect(text).toContain("- 40 × ClusterDownError: cluster a is down, waited for up to 0.00 s");
});

const nothing: ClusterCost = { tenants: 0, couldNotWrite: 0, acknowledged: 0, refused: 0, unknown: 0, p99Ms: {} };

test.each<[string, string]>([
  [share(98, 152), "64.5 %"],
  [share(150, 150), "100 %"],
  [share(0, 0), "0 %"],
  [gap(nothing), "–"],
  [losses(nothing), "– / –"],
  [losses({ ...nothing, lost: 0, doubled: 1 }), "0 / 1"],
  [latency({ ...nothing, p99Ms: { before: 4.123, during: 1204.6 } }), "4.1 / 1,205 / – ms"],
])("figures: %s", (figure, text) => {
  expect(figure).toBe(text);
});
