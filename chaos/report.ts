import colors from "picocolors";
import { table } from "../cli/table";
import { VIOLATIONS, type Verdict, type Violation } from "./checker";
import type { FaultEffect, FaultSummary } from "./gaps";
import { inSeconds } from "./inSeconds";
import type { Judgement } from "./judge";
import { markdownTable } from "./markdownTable";

const SUMMARY = ["fault", "node", "times", "usual", "gap p50", "p95", "max", "until next", "failed", "connect", "healed"] as const;
const MOST_ERRORS = 5;

/** A judgement for the terminal. */
export function terminalReport(judgement: Judgement): string {
  const { assessments, summaries, verdict, effects, met } = judgement;
  const paintMet = (cell: string, row: number, column: number): string => {
    if (row === 0) return colors.dim(cell);
    return column !== 3 ? cell : cell.trim() === "met" ? colors.green(cell) : colors.red(cell);
  };
  const header = (cell: string, row: number): string => (row === 0 ? colors.dim(cell) : cell);
  const missed = assessments.filter((assessment) => !assessment.met).length;
  return [
    colors.bold(heading(judgement)),
    ...(summaries.length === 0 ? [] : ["", ...table([SUMMARY, ...summaries.map(summaryRow)], header)]),
    "",
    ...table([["objective", "limit", "found", ""], ...assessments.map((assessment) => [assessment.objective, assessment.limit, assessment.figure, assessment.met ? "met" : "missed"])], paintMet),
    ...section("", violationLines(verdict)),
    ...section("Errors that clients saw:", errorLines(effects)),
    "",
    `${requestLine(verdict)} ${readsLine(verdict)}`,
    met ? `${colors.green("✓")} Every objective was met.` : `${colors.red("✗")} ${missed} of ${assessments.length} objectives ${missed === 1 ? "was" : "were"} missed.`,
  ].join("\n");
}

/** The same as Markdown. `pictures` are paths of the pictures, relative to where the text is kept, with what they show. */
export function markdownReport(judgement: Judgement, pictures: Readonly<Record<string, string>> = {}): string {
  const { assessments, summaries, verdict, effects, run } = judgement;
  const began = run === undefined ? [] : [`Began ${run.startedAt}, seed ${run.seed}, ${run.shards.length} shards.`, ""];
  return [
    `# ${heading(judgement)}`,
    "",
    ...began,
    `${requestLine(verdict)} ${readsLine(verdict)}`,
    "",
    ...Object.entries(pictures).flatMap(([shown, file]) => [`![${shown}](${file})`, ""]),
    ...(summaries.length === 0 ? [] : ["## Faults", "", ...markdownTable([SUMMARY, ...summaries.map(summaryRow)]), ""]),
    "## Objectives",
    "",
    ...markdownTable([["objective", "limit", "found", ""], ...assessments.map(({ objective, limit, figure, met }) => [objective, limit, figure, met ? "met" : "**missed**"])]),
    ...section("## Violations", violationLines(verdict).map((line) => line.replace(/^( *)/, "$1- "))),
    ...section("## Errors that clients saw", errorLines(effects).map((line) => `- ${line}`)),
    "",
  ].join("\n");
}

function heading({ run, met }: Judgement): string {
  return `Chaos on ${run?.stack ?? "a stack"}: ${met ? "every objective met" : "objectives missed"}`;
}

function summaryRow({ fault, role, times, gapMs, windowMs, baselineMs, failedReads, failedWrites, slowestConnectMs, healMs }: FaultSummary): string[] {
  const gap = gapMs === undefined ? ["-", "-", "-"] : [gapMs.p50, gapMs.p95, gapMs.max].map(inSeconds);
  const known = (ms: number | undefined): string => (ms === undefined ? "-" : inSeconds(ms));
  return [fault, role, String(times), known(baselineMs), ...gap, known(windowMs), String(failedReads + failedWrites), known(slowestConnectMs), healMs === undefined ? "no" : `${(healMs / 1000).toFixed(1)} s`];
}

/** Every violation with its first cases. */
function violationLines({ violations }: Verdict): string[] {
  return (Object.entries(violations) as [Violation, Verdict["violations"][Violation]][]).flatMap(([violation, { count, examples }]) => [
    ...(count === 0 ? [] : [`${count} ${VIOLATIONS[violation]}${count > examples.length ? `, the first ${examples.length} of them` : ""}:`]),
    ...examples.map(({ key, client, at, sentence }) => `  ${[key, ...(client === undefined ? [] : [`client ${client}`]), ...(at === undefined ? [] : [`at ${inSeconds(at)}`])].join(", ")}: ${sentence}.`),
  ]);
}

/** The most frequent errors of all faults together. */
function errorLines(effects: readonly FaultEffect[]): string[] {
  const counts = new Map<string, number>();
  for (const { kind, count } of effects.flatMap(({ errors }) => errors)) counts.set(kind, (counts.get(kind) ?? 0) + count);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const more = sorted.length - MOST_ERRORS;
  return [...sorted.slice(0, MOST_ERRORS).map(([kind, count]) => `${count} × ${kind}`), ...(more > 0 ? [`and ${more} other kinds`] : [])];
}

function requestLine({ requests }: Verdict): string {
  const { insert, increment, transfer, reference, schema, move, read } = requests;
  const all = Object.values(requests);
  const sum = (outcome: "ok" | "refused" | "unknown"): number => all.reduce((total, counts) => total + counts[outcome], 0);
  const also = [[reference.ok, "writes to reference tables"], [schema.ok, "schema changes"], [move.ok, "moves of shards"]] as const;
  const more = also.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]));
  return `${[`${insert.ok} inserts`, `${increment.ok} increments`, `${transfer.ok} transfers`, ...more].join(", ")} and ${read.ok} reads were acknowledged; ${sum("refused")} requests were refused, and the outcome of ${sum("unknown")} is unknown.`;
}

/** What reads did not see that may be so. */
function readsLine({ staleness, late }: Verdict): string {
  const standbys = staleness.increments === 0 ? "No read from a standby was behind." : `Reads from standbys were up to ${Math.round(staleness.ms)} ms and ${staleness.increments} increments behind.`;
  const leader = late.reads === 0 ? "" : ` ${late.reads} reads at the leader did not see yet, for up to ${Math.round(late.ms)} ms, what was acknowledged while a fault lasted.`;
  return standbys + leader;
}

function section(title: string, content: readonly string[]): string[] {
  return content.length === 0 ? [] : ["", ...(title === "" ? [] : [title, ...(title.startsWith("#") ? [""] : [])]), ...content];
}
