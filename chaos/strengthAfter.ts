import { setTimeout as delay } from "node:timers/promises";
import { reason } from "../setup/setupError";
import { lacks } from "./fullStrength";
import type { Target } from "./target";

/** How long a stack may take until it is whole after a fault. */
export const STRENGTH_TIMEOUT_MS = 180_000;
const POLL_MS = 500;
/** How long containers may take to come back by themselves before the harness starts them. */
const SELF_HELP_MS = 60_000;

export interface Patience {
  /** See {@link lacks}. */
  readonly quiet: boolean;
  readonly signal?: AbortSignal;
  /** Called once, when the stack has not come back by itself for long. */
  readonly rescue?: () => Promise<void>;
}

/** What the stack still lacks when time is up, none as soon as it is whole; and what it lacked last before. */
export async function strengthAfter(target: Target, timeoutMs: number, { quiet, signal, rescue }: Patience): Promise<{ missing: string[]; last?: string }> {
  const begun = performance.now();
  let [rescued, last]: [boolean, string | undefined] = [rescue === undefined, undefined];
  for (;;) {
    const missing = await lacks(target, { quiet }).catch((error: unknown) => [reason(error)]);
    const elapsed = performance.now() - begun;
    if (missing.length === 0 || elapsed > timeoutMs || signal?.aborted === true) return { missing, ...(last !== undefined && { last }) };
    last = missing.join("; ");
    if (!rescued && elapsed > SELF_HELP_MS) {
      rescued = true;
      await rescue?.();
    }
    await delay(POLL_MS);
  }
}
