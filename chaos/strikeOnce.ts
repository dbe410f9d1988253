import { setTimeout as delay } from "node:timers/promises";
import { reason } from "../setup/setupError";
import { bringBack } from "./faults/command";
import type { Strike } from "./faults/fault";
import type { HealedEvent } from "./history";
import type { Recorder } from "./recorder";
import { STRENGTH_TIMEOUT_MS, strengthAfter } from "./strengthAfter";
import type { Target } from "./target";

const POLL_MS = 25;
const WRITES_TIMEOUT_MS = 120_000;
const MOST_NAMES = 8;

/** How a fault went. */
export interface Course {
  /** What the harness did. */
  readonly help: readonly string[];
  /** What did not go well. */
  readonly problems: readonly string[];
  readonly waitedFor?: string;
  /** When what had been done to the stack was undone, in milliseconds of the run; absent if nothing was. */
  readonly undoneAt?: number;
}

/** Clients that write while a fault lasts. */
export interface Writers {
  /** Names of what has not acknowledged a write that was sent after a moment of the run. */
  readonly silentSince: (at: number) => string[];
}

/** One fault from its beginning until the stack is whole. */
export async function strikeOnce(target: Target, strike: Strike, writers: Writers, recorder: Pick<Recorder, "now">, signal: AbortSignal): Promise<Course> {
  const [help, problems]: [string[], string[]] = [[], []];
  const attempt = async (work: () => Promise<unknown>): Promise<void> => void (await work().catch((error: unknown) => problems.push(reason(error))));
  const begun = performance.now();
  const elapsed = (): number => performance.now() - begun;
  await attempt(strike.inject);
  // Writes that were sent before the fault had happened say nothing about it.
  const struckAt = recorder.now();
  const writing = (): boolean => writers.silentSince(struckAt).length === 0;
  const { heal, hold } = strike;
  let undoneAt: number | undefined;
  if (heal !== undefined) {
    const { leastMs, mostMs } = hold ?? { leastMs: 0, mostMs: 0 };
    while (!signal.aborted && elapsed() < mostMs && !(elapsed() >= leastMs && writing())) await delay(POLL_MS);
    await attempt(async () => help.push(...(await heal())));
    undoneAt = recorder.now();
  }
  // A docker command that hung has taken time that the stack had not.
  const patienceEndsAt = performance.now() + WRITES_TIMEOUT_MS;
  while (!writing() && performance.now() < patienceEndsAt) await delay(POLL_MS);
  const silent = writers.silentSince(struckAt);
  if (silent.length > 0) problems.push(`no acknowledged write for ${WRITES_TIMEOUT_MS / 1000} s on ${some(silent)}`);
  const { missing, last } = await strengthAfter(target, STRENGTH_TIMEOUT_MS, { quiet: false, rescue: async () => void (await attempt(async () => help.push(...(await bringBack(strike.targets))))) });
  return { help, problems: [...problems, ...missing], ...(last !== undefined && { waitedFor: last }), ...(undoneAt !== undefined && { undoneAt }) };
}

/** What the history says of how a fault that is over now ended. `number` is the fault's. The clock is read here: an argument would be read before a caller's `await` of the course. */
export function healedEvent(number: number, recorder: Pick<Recorder, "now">, { help, problems, waitedFor, undoneAt }: Course): HealedEvent {
  return {
    type: "healed",
    number,
    at: recorder.now(),
    help,
    ...(undoneAt !== undefined && { undoneAt }),
    ...(waitedFor !== undefined && { waitedFor }),
    ...(problems.length > 0 && { problem: problems.join("; ") }),
  };
}

function some(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  return names.slice(0, MOST_NAMES).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
