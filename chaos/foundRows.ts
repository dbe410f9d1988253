import type { RowCounts } from "./history";

/** Rows that were found, by key. */
export class FoundRows {
  private readonly runs: ReadonlyMap<string, readonly (readonly [number, number])[]>;

  constructor(private readonly counts: RowCounts) {
    this.runs = new Map(Object.entries(counts.runs ?? {}).map(([client, runs]) => [client, [...runs].sort(([a], [b]) => a - b)]));
  }

  /** How many rows a key has. */
  count(key: string): number {
    if (Object.hasOwn(this.counts.rows, key)) return this.counts.rows[key] as number;
    const [client = "", number = ""] = key.split("-");
    const runs = this.runs.get(client);
    return runs !== undefined && /^\d+$/.test(number) && isIn(runs, Number(number)) ? 1 : 0;
  }

  /** All keys that have a row. */
  *keys(): Generator<string> {
    for (const [key, count] of Object.entries(this.counts.rows)) if (count > 0) yield key;
    for (const [client, runs] of this.runs) {
      for (const [from, to] of runs) for (let number = from; number <= to; number += 1) yield `${client}-${number}`;
    }
  }
}

/** Whether one of the runs, in order, has a number. */
function isIn(runs: readonly (readonly [number, number])[], number: number): boolean {
  let [low, high] = [0, runs.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((runs[middle] as readonly [number, number])[1] < number) low = middle + 1;
    else high = middle;
  }
  const run = runs[low];
  return run !== undefined && run[0] <= number;
}
