import { markdownTable } from "../chaos/markdownTable";
import type { FaultCost } from "./cost";
import { gap, latency, losses, share } from "./figures";
import { legend, type BlastReport } from "./report";
import { KINDS } from "./victims";

/** What one stack paid for each kind of fault. */
export interface Column {
  /** The stack, and how it survives where several of one name are compared. */
  readonly heading: string;
  readonly report: Omit<BlastReport, "faults" | "sound">;
  readonly faults: Readonly<Record<string, FaultCost>>;
}

const HEADER = ["killed", "stack", "tenants", "could not write", "for how long: median / p95 / max", "acknowledged writes lost / doubled", "p99 of a write before / during / after"] as const;
const KILLED: Readonly<Record<string, string>> = { worker: "a worker", coordinator: "a coordinator", cluster: "a whole cluster" };

/** Puts reports beside one another: of each stack, as it was laid out, the newest fault of each kind. */
export function columnsOf(reports: readonly BlastReport[]): Column[] {
  const columns = new Map<string, { report: BlastReport; faults: Record<string, FaultCost> }>();
  // Later ones replace earlier ones.
  for (const report of [...reports].sort((one, other) => one.date.localeCompare(other.date))) {
    const key = JSON.stringify([report.stack, report.layout]);
    const faults = Object.fromEntries(report.faults.map((fault) => [fault.kind, fault]));
    columns.set(key, { report, faults: { ...columns.get(key)?.faults, ...faults } });
  }
  const all = [...columns.values()].sort((one, other) => `${one.report.stack} ${one.report.layout}`.localeCompare(`${other.report.stack} ${other.report.layout}`));
  return all.map(({ report: { faults: _, sound: __, ...report }, faults }) => {
    const alone = all.filter((other) => other.report.stack === report.stack).length === 1;
    return { heading: alone ? report.stack : `${report.stack}: ${report.layout}`, report, faults };
  });
}

/** The table of a comparison in Markdown, and below it what was measured and where. */
export function comparisonTable(columns: readonly Column[]): string {
  const rows = KINDS.flatMap((kind) => {
    const own = columns.flatMap((column) => {
      const fault = column.faults[kind];
      return fault === undefined ? [] : stackRows(fault).map((cells, index) => [index === 0 ? column.heading : "", ...cells]);
    });
    return own.map((cells, index) => [index === 0 ? (KILLED[kind] ?? kind) : "", ...cells]);
  });
  return [...markdownTable([HEADER, ...rows]), "", provenance(columns)].join("\n");
}

/** The whole page. `picture` is the path of the picture, relative to where the text is kept. */
export function comparisonPage(columns: readonly Column[], picture: string): string {
  return ["# What a failure costs, stack by stack", "", comparisonTable(columns), "", ...legend().flatMap((line) => [line, ""]), `![Acknowledged writes in time](${picture})`, ""].join("\n");
}

function stackRows({ cluster: hit, clusters, all }: FaultCost): string[][] {
  const each = Object.entries(clusters).map(([cluster, cost]) => ({ tenants: `${cost.tenants} of ${cluster}${cluster === hit ? ", which was hit" : ""}`, cost }));
  return (each.length > 1 ? [...each, { tenants: `all ${all.tenants}`, cost: all }] : [{ tenants: `all ${all.tenants}`, cost: all }]).map(({ tenants, cost }) => [
    tenants,
    share(cost.couldNotWrite, cost.tenants),
    gap(cost),
    losses(cost),
    latency(cost),
  ]);
}

/** What was measured, and where: `active-active is 2 clusters of 3 workers, … (300 tenants, dead for 10 s, 2026-11-26)`. */
function provenance(columns: readonly Column[]): string {
  const stacks = columns.map(({ report: { stack, layout, tenants, deadMs, date } }) => `${stack} was ${layout} (${tenants} tenants, dead for ${deadMs / 1000} s, ${date.slice(0, 10)})`);
  const machines = [...new Set(columns.map(({ report }) => report.machine))];
  return `${stacks.join("; ")}. Measured on ${machines.join(" and on ")}.`;
}
