import { setTimeout as delay } from "node:timers/promises";
import { SetupError } from "./setupError";

/** The moment by which a set-up has to have got further; everything that waits polls against it. */
export class Deadline {
  private endsAt: number;

  constructor(readonly seconds: number) {
    this.endsAt = performance.now() + seconds * 1000;
  }

  /** Begins anew: what takes long has got further. */
  renew(): void {
    this.endsAt = performance.now() + this.seconds * 1000;
  }

  get remainingMs(): number {
    return Math.max(0, this.endsAt - performance.now());
  }

  /**
   * Asks again and again until the answer is something other than undefined.
   *
   * @param late gives the sentence to end with when time is up.
   * @throws {@link SetupError} when time is up.
   */
  async poll<Answer>(ask: () => Promise<Answer | undefined>, late: () => string | Promise<string>, intervalMs = 100): Promise<Answer> {
    for (;;) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      if (this.remainingMs <= intervalMs) throw new SetupError(await late());
      await delay(intervalMs);
    }
  }
}
