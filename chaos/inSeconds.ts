/** A time as reports have it: `0.83 s`. */
export function inSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
