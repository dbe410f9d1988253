/*
 * What the guard makes of what it sees: pure functions over plain data. Times are in milliseconds on a clock that never
 * goes back.
 */

/** How often workers are asked, and for how long an answer is waited for, in milliseconds. */
export const PACE = {
  /** Between an answer and the next question. */
  poll: 250,
  /** A worker that has not answered after this long failed the poll. */
  timeout: 400,
  /** The same for one that has failed before: a new connection takes long on a machine that is slow. */
  longTimeout: 2000,
  /** Between the first failure and the question that decides. */
  again: 50,
  /** Between questions to a worker that is known to be gone. */
  gone: 500,
} as const;

/** Polls that have to fail one after the other before a worker counts as dead or frozen. */
const FAILURES = 2;
/** Workers that answer within this long, in milliseconds, show that the machine has time for those that do not answer at all. */
const PROMPT_MS = 100;
/** How long a worker may be silent on a machine that is slow. One that refuses is gone however slow the machine is. */
const PATIENCE_MS = 5000;
/** How long a worker that answers that it recovers is waited for unless it is set, in milliseconds. */
export const RECOVERY_PATIENCE_MS = 30_000;
/** Answers whose times are remembered: those of the last second. */
const REMEMBERED = 4;
/** Answers in a row that a disabled worker has to give before it is brought back. */
const ANSWERS = 2;

/** What the polls of one worker came to so far. */
export interface Pulse {
  /** Failed polls since the last answer. */
  readonly failures: number;
  /** Answers since the last failure. */
  readonly answers: number;
  /** When the first of the failed polls began; undefined while the worker answers. */
  readonly failingSince?: number;
  /** When the last poll that was answered began. */
  readonly answeredAt?: number;
  /** How long the last answers took. */
  readonly tookMs: readonly number[];
  /** Why the last poll failed. */
  readonly problem?: string;
  /** Whether the worker was silent at the last poll, instead of refusing. */
  readonly silent?: boolean;
  /** Whether the worker answered at the last poll that it is starting up or recovering: it is alive, and has all its data. */
  readonly recovering?: boolean;
}

/** One poll. */
export interface Poll {
  readonly startedAt: number;
  readonly endedAt: number;
  /** Why it failed; undefined if the worker answered. */
  readonly problem?: string;
  /** Whether it failed because no answer came in time. */
  readonly silent?: boolean;
  /** Whether it failed because the worker is starting up or recovering, as it says. */
  readonly recovering?: boolean;
}

/** A worker that was never asked. */
export const UNKNOWN: Pulse = { failures: 0, answers: 0, tookMs: [] };

/** A worker's pulse after one more poll. */
export function polled(pulse: Pulse, { startedAt, endedAt, problem, silent = false, recovering = false }: Poll): Pulse {
  if (problem === undefined) return { failures: 0, answers: pulse.answers + 1, answeredAt: startedAt, tookMs: [...pulse.tookMs, endedAt - startedAt].slice(-REMEMBERED) };
  return {
    failures: pulse.failures + 1,
    answers: 0,
    failingSince: pulse.failingSince ?? startedAt,
    ...(pulse.answeredAt !== undefined && { answeredAt: pulse.answeredAt }),
    tookMs: pulse.tookMs,
    problem,
    silent,
    ...(recovering && { recovering }),
  };
}

/** How long to wait before a worker is asked again. */
export function pause({ failures, recovering }: Pulse): number {
  if (failures === 0) return PACE.poll;
  return failures < FAILURES || recovering === true ? PACE.again : PACE.gone;
}

/** How long an answer to the next question is waited for. */
export function timeout({ failures }: Pulse): number {
  return failures < FAILURES ? PACE.timeout : PACE.longTimeout;
}

/** A worker as the coordinator has it, and its pulse. */
export interface Ward {
  /** Its host name on the network. */
  readonly name: string;
  /** Whether Citus reads from it and writes to it. */
  readonly active: boolean;
  readonly pulse: Pulse;
  /** Whether its data directory is another one than the coordinator knows: its volume is new. */
  readonly empty?: boolean;
}

/** What there is to do. */
export type Judgement =
  /** Nothing: every active worker answers, as far as is known. */
  | { readonly kind: "watch" }
  /** Workers failed to answer; whether the others answer has to be known, too. These were not asked since. */
  | { readonly kind: "suspect"; readonly ask: readonly string[] }
  /** A worker is dead or frozen, and it is the only one. */
  | { readonly kind: "disable"; readonly worker: string; readonly problem: string }
  /** Workers are dead or frozen, and disabling one would be wrong. */
  | { readonly kind: "hold"; readonly because: string }
  /** Workers that are disabled answer again, or shards lack placements, or a way back has not come to its end, while all active workers answer. */
  | { readonly kind: "bringBack"; readonly workers: readonly string[] };

/** Whether a worker is alive without serving yet: it says so, and has not said so for longer than anybody wants to wait. */
function isRecovering({ pulse }: Ward, now: number, patienceMs: number): boolean {
  return pulse.recovering === true && now - (pulse.failingSince ?? now) < patienceMs;
}

/** Whether a worker failed often enough to count as dead, or as frozen where the others show that the machine is not just slow. */
function isGone(ward: Ward, active: readonly Ward[], now: number, patienceMs: number): boolean {
  const { pulse } = ward;
  if (pulse.failures < FAILURES || isRecovering(ward, now, patienceMs)) return false;
  if (pulse.silent !== true || now - (pulse.failingSince ?? now) >= PATIENCE_MS) return true;
  return active.filter((other) => other.pulse.failures === 0).every((other) => Math.max(...other.pulse.tookMs) <= PROMPT_MS);
}

/**
 * What to do about the workers of a cluster. A worker is given up only if every other active one has answered a poll
 * that began later than the first one that failed: otherwise it may be the guard's own network that is gone. One that
 * answers that it recovers is waited for: a disabled worker's shards are all copied anew, and meanwhile there is one copy.
 *
 * @param incomplete whether shards have fewer placements than they should, as far as is known, or a way back has not come to its end.
 * @param patienceMs how long a worker that recovers is waited for.
 */
export function judge(wards: readonly Ward[], incomplete: boolean, now: number, patienceMs = RECOVERY_PATIENCE_MS): Judgement {
  const active = wards.filter((ward) => ward.active);
  const gone = active.filter((ward) => isGone(ward, active, now, patienceMs));
  const [first] = gone;
  if (first === undefined) {
    const suspects = active.filter(({ pulse }) => pulse.failures > 0);
    const recovering = suspects.filter((ward) => ward.pulse.failures >= FAILURES && isRecovering(ward, now, patienceMs));
    if (recovering.length > 0) {
      const said = recovering.map(({ name, pulse }) => `${name} recovers (${pulse.problem})`).join(", ");
      return { kind: "hold", because: `${said}; it is waited for up to ${patienceMs / 1000} s` };
    }
    if (suspects.length > 0) return { kind: "suspect", ask: askedBefore(active, suspects) };
    const back = wards.filter((ward) => !ward.active && ward.empty !== true && ward.pulse.answers >= ANSWERS).map(({ name }) => name);
    const known = active.every(({ pulse }) => pulse.answers > 0);
    // While a worker is disabled its shards are not copied elsewhere: it is mostly back sooner than they are.
    const rest = incomplete && active.length === wards.length;
    return known && (back.length > 0 || rest) ? { kind: "bringBack", workers: back } : { kind: "watch" };
  }
  if (gone.length > 1) return { kind: "hold", because: `${gone.map(({ name }) => name).join(", ")} do not answer: more than one at once may be the network, or everything` };
  const ask = askedBefore(active, [first]);
  if (ask.length > 0 || active.some((ward) => ward !== first && ward.pulse.failures > 0)) return { kind: "suspect", ask };
  return { kind: "disable", worker: first.name, problem: first.pulse.problem ?? "no answer" };
}

/** The workers that answered last before the suspects began to fail. */
function askedBefore(active: readonly Ward[], suspects: readonly Ward[]): string[] {
  const since = Math.max(...suspects.map(({ pulse }) => pulse.failingSince ?? 0));
  return active.filter(({ pulse }) => pulse.failures === 0 && (pulse.answeredAt ?? -Infinity) < since).map(({ name }) => name);
}

const LONGEST_RETRY_MS = 10_000;
/** The same for a copy that stood still, of which a part is copied again each time. */
const FIRST_STALLED_RETRY_MS = 30_000;
const LONGEST_STALLED_RETRY_MS = 3_600_000;

/** How long to wait before something that failed is tried again: 0.5 s, 1 s, 2 s, … 10 s. */
export function retryMs(failures: number): number {
  return Math.min(LONGEST_RETRY_MS, 500 * 2 ** (failures - 1));
}

/** How long to wait before a copy that stood still is tried again: 30 s, 1 min, 2 min, … 1 h. */
export function stalledRetryMs(failures: number): number {
  return Math.min(LONGEST_STALLED_RETRY_MS, FIRST_STALLED_RETRY_MS * 2 ** (failures - 1));
}
