import { setTimeout as delay } from "node:timers/promises";
import { reason } from "../setup/setupError";
import { differingStandbys } from "./differingStandbys";
import type { Planned } from "./faults/catalogue";
import type { Scene } from "./faults/fault";
import type { FaultEvent, HealedEvent } from "./history";
import { insertInterval, Load, type LoadOptions } from "./load";
import { nap } from "./nap";
import type { Limit, Objectives } from "./objectives";
import { OldSide } from "./oldSide";
import type { Random } from "./random";
import { readBack } from "./readBack";
import type { Recorder } from "./recorder";
import { STRENGTH_TIMEOUT_MS, strengthAfter } from "./strengthAfter";
import { healedEvent, strikeOnce } from "./strikeOnce";
import { createTables, dropTables, type Shard } from "./tables";
import type { ClusterTarget, Target } from "./target";

/** What a run does, beside the stack that it does it to. */
export interface RunOptions {
  readonly recorder: Recorder;
  readonly seed: number;
  readonly random: Random;
  /** The faults, one after the other. */
  readonly faults: Iterable<Planned>;
  /** What the user chose of how faults happen. */
  readonly choices: Pick<Scene, "holdMs" | "cuts" | "shaped" | "engineRestart">;
  /** Which clients there are beside the usual ones. */
  readonly load: Omit<LoadOptions, "seed">;
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
const OLD_SIDE_CLIENTS = 3;
/** How far back from a fault whoever is told of it may look. */
export const REMEMBERED_MS = 5000;
/** A stack that has just been brought up, or that a fault has just left, may still be settling. */
const START_TIMEOUT_MS = 15_000;
/** For how long reading back is begun again where it fails, and after what pause. */
const READ_BACK_PATIENCE_MS = 300_000;
const READ_BACK_PAUSE_MS = 2000;

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
    recorder.record({ type: "run", at: recorder.now(), stack: target.stack, startedAt, seed, shards: shards.map(({ name }) => name), intervalMs: insertInterval(shards.length), copies: Math.max(...target.clusters.map(({ plan }) => plan.setup.replicationFactor)), objectives: options.objectives, limits: options.limits });
    const load = new Load(shards, recorder, { seed, ...options.load });
    load.start();
    try {
      await nap(WARM_UP_MS, signal);
      await strikeAll({ target, shards, random: options.random, ...options.choices }, load, options);
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
    if (strike.prepare !== undefined) tell.doing(`preparing ${fault.name}`);
    const unready = await strike.prepare?.().then(
      () => undefined,
      (error: unknown) => reason(error),
    );
    if (unready !== undefined) {
      await strike.heal?.();
      tell.skipped(planned, unready);
      continue;
    }
    number += 1;
    recorder.forget(recorder.now() - REMEMBERED_MS);
    const event: FaultEvent = { type: "fault", number, fault: fault.name, role, targets: strike.targets, ...(strike.shards !== undefined && { shards: strike.shards }), ...(strike.details !== undefined && { details: strike.details }), at: recorder.now() };
    recorder.record(event);
    tell.doing(`${fault.name} ${role} ${strike.targets.join(", ")}`);
    const oldSides = (strike.cutOff ?? []).map((member) => new OldSide(member, oldSideShards(scene.shards, strike.shards), recorder, () => load.foreignClient()));
    const course = await strikeOnce(scene.target, strike, load, recorder, signal);
    const healed = healedEvent(number, recorder, course);
    recorder.record(healed);
    await Promise.all(oldSides.map((oldSide) => oldSide.stop()));
    tell.healed(event, healed);
    // What is broken for good would be blamed on the next fault, too.
    if (healed.problem !== undefined) return;
    tell.doing("load without a fault");
    await nap(PAUSE_MS + random.next() * MORE_PAUSE_MS, signal);
  }
}

/** Some of the shards that a fault hits, for the clients on its other side. */
function oldSideShards(shards: readonly Shard[], hit: readonly string[] | undefined): Shard[] {
  return shards.filter(({ name }) => hit === undefined || hit.includes(name)).slice(0, OLD_SIDE_CLIENTS);
}

async function readAll(target: Target, shards: readonly Shard[], { recorder, tell }: RunOptions): Promise<void> {
  tell.doing("waiting until every transaction is decided");
  const { missing } = await strengthAfter(target, STRENGTH_TIMEOUT_MS, { quiet: true });
  if (missing.length > 0) tell.warned(`What is read back may change yet, because the stack is not whole: ${missing.join("; ")}.`);
  const lacks = missing.length > 0 && { lacks: missing };
  for (const until = performance.now() + READ_BACK_PATIENCE_MS; ; await delay(READ_BACK_PAUSE_MS)) {
    tell.doing("reading everything back from every placement");
    try {
      const read = await readBack(target.clusters, shards);
      tell.doing("comparing standbys with their leaders");
      const standbys = await differingStandbys(target.plan, target.clusters.every(({ plain }) => plain === true));
      recorder.record({ type: "final", at: recorder.now(), ...read, ...lacks, differing: { ...read.differing, ...Object.fromEntries(standbys) } });
      return;
    } catch (error) {
      // A session that ends meanwhile, of a leader that changes, would leave a whole run without its proof.
      const over = performance.now() > until;
      tell.warned(`It could not be read back: ${reason(error)}.${over ? "" : " It is read again."}`);
      if (over) return;
    }
  }
}
