import { errorKind } from "./errorKind";
import type { FaultEvent, HealedEvent, HistoryEvent } from "./history";
import { firstAfter, longestSilence, type Silence } from "./longestSilence";
import { percentile } from "./percentile";

/** A time in which a shard acknowledged no write, between the answers to two. */
export interface Gap extends Silence {
  readonly shard: string;
}

/** What a fault did to clients. */
export interface FaultEffect extends Omit<FaultEvent, "type"> {
  /** When the stack was at full strength again; absent if it never was. */
  readonly healedAt?: number;
  readonly help: readonly string[];
  readonly problem?: string;
  /** The longest gap of a shard between the fault and its healing; absent if no shard was written to. */
  readonly gap?: Gap;
  /** The longest until the next fault, or the run's end. */
  readonly windowGap?: Gap;
  /** The longest between the last fault's healing and this one: what is usual, in milliseconds. */
  readonly baselineMs?: number;
  /** Requests during it that did not end well, and how, the most frequent first. */
  readonly failedWrites: number;
  /** Of these, statements of one write that is a transaction by itself. */
  readonly failedInserts: number;
  readonly failedReads: number;
  readonly errors: readonly { readonly kind: string; readonly count: number }[];
  /** The slowest attempt to connect during it, in milliseconds; absent if there was none. */
  readonly slowestConnectMs?: number;
}

/** All faults of a kind on a kind of node. */
export interface FaultSummary {
  readonly fault: string;
  readonly role: string;
  readonly times: number;
  /** Of the longest gap of each, in milliseconds, by nearest rank; absent if no shard was written to. */
  readonly gapMs?: { readonly p50: number; readonly p95: number; readonly max: number };
  /** The longest until the next fault, healing aside, and the longest before the fault; absent if there is none. */
  readonly windowMs?: number;
  readonly baselineMs?: number;
  readonly failedWrites: number;
  readonly failedInserts: number;
  readonly failedReads: number;
  readonly slowestConnectMs?: number;
  /** How long until full strength, at the most, in milliseconds; absent if one did not get there. */
  readonly healMs?: number;
}

/** What is known of a shard: when writes were acknowledged, and how long it was tried at all. */
interface Shard {
  readonly acknowledged: number[];
  lastTry: number;
}

interface Failure {
  readonly from: number;
  readonly to: number;
  readonly type: "insert" | "increment" | "transfer" | "read";
  readonly kind: string;
}

/** Finds how long which fault kept writes from being acknowledged, from the events of a history. */
export class Gaps {
  private readonly shards = new Map<string, Shard>();
  private readonly faults: FaultEvent[] = [];
  private readonly healings = new Map<number, HealedEvent>();
  private readonly failures: Failure[] = [];
  private readonly connects: { readonly from: number; readonly to: number }[] = [];
  /** One text for all errors of a kind, however many there are. */
  private readonly kinds = new Map<string, string>();

  add(event: HistoryEvent): void {
    switch (event.type) {
      case "insert":
      case "increment":
      case "transfer":
      case "read": {
        const end = event.at + event.ms;
        if (event.outcome !== "ok") this.failures.push({ from: event.at, to: end, type: event.type, kind: this.kind(event.error ?? event.outcome) });
        // What the other side of a partition takes says nothing of the way that clients have.
        if (event.type === "read" || (event.type === "insert" && event.oldSide !== undefined)) return;
        for (const name of event.type === "transfer" ? event.shards : [event.shard]) {
          const shard = this.shards.get(name) ?? { acknowledged: [], lastTry: 0 };
          this.shards.set(name, shard);
          shard.lastTry = Math.max(shard.lastTry, end);
          if (event.outcome === "ok") shard.acknowledged.push(end);
        }
        return;
      }
      case "connect":
        this.connects.push({ from: event.at, to: event.at + event.ms });
        return;
      case "fault":
        this.faults.push(event);
        return;
      case "healed":
        this.healings.set(event.number, event);
        return;
      case "reference":
      case "schema":
      case "move":
      case "run":
      case "final":
        return;
    }
  }

  /** The effect of each fault, in order of time. To be asked after the last event. */
  effects(): FaultEffect[] {
    for (const { acknowledged } of this.shards.values()) acknowledged.sort((a, b) => a - b);
    this.faults.sort((a, b) => a.at - b.at);
    return this.faults.map((fault, index) => this.effect(fault, this.faults[index - 1], this.faults[index + 1]?.at ?? Number.POSITIVE_INFINITY));
  }

  private effect({ type: _, ...fault }: FaultEvent, previous: FaultEvent | undefined, next: number): FaultEffect {
    const healing = this.healings.get(fault.number);
    const healed = healing?.problem === undefined ? healing?.at : undefined;
    const until = Math.min(healing?.at ?? next, next);
    const names = fault.shards ?? [...this.shards.keys()];
    const calmSince = previous === undefined ? Number.NEGATIVE_INFINITY : (this.healings.get(previous.number)?.at ?? previous.at);
    const gap = this.longest(names, fault.at, until, Number.POSITIVE_INFINITY);
    const windowGap = this.longest(names, fault.at, next, next);
    const baselineMs = this.baseline(names, calmSince, fault.at);
    const during = ({ from, to }: { readonly from: number; readonly to: number }): boolean => to >= fault.at && from <= until;
    const failures = this.failures.filter(during);
    const counts = new Map<string, number>();
    for (const { kind } of failures) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const connects = this.connects.filter(during);
    return {
      ...fault,
      ...(healed !== undefined && { healedAt: healed }),
      help: healing?.help ?? [],
      ...(healing?.problem !== undefined && { problem: healing.problem }),
      ...(gap !== undefined && { gap }),
      ...(windowGap !== undefined && { windowGap }),
      ...(baselineMs !== undefined && { baselineMs }),
      failedWrites: failures.filter(({ type }) => type !== "read").length,
      failedInserts: failures.filter(({ type }) => type === "insert").length,
      failedReads: failures.filter(({ type }) => type === "read").length,
      errors: [...counts].map(([kind, count]) => ({ kind, count })).sort((a, b) => b.count - a.count),
      ...(connects.length > 0 && { slowestConnectMs: connects.reduce((slowest, { from, to }) => Math.max(slowest, to - from), 0) }),
    };
  }

  /** The longest gap of all shards in a time. One that goes on past `cut` counts until then. */
  private longest(names: readonly string[], from: number, until: number, cut: number): Gap | undefined {
    let longest: Gap | undefined;
    for (const name of names) {
      const shard = this.shards.get(name);
      const silence = shard && longestSilence(shard.acknowledged, shard.lastTry, { from, until, cut });
      if (silence !== undefined && silence.ms > (longest?.ms ?? -1)) longest = { shard: name, ...silence };
    }
    return longest;
  }

  /** The longest time between two acknowledged writes that both are in a time; undefined if no shard has two. */
  private baseline(names: readonly string[], from: number, until: number): number | undefined {
    let longest: number | undefined;
    for (const name of names) {
      const acknowledged = this.shards.get(name)?.acknowledged ?? [];
      for (let index = firstAfter(acknowledged, from) + 1; index < acknowledged.length && (acknowledged[index] as number) <= until; index += 1) {
        longest = Math.max(longest ?? 0, (acknowledged[index] as number) - (acknowledged[index - 1] as number));
      }
    }
    return longest;
  }

  private kind(text: string): string {
    const kind = errorKind(text);
    const known = this.kinds.get(kind);
    if (known === undefined) this.kinds.set(kind, kind);
    return known ?? kind;
  }
}

/** Puts faults of one kind on one kind of node together, in the order in which they first happened. */
export function summarize(effects: readonly FaultEffect[]): FaultSummary[] {
  const groups = new Map<string, FaultEffect[]>();
  for (const effect of effects) {
    const key = JSON.stringify([effect.fault, effect.role]);
    groups.set(key, [...(groups.get(key) ?? []), effect]);
  }
  return [...groups.values()].map((group) => {
    const { fault, role } = group[0] as FaultEffect;
    const gaps = group.flatMap(({ gap }) => (gap === undefined ? [] : [gap.ms]));
    const windows = group.flatMap(({ windowGap }) => windowGap?.ms ?? []);
    const baselines = group.flatMap(({ baselineMs }) => baselineMs ?? []);
    const connects = group.flatMap(({ slowestConnectMs }) => slowestConnectMs ?? []);
    const healings = group.flatMap(({ at, healedAt }) => (healedAt === undefined ? [] : [healedAt - at]));
    return {
      fault,
      role,
      times: group.length,
      ...(gaps.length > 0 && { gapMs: { p50: percentile(gaps, 50), p95: percentile(gaps, 95), max: Math.max(...gaps) } }),
      ...(windows.length > 0 && { windowMs: Math.max(...windows) }),
      ...(baselines.length > 0 && { baselineMs: Math.max(...baselines) }),
      failedWrites: group.reduce((sum, { failedWrites }) => sum + failedWrites, 0),
      failedInserts: group.reduce((sum, { failedInserts }) => sum + failedInserts, 0),
      failedReads: group.reduce((sum, { failedReads }) => sum + failedReads, 0),
      ...(connects.length > 0 && { slowestConnectMs: Math.max(...connects) }),
      ...(healings.length === group.length && { healMs: Math.max(...healings) }),
    };
  });
}
