import { setTimeout as delay } from "node:timers/promises";

/** Work of this size is followed by a rest. */
const STRETCH = 128 * 1024;
const LONGEST_REST_MS = 50;

/**
 * Lets the clusters breathe while much is copied or deleted: after each stretch of work it rests for as long as that took. A move takes longer by it, and those who use the clusters meanwhile notice it less.
 */
export class Breather {
  private worked = 0;
  private since = performance.now();

  /** @param size how much was done since the last call, in bytes or what is comparable. */
  async breathe(size: number): Promise<void> {
    this.worked += size;
    if (this.worked < STRETCH) return;
    await delay(Math.min(LONGEST_REST_MS, performance.now() - this.since));
    this.worked = 0;
    this.since = performance.now();
  }
}
