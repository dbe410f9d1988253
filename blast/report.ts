import colors from "picocolors";
import { table } from "../cli/table";
import { markdownTable } from "../chaos/markdownTable";
import type { ErrorCount, FaultCost } from "./cost";
import { gap, latency, losses, share } from "./figures";

/** What a run of `npm run blast` found, as it is kept. */
export interface BlastReport {
  /** Tells such a file from others. */
  readonly kind: "blast";
  readonly stack: string;
  /** How the stack survives, in some words. */
  readonly layout: string;
  /** When it was written, in ISO's form. */
  readonly date: string;
  /** Where it was measured, in some words. */
  readonly machine: string;
  readonly tenants: number;
  /** How long what was killed stayed dead. */
  readonly deadMs: number;
  readonly faults: readonly FaultCost[];
  /** Whether nothing was found that must not be. */
  readonly sound: boolean;
}

const COLUMNS = ["cluster", "tenants", "could not write", "longest gap: median / p95 / max", "lost / doubled", "p99 before / during / after", "acknowledged", "failed"] as const;
const MOST_ERRORS = 6;

/** A report for the terminal. */
export function terminalReport(report: BlastReport): string {
  const paint = (cell: string, row: number): string => (row === 0 ? colors.dim(cell) : cell);
  const troubles = report.faults.flatMap((fault) => fault.troubles.map((trouble) => `${fault.victim}: ${trouble}.`));
  return [
    colors.bold(heading(report)),
    ...report.faults.flatMap((fault) => ["", faultLine(fault), "", ...table([COLUMNS, ...rows(fault)], paint), ...errorLines(fault).map((line) => `  ${line}`)]),
    "",
    ...(troubles.length === 0 ? [`${colors.green("✓")} No acknowledged write was lost or doubled.`] : troubles.map((trouble) => `${colors.red("✗")} ${trouble}`)),
  ].join("\n");
}

/** The same as Markdown. `picture` is the path of the picture, relative to where the text is kept. */
export function markdownReport(report: BlastReport, picture: string): string {
  return [
    `# ${heading(report)}`,
    "",
    `${report.layout}. ${report.date}, on ${report.machine}.`,
    "",
    ...legend().flatMap((line) => [line, ""]),
    `![Acknowledged writes in time](${picture})`,
    "",
    ...report.faults.flatMap((fault) => [
      `## ${fault.victim}`,
      "",
      `${faultLine(fault)}.`,
      "",
      ...markdownTable([COLUMNS, ...rows(fault)]),
      "",
      ...bullets("Errors that clients were told:", errorLines(fault)),
      ...bullets("What must not be:", fault.troubles),
    ]),
  ].join("\n");
}

/** What the figures mean. */
export function legend(): string[] {
  return [
    "A tenant could not write if a write of it failed, or was not answered within 1 s, between the fault and the moment at which the stack was whole again. The gap is the longest time for which such a tenant had no write acknowledged, from the fault on. " +
      "p99 is of acknowledged writes.",
  ];
}

function heading({ stack, tenants, deadMs }: BlastReport): string {
  return `What a failure costs on ${stack}: ${tenants} tenants write, what is killed stays dead for ${deadMs / 1000} s`;
}

function faultLine({ victim, targets, revivedAfterMs, wholeAfterMs }: FaultCost): string {
  const killed = targets.length > 3 ? `${targets.length} containers` : targets.join(", ");
  const after = (ms: number): string => `after ${(ms / 1000).toFixed(1)} s`;
  return `${victim}: killed ${killed}, ${revivedAfterMs === undefined ? "never started again" : `started again ${after(revivedAfterMs)}`}, ${wholeAfterMs === undefined ? "not whole again" : `whole again ${after(wholeAfterMs)}`}`;
}

function rows({ clusters, all }: FaultCost): string[][] {
  const each = Object.entries(clusters);
  return (each.length > 1 ? [...each, ["all", all] as const] : each).map(([cluster, cost]) => [
    cluster,
    String(cost.tenants),
    `${cost.couldNotWrite} (${share(cost.couldNotWrite, cost.tenants)})`,
    gap(cost),
    losses(cost),
    latency(cost),
    cost.acknowledged.toLocaleString("en-US"),
    (cost.refused + cost.unknown).toLocaleString("en-US"),
  ]);
}

function errorLines({ errors }: FaultCost): string[] {
  const more = errors.length - MOST_ERRORS;
  const line = ({ kind, count, longestMs }: ErrorCount): string => `${count.toLocaleString("en-US")} × ${kind}, waited for up to ${(longestMs / 1000).toFixed(2)} s`;
  return [...errors.slice(0, MOST_ERRORS).map(line), ...(more > 0 ? [`and ${more} other kinds`] : [])];
}

function bullets(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, "", ...lines.map((line) => `- ${line}`), ""];
}
