import { Checker, VIOLATIONS, type Example, type Violation } from "../chaos/checker";
import { errorKind } from "../chaos/errorKind";
import type { FaultEvent, FinalEvent, HealedEvent, HistoryEvent, InsertEvent, RunEvent } from "../chaos/history";
import { longestSilence } from "../chaos/longestSilence";
import { percentile } from "../chaos/percentile";
import { isOfRouter } from "./routerError";
import { clusterOf } from "./tenants";
import { timelineOf, type Timeline } from "./timeline";

/** The first writes of a run open the connections: how long they take says nothing. */
export const WARM_UP_MS = 2000;
/** A tenant could not write if a write of it failed, or was not answered for so long. */
export const UNANSWERED_MS = 1000;
/** No error of the router may keep its caller waiting for longer. */
export const ROUTER_ERROR_MS = 1000;

/** What a fault cost the tenants of one cluster, or of all. */
export interface ClusterCost {
  readonly tenants: number;
  /** Tenants that could not write while the stack was not whole: see {@link UNANSWERED_MS}. */
  readonly couldNotWrite: number;
  /** For how long each of these did not have a write acknowledged, at the longest, from the fault on; in milliseconds, by nearest rank. Absent if there are none. */
  readonly gapMs?: { readonly p50: number; readonly p95: number; readonly max: number };
  /** The same of all tenants, whose pauses are in it; absent if nobody wrote. */
  readonly longestGapMs?: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
  /** Acknowledged writes without a row; absent if nothing was read back, as is the next. */
  readonly lost?: number;
  /** Keys with more than one row, in whichever clusters. */
  readonly doubled?: number;
  /** How long 99 in 100 acknowledged writes took at the most, in milliseconds: before the fault, until the stack was whole again, after that. Absent where there was none. */
  readonly p99Ms: { readonly before?: number; readonly during?: number; readonly after?: number };
}

/** Errors of one kind. */
export interface ErrorCount {
  readonly kind: string;
  readonly count: number;
  /** How long a client waited for one at the most. */
  readonly longestMs: number;
  readonly ofRouter: boolean;
}

/** What one fault cost. */
export interface FaultCost {
  /** What was killed, as a user names it. */
  readonly victim: string;
  readonly kind: string;
  /** The cluster that it belongs to. */
  readonly cluster: string;
  /** The containers that were killed. */
  readonly targets: readonly string[];
  readonly startedAt: string;
  /** The mean pause of a tenant between an answer and its next write. */
  readonly pauseMs: number;
  /** How long after the fault the dead were started again; absent if they never were. */
  readonly revivedAfterMs?: number;
  /** How long after the fault the stack was whole again; absent if it never was. */
  readonly wholeAfterMs?: number;
  readonly clusters: Readonly<Record<string, ClusterCost>>;
  readonly all: ClusterCost;
  /** Errors that clients were told, the most frequent first. */
  readonly errors: readonly ErrorCount[];
  /** What must not be, in sentences without a full stop; none if nothing is wrong. */
  readonly troubles: readonly string[];
  readonly timeline: Timeline;
}

/** The events of a history that say what happened when. */
interface Course {
  readonly run: RunEvent;
  readonly fault: FaultEvent;
  readonly healed: HealedEvent | undefined;
  readonly final: FinalEvent | undefined;
  readonly inserts: readonly InsertEvent[];
}

/**
 * Judges the history of one fault.
 *
 * @throws Error if there was no fault in it.
 */
export function costOf(events: readonly HistoryEvent[], { name, kind, cluster }: { readonly name: string; readonly kind: string; readonly cluster: string }): FaultCost {
  const course = courseOf(events);
  const { run, fault, healed, inserts } = course;
  const clusters = [...new Set(run.shards.map(clusterOf))].sort();
  const errors = errorsOf(inserts);
  return {
    victim: name,
    kind,
    cluster,
    targets: fault.targets,
    startedAt: run.startedAt,
    pauseMs: run.intervalMs,
    ...(healed?.undoneAt !== undefined && { revivedAfterMs: Math.round(healed.undoneAt - fault.at) }),
    ...(healed !== undefined && healed.problem === undefined && { wholeAfterMs: Math.round(healed.at - fault.at) }),
    clusters: Object.fromEntries(clusters.map((one) => [one, clusterCost(course, (tenant) => clusterOf(tenant) === one)])),
    all: clusterCost(course, () => true),
    errors,
    troubles: [...violationsOf(events), ...lateErrors(errors)],
    timeline: timelineOf(inserts, clusters, run.at, fault.at),
  };
}

function courseOf(events: readonly HistoryEvent[]): Course {
  const run = events.find((event) => event.type === "run");
  const fault = events.find((event) => event.type === "fault");
  if (run === undefined || fault === undefined) throw new Error("a history without a fault has no cost");
  return {
    run,
    fault,
    healed: events.find((event) => event.type === "healed"),
    final: events.find((event) => event.type === "final"),
    inserts: events.filter((event) => event.type === "insert"),
  };
}

function clusterCost({ run, fault, healed, final, inserts: all }: Course, has: (tenant: string) => boolean): ClusterCost {
  const names = run.shards.filter(has);
  const inserts = all.filter(({ shard }) => has(shard));
  const until = healed?.at ?? Number.POSITIVE_INFINITY;
  const byTenant = new Map<string, InsertEvent[]>(names.map((name) => [name, []]));
  for (const insert of inserts) byTenant.get(insert.shard)?.push(insert);
  const gaps = [...byTenant.values()].map((own) => ({ ms: gapOf(own, fault.at, until), stopped: own.some((insert) => inVain(insert, fault.at, until)) }));
  const stopped = gaps.filter((gap) => gap.stopped);
  const stoppedMs = stopped.flatMap(({ ms }) => ms ?? []);
  const longest = gaps.flatMap(({ ms }) => ms ?? []);
  const acknowledged = inserts.filter(({ outcome }) => outcome === "ok");
  const p99 = (from: number, to: number): number | undefined => {
    const times = acknowledged.flatMap(({ at, ms }) => (at >= from && at < to ? [ms] : []));
    return times.length === 0 ? undefined : percentile(times, 99);
  };
  const [before, during, after] = [p99(run.at + WARM_UP_MS, fault.at), p99(fault.at, until), p99(until, Number.POSITIVE_INFINITY)];
  const rowsOf = (key: string): number => (final !== undefined && Object.hasOwn(final.rows, key) ? (final.rows[key] as number) : 0);
  return {
    tenants: names.length,
    couldNotWrite: stopped.length,
    ...(stoppedMs.length > 0 && { gapMs: { p50: percentile(stoppedMs, 50), p95: percentile(stoppedMs, 95), max: percentile(stoppedMs, 100) } }),
    ...(longest.length > 0 && { longestGapMs: percentile(longest, 100) }),
    acknowledged: acknowledged.length,
    refused: inserts.filter(({ outcome }) => outcome === "refused").length,
    unknown: inserts.filter(({ outcome }) => outcome === "unknown").length,
    ...(final !== undefined && { lost: acknowledged.filter(({ key }) => rowsOf(key) === 0).length, doubled: inserts.filter(({ key }) => rowsOf(key) > 1).length }),
    p99Ms: { ...(before !== undefined && { before }), ...(during !== undefined && { during }), ...(after !== undefined && { after }) },
  };
}

/** The longest time without an acknowledged write of a tenant. It does not begin before the fault: until then the tenant only paused. */
function gapOf(inserts: readonly InsertEvent[], from: number, until: number): number | undefined {
  const ends = inserts.map(({ at, ms, outcome }) => ({ end: at + ms, outcome }));
  const acknowledged = ends.flatMap(({ end, outcome }) => (outcome === "ok" && end > from ? [end] : []));
  const lastTry = ends.reduce((latest, { end }) => Math.max(latest, end), 0);
  return longestSilence([from, ...acknowledged.sort((one, other) => one - other)], lastTry, { from, until })?.ms;
}

/** Whether a write failed or waited, in a time. */
function inVain({ at, ms, outcome }: InsertEvent, from: number, until: number): boolean {
  return at + ms >= from && at <= until && (outcome !== "ok" || ms > UNANSWERED_MS);
}

function errorsOf(inserts: readonly InsertEvent[]): ErrorCount[] {
  const kinds = new Map<string, ErrorCount>();
  for (const { outcome, error = outcome, ms } of inserts) {
    if (outcome === "ok") continue;
    const kind = errorKind(error);
    const known = kinds.get(kind);
    kinds.set(kind, { kind, count: (known?.count ?? 0) + 1, longestMs: Math.max(known?.longestMs ?? 0, ms), ofRouter: isOfRouter(error) });
  }
  return [...kinds.values()].sort((one, other) => other.count - one.count);
}

/** What the checker of histories finds: lost, doubled and unasked rows, placements that differ, a stack that is not whole, a history that was not read back. */
function violationsOf(events: readonly HistoryEvent[]): string[] {
  const checker = new Checker();
  for (const event of events) checker.add(event);
  const { violations } = checker.verdict();
  return (Object.entries(violations) as [Violation, { readonly count: number; readonly examples: readonly Example[] }][]).flatMap(([violation, { count, examples: [first] }]) =>
    count === 0 ? [] : [`${count} ${VIOLATIONS[violation]}${first === undefined ? "" : `, the first of them ${first.key}: ${first.sentence}`}`],
  );
}

function lateErrors(errors: readonly ErrorCount[]): string[] {
  const late = errors.filter(({ ofRouter, longestMs }) => ofRouter && longestMs > ROUTER_ERROR_MS);
  return late.map(({ kind, longestMs }) => `an error of the router came after ${(longestMs / 1000).toFixed(2)} s, and should within ${ROUTER_ERROR_MS / 1000} s: ${kind}`);
}
