/** The highest value that was acknowledged of something that only grows, at every moment. */
export class Watermark {
  /** When the answers came, and the highest value until then; both only grow. */
  private readonly times: number[] = [];
  private readonly values: number[] = [];

  /** An acknowledged value, and when the answer came. Answers come in order of time, or nearly so. */
  add(time: number, value: number): void {
    const index = this.firstIndex(this.times, time);
    if ((this.values[index - 1] ?? Number.NEGATIVE_INFINITY) >= value || (this.times[index] === time && (this.values[index] as number) >= value)) return;
    let behind = index;
    while (behind < this.values.length && (this.values[behind] as number) <= value) behind += 1;
    this.times.splice(index, behind - index, time);
    this.values.splice(index, behind - index, value);
  }

  /** The highest value whose answer came before a moment; undefined if there was none. */
  before(time: number): number | undefined {
    return this.values[this.firstIndex(this.times, time) - 1];
  }

  /** When the first answer with a higher value came; undefined if none did. */
  exceeded(value: number): number | undefined {
    const index = this.firstIndex(this.values, value);
    return this.times[this.values[index] === value ? index + 1 : index];
  }

  /** The highest of all values; undefined if there is none. */
  get highest(): number | undefined {
    return this.values.at(-1);
  }

  /** The index of the first element that is not below a limit. */
  private firstIndex(sorted: readonly number[], limit: number): number {
    let [low, high] = [0, sorted.length];
    // Nearly always at the end: what is asked about has just happened.
    if (high > 64 && (sorted[high - 64] as number) < limit) low = high - 64;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sorted[middle] as number) < limit) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
