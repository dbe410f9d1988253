import { costOf } from "../../../blast/cost";
import type { BlastReport } from "../../../blast/report";
import { planted, TENANTS, type Planted } from "./history";

/** A report of one fault on active-active, and one on active-passive, whose tenants all live in one cluster. */
export function activeReport(kind = "cluster", more: Partial<BlastReport> = {}, changes: Partial<Planted> = {}): BlastReport {
  const cost = costOf(planted(changes), { name: kind === "worker" ? "worker:worker_a1" : `${kind}:a`, kind, cluster: "a" });
  return {
    kind: "blast", stack: "active-active", layout: "2 clusters of 3 workers", date: "2026-11-26T10:00:00.000Z", machine: "2 processors and 24 GB", tenants: TENANTS.length, deadMs: 10_000, faults: [cost], sound: cost.troubles.length === 0, ...more,
  };
}

export function passiveReport(kind = "cluster", more: Partial<BlastReport> = {}): BlastReport {
  const events = planted({ silentUntil: 13_000, told: { outcome: "refused", error: "connect ECONNREFUSED 127.0.0.1:5000" } }).map((event) => {
    if (event.type === "run") return { ...event, shards: TENANTS.map((tenant) => tenant.replace(/^./, "citusap")) };
    return event.type === "insert" ? { ...event, shard: event.shard.replace(/^./, "citusap") } : event;
  });
  const cost = costOf(events, { name: kind, kind, cluster: "citusap" });
  return {
    kind: "blast", stack: "active-passive", layout: "3 coordinators, 3 plain workers", date: "2026-11-26T11:00:00.000Z", machine: "2 processors and 24 GB", tenants: TENANTS.length, deadMs: 10_000, faults: [cost], sound: true, ...more,
  };
}
