import type { ClusterCost } from "./cost";

/** What is not known, or does not apply. */
const NONE = "–";

/** The share of tenants that could not write: `64.5 %`. */
export function share(couldNotWrite: number, tenants: number): string {
  const percent = tenants === 0 ? 0 : (couldNotWrite / tenants) * 100;
  return `${Number.isInteger(percent) ? percent : percent.toFixed(1)} %`;
}

/** For how long those tenants could not write: `0.98 / 1.20 / 1.31 s`. */
export function gap({ gapMs }: ClusterCost): string {
  return gapMs === undefined ? NONE : `${[gapMs.p50, gapMs.p95, gapMs.max].map((ms) => (ms / 1000).toFixed(2)).join(" / ")} s`;
}

/** Acknowledged writes that were lost and doubled: `0 / 0`. */
export function losses({ lost, doubled }: ClusterCost): string {
  return `${lost ?? NONE} / ${doubled ?? NONE}`;
}

/** The 99th percentile of acknowledged writes before, during and after: `4.1 / 12 / 4.0 ms`. */
export function latency({ p99Ms: { before, during, after } }: ClusterCost): string {
  return `${[before, during, after].map((ms) => (ms === undefined ? NONE : ms < 10 ? ms.toFixed(1) : Math.round(ms).toLocaleString("en-US"))).join(" / ")} ms`;
}
