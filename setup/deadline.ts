import { setTimeout as delay } from "node:timers/promises";
import type { Report } from "./report";
import { SetupError } from "./setupError";

/** Time for what is being done to end with a reason of its own before the set-up as a whole is called overdue. */
const GRACE_MS = 1000;

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

/** Ends the set-up, with a sentence for its reader, some time after its deadline, which may be renewed until then. */
export function watchOver(deadline: Deadline, report: Report, end: (sentence: string) => void, overdue = false): void {
  const { remainingMs, seconds } = deadline;
  if (overdue && remainingMs === 0) return end(`The set-up got no further within ${seconds} s while ${report.activity}. Run the update again; it goes on where it was`);
  setTimeout(() => watchOver(deadline, report, end, remainingMs === 0), remainingMs + GRACE_MS).unref();
}
