import type { InsertEvent } from "../chaos/history";

export const BIN_MS = 100;

/** Writes in time, counted in bins of {@link BIN_MS}. */
export interface Timeline {
  /** The beginning of the first bin, in milliseconds from the fault: below 0. */
  readonly fromMs: number;
  /** Of each cluster, by the moment of the answer. */
  readonly clusters: Readonly<Record<string, Counts>>;
}

interface Counts {
  readonly acknowledged: readonly number[];
  readonly failed: readonly number[];
}

/** Counts the writes of a run. `runAt` and `faultAt` are moments of it. */
export function timelineOf(inserts: readonly InsertEvent[], clusters: readonly string[], runAt: number, faultAt: number): Timeline {
  const firstBin = Math.floor((runAt - faultAt) / BIN_MS);
  const binOf = ({ at, ms }: InsertEvent): number => Math.floor((at + ms - faultAt) / BIN_MS) - firstBin;
  const bins = inserts.reduce((most, insert) => Math.max(most, binOf(insert) + 1), 0);
  const counted = clusters.map((cluster) => {
    const [acknowledged, failed] = [new Array<number>(bins).fill(0), new Array<number>(bins).fill(0)];
    for (const insert of inserts) {
      if (!insert.shard.startsWith(`${cluster}/`)) continue;
      const counts = insert.outcome === "ok" ? acknowledged : failed;
      const bin = binOf(insert);
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
    return [cluster, { acknowledged, failed }] as const;
  });
  return { fromMs: firstBin * BIN_MS, clusters: Object.fromEntries(counted) };
}
