/** Counts of times that are longer by a factor; a time in which nothing was counted has none. */
export function rebinned(counts: readonly (number | undefined)[], factor: number): (number | undefined)[] {
  const sums: (number | undefined)[] = Array.from({ length: Math.ceil(counts.length / factor) }, () => undefined);
  counts.forEach((count, index) => {
    const bin = Math.floor(index / factor);
    if (count !== undefined) sums[bin] = (sums[bin] ?? 0) + count;
  });
  return sums;
}
