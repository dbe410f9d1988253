import type { FaultEvent, FinalEvent, HealedEvent, HistoryEvent, IncrementEvent, InsertEvent } from "./history";

/** What one fault came to. */
export interface FaultSummary {
  readonly number: number;
  readonly fault: string;
  readonly role: string;
  readonly targets: readonly string[];
  /** The longest time without an acknowledged write of a shard that the fault may stop, in milliseconds. */
  readonly gapMs: number;
  /** Writes that were refused, or whose end is unknown. */
  readonly errors: number;
  /** The longest attempt to connect, in milliseconds. */
  readonly connectMs: number;
  /** From the fault until the stack was at full strength, in milliseconds. */
  readonly wholeMs: number;
  readonly help: readonly string[];
  /** What was lacking last before it was. */
  readonly waitedFor?: string;
  readonly problem?: string;
}

/** What a run came to. */
export interface Summary {
  readonly stack: string;
  readonly seed: number;
  readonly writes: number;
  readonly faults: readonly FaultSummary[];
  /** Acknowledged, and not there. */
  readonly lost: readonly string[];
  /** There more than once. */
  readonly doubled: readonly string[];
  /** Counters that do not hold what was acknowledged. */
  readonly miscounted: readonly string[];
  readonly differing: Readonly<Record<string, string>>;
  /** Whether everything was read back. */
  readonly complete: boolean;
}

type Write = InsertEvent | IncrementEvent;

const isWrite = (event: HistoryEvent): event is Write => event.type === "insert" || event.type === "increment";

/** What a fault came to, from a history that may go on after it. */
export function summarizeFault(events: readonly HistoryEvent[], fault: FaultEvent, healed: HealedEvent): FaultSummary {
  const { number, fault: name, role, targets, at } = fault;
  const during = (event: { at: number; ms: number }): boolean => event.at + event.ms >= at && event.at <= healed.at;
  const writes = events.filter(isWrite);
  const connects = events.flatMap((event) => (event.type === "connect" && during(event) ? [event.ms] : []));
  const shards = fault.shards ?? events.flatMap((event) => (event.type === "run" ? event.shards : []));
  return {
    number,
    fault: name,
    role,
    targets,
    gapMs: Math.max(0, ...shards.map((shard) => longestGap(writes.filter((write) => write.shard === shard && write.outcome === "ok").map((write) => write.at + write.ms), at, healed.at))),
    errors: writes.filter((write) => write.outcome !== "ok" && during(write)).length,
    connectMs: connects.reduce((longest, ms) => Math.max(longest, ms), 0),
    wholeMs: healed.at - at,
    help: healed.help,
    ...(healed.waitedFor !== undefined && { waitedFor: healed.waitedFor }),
    ...(healed.problem !== undefined && { problem: healed.problem }),
  };
}

/** The longest time between two moments, or from one of them to the end, that reaches into [from, to]. */
function longestGap(moments: readonly number[], from: number, to: number): number {
  const ordered = [...moments].sort((a, b) => a - b);
  const before = ordered.filter((moment) => moment < from).at(-1) ?? from;
  const inside = ordered.filter((moment) => moment >= from && moment <= to);
  const after = ordered.find((moment) => moment > to) ?? to;
  const points = [before, ...inside, after];
  return points.slice(1).reduce((longest, moment, index) => Math.max(longest, moment - (points[index] ?? moment)), 0);
}

/** What a whole history came to. */
export function summarize(events: readonly HistoryEvent[]): Summary {
  const run = events.find((event) => event.type === "run");
  const final = events.find((event): event is FinalEvent => event.type === "final");
  const healed = new Map(events.flatMap((event) => (event.type === "healed" ? [[event.number, event]] : [])));
  const last = events.reduce((latest, event) => Math.max(latest, event.at), 0);
  const faults = events.flatMap((event) =>
    event.type === "fault" ? [summarizeFault(events, event, healed.get(event.number) ?? { type: "healed", number: event.number, at: last, help: [], problem: "the run ended before it was healed" })] : [],
  );
  const acknowledged = events.flatMap((event) => (event.type === "insert" && event.outcome === "ok" ? [event.key] : []));
  return {
    stack: run?.stack ?? "",
    seed: run?.seed ?? 0,
    writes: events.filter((event) => isWrite(event) && event.outcome === "ok").length,
    faults,
    lost: final === undefined ? [] : acknowledged.filter((key) => final.rows[key] === undefined),
    doubled: final === undefined ? [] : Object.entries(final.rows).flatMap(([key, rows]) => (rows > 1 ? [key] : [])),
    miscounted: final === undefined ? [] : miscounted(events, final),
    differing: final?.differing ?? {},
    complete: final !== undefined,
  };
}

/** A counter holds at least what was acknowledged, and at most that and what may have been done. */
function miscounted(events: readonly HistoryEvent[], { counters }: FinalEvent): string[] {
  const bounds = new Map<string, { least: number; most: number }>();
  for (const event of events) {
    if (event.type !== "increment") continue;
    const { least, most } = bounds.get(event.counter) ?? { least: 0, most: 0 };
    bounds.set(event.counter, { least: least + (event.outcome === "ok" ? 1 : 0), most: most + (event.outcome === "refused" ? 0 : 1) });
  }
  return [...bounds].flatMap(([counter, { least, most }]) => {
    const value = counters[counter];
    return value !== undefined && value >= least && value <= most ? [] : [`${counter} is ${value}, and should be from ${least} to ${most}`];
  });
}

/** Whether a run is as it should be. */
export function isGood({ faults, lost, doubled, miscounted: counters, differing, complete }: Summary): boolean {
  return complete && faults.every(({ problem }) => problem === undefined) && [lost, doubled, counters, Object.keys(differing)].every(({ length }) => length === 0);
}
