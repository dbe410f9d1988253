import type { ConnectEvent, FaultEvent, FinalEvent, HealedEvent, HistoryEvent, IncrementEvent, InsertEvent, MoveEvent, ReadEvent, ReferenceEvent, RunEvent, SchemaEvent, TransferEvent } from "../../../chaos/history";

/** Events of a history, with what a test does not care about filled in. */
export const insert = (key: string, more: Partial<InsertEvent> = {}): InsertEvent => ({ type: "insert", client: 1, shard: "s1", key, at: 0, ms: 5, outcome: "ok", ...more });
export const increment = (before: number, at: number, more: Partial<IncrementEvent> = {}): IncrementEvent => ({
  type: "increment", client: 1, shard: "s1", counter: "c", at, ms: 5, outcome: "ok", before, after: before + 1, ...more,
});
export const lostAnswer = (at: number, outcome: "refused" | "unknown" = "unknown"): IncrementEvent => ({ type: "increment", client: 1, shard: "s1", counter: "c", at, ms: 5, outcome, error: "connection lost" });
export const transfer = (key: string, more: Partial<TransferEvent> = {}): TransferEvent => ({ type: "transfer", client: 3, key, shards: ["s1", "s2"], at: 0, ms: 5, outcome: "ok", ...more });
export const reference = (value: number, more: Partial<ReferenceEvent> = {}): ReferenceEvent => ({ type: "reference", client: 4, row: "a:r", value, at: 0, ms: 5, outcome: "ok", ...more });
export const schema = (change: SchemaEvent["change"], more: Partial<SchemaEvent> = {}): SchemaEvent => ({ type: "schema", client: 5, table: "a:changed_1", change, at: 0, ms: 5, outcome: "ok", ...more });
export const move = (from: number, to: number, more: Partial<MoveEvent> = {}): MoveEvent => ({ type: "move", client: 6, shard: "s1", from, to, at: 0, ms: 5, outcome: "ok", ...more });
export const read = (value: number, at: number, more: Partial<ReadEvent> = {}): ReadEvent => ({ type: "read", client: 2, shard: "s1", counter: "c", endpoint: "leader", at, ms: 5, outcome: "ok", value, ...more });
export const connect = (at: number, ms: number, more: Partial<ConnectEvent> = {}): ConnectEvent => ({ type: "connect", client: 1, endpoint: "leader", at, ms, outcome: "ok", ...more });
export const fault = (number: number, at: number, more: Partial<FaultEvent> = {}): FaultEvent => ({ type: "fault", number, fault: "kill", role: "coordinator", targets: ["coord-1"], at, ...more });
export const healed = (number: number, at: number, more: Partial<HealedEvent> = {}): HealedEvent => ({ type: "healed", number, at, help: [], ...more });
export const final = (more: Partial<FinalEvent> = {}): FinalEvent => ({ type: "final", at: 100_000, rows: {}, counters: {}, differing: {}, ...more });
export const run = (more: Partial<RunEvent> = {}): RunEvent => ({ type: "run", at: 0, stack: "active-passive", startedAt: "2026-01-01T00:00:00.000Z", seed: 1, shards: ["s1"], intervalMs: 20, ...more });

/** Acknowledged inserts of a shard whose answers come at given times. */
export const answers = (shard: string, ...times: number[]): HistoryEvent[] => times.map((time) => insert(`${shard}-${time}`, { shard, at: time - 5 }));
