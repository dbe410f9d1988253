import { describe, expect, test } from "vitest";
import { columnsOf, comparisonPage, comparisonTable } from "../../../blast/comparison";
import { activeReport, passiveReport } from "./reports";

describe("the table of a comparison", () => {
  test("has every kind of fault, in it every stack, in it every cluster", () => {
    const table = comparisonTable(columnsOf([passiveReport(), activeReport("worker"), activeReport()]));
    expect(table.split("\n")).toEqual([
      "| killed | stack | tenants | could not write | for how long: median / p95 / max | acknowledged writes lost / doubled | p99 of a write before / during / after |",
      "| --- | --- | --- | --- | --- | --- | --- |",
      "| a worker | active-active | 2 of a, which was hit | 100 % | 2.00 / 2.00 / 2.00 s | 0 / 0 | 4.0 / 4.0 / 4.0 ms |",
      "|  |  | 2 of b | 0 % | – | 0 / 0 | 4.0 / 4.0 / 4.0 ms |",
      "|  |  | all 4 | 50 % | 2.00 / 2.00 / 2.00 s | 0 / 0 | 4.0 / 4.0 / 4.0 ms |",
      "| a whole cluster | active-active | 2 of a, which was hit | 100 % | 2.00 / 2.00 / 2.00 s | 0 / 0 | 4.0 / 4.0 / 4.0 ms |",
      "|  |  | 2 of b | 0 % | – | 0 / 0 | 4.0 / 4.0 / 4.0 ms |",
      "|  |  | all 4 | 50 % | 2.00 / 2.00 / 2.00 s | 0 / 0 | 4.0 / 4.0 / 4.0 ms |",
      "|  | active-passive | all 4 | 50 % | 3.00 / 3.00 / 3.00 s | 0 / 0 | 4.0 / 4.0 / 4.0 ms |",
      "",
      "active-active was 2 clusters of 3 workers (4 tenants, dead for 10 s, 2026-11-26); active-passive was 3 coordinators, 3 plain workers (4 tenants, dead for 10 s, 2026-11-26). Measured on 2 processors and 24 GB.",
    ]);
  });

  test("takes the newest of each kind of fault, in whatever order the reports come", () => {
    const older = activeReport("cluster", { date: "2026-11-25T10:00:00.000Z" }, { silentUntil: 10_500 });
    for (const reports of [[older, activeReport()], [activeReport(), older]]) expect(comparisonTable(columnsOf(reports))).toContain("2.00 / 2.00 / 2.00 s");
    expect(columnsOf([activeReport("worker", { date: "2026-11-24T10:00:00.000Z" }), activeReport()])[0]?.faults).toMatchObject({ worker: { kind: "worker" }, cluster: { kind: "cluster" } });
  });

  test("keeps a stack apart from the same stack with another layout", () => {
    const columns = columnsOf([passiveReport(), passiveReport("cluster", { layout: "3 coordinators, 3 worker groups of 3" }), activeReport()]);
    expect(columns.map(({ heading }) => heading)).toEqual(["active-active", "active-passive: 3 coordinators, 3 plain workers", "active-passive: 3 coordinators, 3 worker groups of 3"]);
  });
});

test("the page has the table and the picture", () => {
  const columns = columnsOf([passiveReport(), activeReport()]);
  const page = comparisonPage(columns, "blast-comparison.svg");
  expect(page).toContain(comparisonTable(columns));
  expect(page).toContain("![Acknowledged writes in time](blast-comparison.svg)");
});
