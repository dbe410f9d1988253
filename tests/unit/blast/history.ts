import type { FinalEvent, HealedEvent, HistoryEvent, InsertEvent } from "../../../chaos/history";
import { fault, final, healed, insert, run } from "../chaos/events";

/** A run that is planted: two tenants in each of two clusters write every 100 ms; those of cluster a cannot for a while. */
export interface Planted {
  /** When the fault is, and until when the tenants of cluster a are told errors. */
  readonly faultAt: number;
  readonly silentUntil: number;
  readonly wholeAt: number;
  readonly endsAt: number;
  /** What a client of cluster a is told meanwhile. */
  readonly told: Partial<InsertEvent>;
  readonly healed: Partial<HealedEvent>;
  /** Changes what is read back. */
  readonly rows: (rows: Record<string, number>) => Record<string, number>;
  readonly final: Partial<FinalEvent> | undefined;
}

export const TENANTS = ["a/1", "a/2", "b/3", "b/4"];

export function planted(changes: Partial<Planted> = {}): HistoryEvent[] {
  const { faultAt, silentUntil, wholeAt, endsAt, told, healed: end, rows: changed, final: last }: Planted = {
    faultAt: 10_000, silentUntil: 12_000, wholeAt: 15_000, endsAt: 20_000, told: { outcome: "refused", error: "ClusterDownError: cluster a is down" }, healed: {}, rows: (rows) => rows, final: {}, ...changes,
  };
  const rows: Record<string, number> = {};
  const events: HistoryEvent[] = [];
  for (let at = 0; at < endsAt; at += 100) {
    TENANTS.forEach((shard, index) => {
      const stopped = shard.startsWith("a/") && at >= faultAt && at < silentUntil;
      const key = `${index + 1}-${at}`;
      if (!stopped) rows[key] = 1;
      events.push(insert(key, { client: index + 1, shard, at, ms: 4, ...(stopped && told) }));
    });
  }
  return [
    run({ stack: "active-active", shards: TENANTS, intervalMs: 96 }),
    ...events,
    fault(1, faultAt, { role: "cluster", targets: ["coord_a", "worker_a1"] }),
    healed(1, wholeAt, { undoneAt: silentUntil - 500, help: ["docker start coord_a"], ...end }),
    ...(last === undefined ? [] : [final({ at: endsAt + 100, rows: changed(rows), ...last })]),
  ];
}
