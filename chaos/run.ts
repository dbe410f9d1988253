import { setTimeout as delay } from "node:timers/promises";
import { reason } from "../setup/setupError";
import { bringBack } from "./faults/command";
import type { Planned } from "./faults/catalogue";
import type { Scene, Strike } from "./faults/fault";
import { lacks } from "./fullStrength";
import type { FaultEvent, HealedEvent } from "./history";
import { insertInterval, Load } from "./load";
import type { Limit, Objectives } from "./objectives";
import type { Random } from "./random";
import { readBack } from "./readBack";
import type { Recorder } from "./recorder";
import { createTables, dropTables, type Shard } from "./tables";
import type { ClusterTarget, Target } from "./target";

/** What a run does, beside the stack that it does it to. */
export interface RunOptions {
  readonly recorder: Recorder;
  readonly seed: number;
  readonly random: Random;
  /** The faults, one after the other. */
  readonly faults: Iterable<Planned>;
  readonly holdMs?: number;
  /** What is asked of the run; kept in its history. */
  readonly objectives: Objectives;
  readonly limits: readonly Limit[];
  /** Ends the run before its time: what is broken is healed, and the run is read back. */
  readonly signal: AbortSignal;
  readonly tell: Teller;
}

/** Who is told how the run goes. */
export interface Teller {
  /** The stack is whole, and is broken from now on. */
  readonly started: () => void;
  readonly doing: (activity: string) => void;
  readonly healed: (fault: FaultEvent, healed: HealedEvent) => void;
  readonly skipped: (planned: Planned, why: string) => void;
  readonly warned: (sentence: string) => void;
}

/** Why a run did not begin: a sentence without a full stop. */
export class NotStarted extends Error {}

const WARM_UP_MS = 3000;
const PAUSE_MS = 1500;
const MORE_PAUSE_MS = 1000;
const POLL_MS = 25;
const STRENGTH_POLL_MS = 500;
const WRITES_TIMEOUT_MS = 120_000;
const STRENGTH_TIMEOUT_MS = 180_000;
/** How long containers may take to come back by themselves before the harness starts them. */
const SELF_HELP_MS = 60_000;
/** A stack that has just been brought up, or that a fault has just left, may still be settling. */
const START_TIMEOUT_MS = 15_000;

/**
 * A whole run: load, faults one after the other, and at the end everything is read back. The schema `chaos` is created
 * and dropped; nothing else of the stack's data is touched. The history is in the recorder.
 *
 * @throws {@link NotStarted} if the stack is not at full strength to begin with, or its schema cannot be created.
 */
export async function runChaos(target: Target, options: RunOptions): Promise<void> {
  const { recorder, seed, signal, tell } = options;
  tell.doing("making sure that the stack is whole");
  const { missing } = await strengthAfter(target, START_TIMEOUT_MS, { quiet: false, signal });
  if (missing.length > 0) throw new NotStarted(`${target.stack} is not at full strength, so that a run would prove nothing: ${missing.join("; ")}`);
  tell.started();
  tell.doing("creating the schema chaos");
  const startedAt = new Date().toISOString();
  try {
    const shards = (await Promise.all(target.clusters.map((cluster) => create(target, cluster)))).flat();
    recorder.record({ type: "run", at: recorder.now(), stack: target.stack, startedAt, seed, shards: shards.map(({ name }) => name), intervalMs: insertInterval(shards.length), objectives: options.objectives, limits: options.limits });
    const load = new Load(shards, recorder);
    load.start();
    try {
      await nap(WARM_UP_MS, signal);
      await strikeAll({ target, shards, random: options.random, ...(options.holdMs !== undefined && { holdMs: options.holdMs }) }, load, options);
    } finally {
      tell.doing("waiting for the last answers");
      await load.stop();
    }
    await readAll(target, shards, options);
  } finally {
    tell.doing("dropping the schema chaos");
    for (const cluster of target.clusters) {
      await dropTables(cluster).catch((error: unknown) => tell.warned(`The schema chaos of ${cluster.name} could not be dropped: ${reason(error)}. The next run drops it.`));
    }
    tell.doing("");
  }
}

async function create(target: Target, cluster: ClusterTarget): Promise<Shard[]> {
  return createTables(target, cluster).catch((error: unknown) => {
    throw new NotStarted(`the schema chaos of ${cluster.name} cannot be created: ${reason(error)}`);
  });
}

async function strikeAll(scene: Scene, load: Load, { recorder, faults, random, signal, tell }: RunOptions): Promise<void> {
  let number = 0;
  for (const planned of faults) {
    if (signal.aborted) return;
    const { fault, role } = planned;
    tell.doing(`aiming ${fault.name} at ${role}`);
    const strike = await fault.aim(scene, role).catch((error: unknown) => ({ skipped: reason(error) }));
    if ("skipped" in strike) {
      tell.skipped(planned, strike.skipped);
      continue;
    }
    number += 1;
    const event: FaultEvent = { type: "fault", number, fault: fault.name, role, targets: strike.targets, ...(strike.shards !== undefined && { shards: strike.shards }), at: recorder.now() };
    recorder.record(event);
    tell.doing(`${fault.name} ${role} ${strike.targets.join(", ")}`);
    const { help, problems, waitedFor } = await strikeOnce(scene.target, strike, load, recorder, signal);
    const healed: HealedEvent = { type: "healed", number, at: recorder.now(), help, ...(waitedFor !== undefined && { waitedFor }), ...(problems.length > 0 && { problem: problems.join("; ") }) };
    recorder.record(healed);
    tell.healed(event, healed);
    // What is broken for good would be blamed on the next fault, too.
    if (problems.length > 0) return;
    tell.doing("load without a fault");
    await nap(PAUSE_MS + random.next() * MORE_PAUSE_MS, signal);
  }
}

/** How a fault went. */
interface Course {
  /** What the harness did. */
  readonly help: readonly string[];
  /** What did not go well. */
  readonly problems: readonly string[];
  readonly waitedFor?: string;
}

/** One fault from its beginning until the stack is whole. */
async function strikeOnce(target: Target, strike: Strike, load: Load, recorder: Recorder, signal: AbortSignal): Promise<Course> {
  const [help, problems]: [string[], string[]] = [[], []];
  const attempt = async (work: () => Promise<unknown>): Promise<void> => void (await work().catch((error: unknown) => problems.push(reason(error))));
  const begun = performance.now();
  const elapsed = (): number => performance.now() - begun;
  await attempt(strike.inject);
  // Writes that were sent before the fault had happened say nothing about it.
  const struckAt = recorder.now();
  const writing = (): boolean => load.silentSince(struckAt).length === 0;
  const { heal, hold } = strike;
  if (heal !== undefined) {
    const { leastMs, mostMs } = hold ?? { leastMs: 0, mostMs: 0 };
    while (!signal.aborted && elapsed() < mostMs && !(elapsed() >= leastMs && writing())) await delay(POLL_MS);
    await attempt(async () => help.push(...(await heal())));
  }
  // A docker command that hung has taken time that the stack had not.
  const patienceEndsAt = performance.now() + WRITES_TIMEOUT_MS;
  while (!writing() && performance.now() < patienceEndsAt) await delay(POLL_MS);
  const silent = load.silentSince(struckAt);
  if (silent.length > 0) problems.push(`no acknowledged write for ${WRITES_TIMEOUT_MS / 1000} s on ${silent.join(", ")}`);
  const { missing, last } = await strengthAfter(target, STRENGTH_TIMEOUT_MS, { quiet: false, rescue: async () => void (await attempt(async () => help.push(...(await bringBack(strike.targets))))) });
  return { help, problems: [...problems, ...missing], ...(last !== undefined && { waitedFor: last }) };
}

interface Patience {
  /** See {@link lacks}. */
  readonly quiet: boolean;
  readonly signal?: AbortSignal;
  /** Called once, when the stack has not come back by itself for long. */
  readonly rescue?: () => Promise<void>;
}

/** What the stack still lacks when time is up, none as soon as it is whole; and what it lacked last before. */
async function strengthAfter(target: Target, timeoutMs: number, { quiet, signal, rescue }: Patience): Promise<{ missing: string[]; last?: string }> {
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
    await delay(STRENGTH_POLL_MS);
  }
}

async function readAll(target: Target, shards: readonly Shard[], { recorder, tell }: RunOptions): Promise<void> {
  tell.doing("waiting until every transaction is decided");
  const { missing } = await strengthAfter(target, STRENGTH_TIMEOUT_MS, { quiet: true });
  if (missing.length > 0) tell.warned(`What is read back may change yet, because the stack is not whole: ${missing.join("; ")}.`);
  tell.doing("reading everything back from every placement");
  try {
    recorder.record({ type: "final", at: recorder.now(), ...(await readBack(target.clusters, shards)) });
  } catch (error) {
    tell.warned(`It could not be read back: ${reason(error)}.`);
  }
}

/** Waits, but not longer than the run. */
async function nap(milliseconds: number, signal: AbortSignal): Promise<void> {
  await delay(milliseconds, undefined, { signal }).catch(() => undefined);
}
