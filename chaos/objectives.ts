import { VIOLATIONS, type Verdict, type Violation } from "./checker";
import type { FaultSummary } from "./gaps";
import { inSeconds } from "./inSeconds";

/** What a stack's user asks for. */
export interface Objectives {
  /** The longest time that a shard may take no write after a fault, in milliseconds. Faults of the whole stack have limits of their own. */
  readonly rtoMs?: number;
  /** How many acknowledged writes may be lost. */
  readonly rpo: number;
}

/** What one fault on one kind of node may cost. */
export interface Limit {
  readonly fault: string;
  readonly role: string;
  /** The longest gap of 19 in 20 faults, in milliseconds. */
  readonly ms: number;
  /** Writes may wait, but none may fail. A SELECT, also one with which a transaction begins, finds no lock to wait for, and may. */
  readonly noErrors?: boolean;
}

/** An objective, and how near a run came to it. */
export interface Assessment {
  readonly objective: string;
  readonly limit: string;
  readonly figure: string;
  readonly met: boolean;
}

/** Judged by the objective for lost writes. */
const LOSSES: readonly Violation[] = ["lostInserts", "lostUpdates", "lostTransfers", "lostOldSide", "lostReferences", "rewritten"];

/** Compares what a run showed with what was asked of it: losses first, then times, then everything that must not happen at all. */
export function assess(verdict: Verdict, summaries: readonly FaultSummary[], { rtoMs, rpo }: Objectives, limits: readonly Limit[]): Assessment[] {
  const assessments: Assessment[] = [
    { objective: "acknowledged writes lost", limit: String(rpo), figure: verdict.violations.incomplete.count > 0 ? "unknown" : String(verdict.lostWrites), met: verdict.violations.incomplete.count === 0 && verdict.lostWrites <= rpo },
  ];
  const single = summaries.filter(({ role }) => role !== "stack");
  if (rtoMs !== undefined && single.length > 0) {
    const [longest] = [...single].sort((a, b) => maximum(b) - maximum(a)) as [FaultSummary];
    assessments.push({ objective: `longest gap of any fault (${longest.fault} of ${longest.role})`, limit: known(rtoMs), figure: known(maximum(longest)), met: maximum(longest) <= rtoMs });
  }
  for (const summary of summaries) {
    const { fault, role, gapMs, failedInserts } = summary;
    const limit = limits.find((candidate) => candidate.fault === fault && candidate.role === role);
    if (limit === undefined) continue;
    assessments.push({
      objective: `gap of ${fault} of ${role}, p95`,
      limit: inSeconds(limit.ms),
      figure: gapMs === undefined ? "nothing was written" : inSeconds(gapMs.p95),
      met: gapMs !== undefined && gapMs.p95 <= limit.ms,
    });
    if (limit.noErrors === true) assessments.push({ objective: `failed inserts by ${fault} of ${role}`, limit: "0", figure: String(failedInserts), met: failedInserts === 0 });
  }
  for (const [violation, { count }] of Object.entries(verdict.violations) as [Violation, Verdict["violations"][Violation]][]) {
    if (!LOSSES.includes(violation)) assessments.push({ objective: VIOLATIONS[violation], limit: "0", figure: String(count), met: count === 0 });
  }
  return assessments;
}

/** The longest gap of a kind of fault; endless if it cannot be told. */
function maximum({ gapMs }: FaultSummary): number {
  return gapMs?.max ?? Number.POSITIVE_INFINITY;
}

function known(ms: number): string {
  return Number.isFinite(ms) ? inSeconds(ms) : "unknown";
}
