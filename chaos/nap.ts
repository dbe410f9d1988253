import { setTimeout as delay } from "node:timers/promises";

/** Waits, but not longer than a run. */
export async function nap(milliseconds: number, signal: AbortSignal): Promise<void> {
  await delay(milliseconds, undefined, { signal }).catch(() => undefined);
}
