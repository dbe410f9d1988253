/** A time without an acknowledged write. */
export interface Silence {
  readonly from: number;
  readonly to: number;
  readonly ms: number;
  /** No acknowledged write followed: `to` is when the last request in vain ended. */
  readonly open: boolean;
}

/** Which times are looked at. */
export interface Span {
  readonly from: number;
  readonly until: number;
  /** A silence that goes on past it counts until then. @default never */
  readonly cut?: number;
}

/**
 * The longest of the silences that overlap a span, which may have begun before it; undefined if nobody wrote in it.
 *
 * @param acknowledged when the answers to acknowledged writes came, in order of time.
 * @param lastTry when the last request ended, in vain or not.
 */
export function longestSilence(acknowledged: readonly number[], lastTry: number, { from, until, cut = Number.POSITIVE_INFINITY }: Span): Silence | undefined {
  let longest: Silence | undefined;
  let index = firstAfter(acknowledged, from);
  let previous = acknowledged[index - 1] ?? from;
  while (previous < until) {
    const following = acknowledged[index];
    // Without a later request there was no silence: nobody asked.
    const to = Math.min(following ?? lastTry, cut);
    if (to > previous && to - previous > (longest?.ms ?? -1)) longest = { from: previous, to, ms: to - previous, open: following === undefined };
    if (following === undefined) break;
    previous = following;
    index += 1;
  }
  return longest;
}

/** The index of the first element that is greater than a limit. */
export function firstAfter(sorted: readonly number[], limit: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
