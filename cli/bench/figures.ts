import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import * as path from "node:path";
import colors from "picocolors";
import { PROJECT_DIRECTORY } from "../project";
import { table } from "../table";

/** A figure that was measured, with what it has to be. */
export interface Figure {
  readonly what: string;
  /** The measured value, in `unit`. */
  readonly found: number;
  readonly unit: string;
  /** The limit, in `unit`; absent where there is none. */
  readonly limit?: number;
  /** Whether it must be at most the limit, or at least. @default "most" */
  readonly at?: "most" | "least";
  /** What else a reader should know: the number of samples, the range. */
  readonly note?: string;
}

/** Whether a figure is as it has to be. */
export function isMet({ found, limit, at = "most" }: Figure): boolean {
  return limit === undefined || (at === "most" ? found <= limit : found >= limit);
}

/** Prints figures as a table or as JSON, and keeps them in `reports/`. The process ends with 1 where one is missed. */
export function tell(name: string, figures: readonly Figure[], json: boolean): void {
  const [processor] = cpus();
  const report = {
    date: new Date().toISOString(),
    machine: { processors: cpus().length, model: processor?.model.trim() ?? "", memoryGB: Math.round(totalmem() / 1024 ** 3), node: process.versions.node },
    figures: figures.map((figure) => ({ ...figure, met: isMet(figure) })),
  };
  const file = path.join("reports", `bench-${name}.json`);
  mkdirSync(path.join(PROJECT_DIRECTORY, "reports"), { recursive: true });
  writeFileSync(path.join(PROJECT_DIRECTORY, file), `${JSON.stringify(report, undefined, 2)}\n`);
  console.log(json ? JSON.stringify(report, undefined, 2) : [...figureRows(figures), "", `In ${file}, too.`].join("\n"));
  if (!figures.every(isMet)) process.exitCode = 1;
}

/** The table of figures, line by line. */
export function figureRows(figures: readonly Figure[]): string[] {
  const number = (value: number): string => value.toLocaleString("en-US", { maximumFractionDigits: Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0 });
  const rows = figures.map((figure) => {
    const { what, found, unit, limit, at = "most", note = "" } = figure;
    return [what, `${number(found)} ${unit}`, limit === undefined ? "" : `${at === "most" ? "≤" : "≥"} ${number(limit)} ${unit}`, limit === undefined ? "" : isMet(figure) ? "met" : "missed", note];
  });
  const paint = (cell: string, row: number, column: number): string => {
    if (row === 0) return colors.dim(cell);
    return column === 3 ? (cell.trim() === "missed" ? colors.red(cell) : colors.green(cell)) : cell;
  };
  return table([["figure", "found", "limit", "", ""], ...rows], paint);
}

/** The value that so many percent of the values do not exceed (nearest rank). */
export function percentileOf(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}
