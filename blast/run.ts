import { setTimeout as delay } from "node:timers/promises";
import { differingPlacements } from "../chaos/differingPlacements";
import type { FinalEvent } from "../chaos/history";
import { nap } from "../chaos/nap";
import { Random } from "../chaos/random";
import type { Recorder } from "../chaos/recorder";
import { inSession } from "../chaos/sql";
import { STRENGTH_TIMEOUT_MS, strengthAfter } from "../chaos/strengthAfter";
import { healedEvent, strikeOnce } from "../chaos/strikeOnce";
import type { Target } from "../chaos/target";
import { reason } from "../setup/setupError";
import { aim } from "./aim";
import type { Application } from "./application";
import { WARM_UP_MS } from "./cost";
import { Load } from "./load";
import { FIRST_TENANT, LAST_TENANT, pauseMs, tenantName, tenants } from "./tenants";
import type { Victim } from "./victims";

/** What is done to a stack while an application uses it. */
export interface RunOptions {
  readonly application: Application;
  readonly recorder: Recorder;
  readonly victim: Victim;
  /** How many tenants write. */
  readonly tenants: number;
  /** How long the victim stays dead. */
  readonly deadMs: number;
  /** Ends the run before its time: what is dead is started, and what was written is removed. */
  readonly signal: AbortSignal;
  readonly tell: Teller;
}

/** Who is told how the run goes. */
export interface Teller {
  readonly doing: (activity: string) => void;
  readonly warned: (sentence: string) => void;
}

/** Why a run did not begin: a sentence without a full stop. */
export class NotStarted extends Error {}

/** The pauses of the clients are the same in every run. */
const SEED = 1;
const BEFORE_MS = 8000;
const AFTER_MS = 6000;
const START_TIMEOUT_MS = 30_000;
const ATTEMPTS = 6;
const ATTEMPT_PAUSE_MS = 2000;
const REMOVALS_AT_ONCE = 20;
const PLACEMENTS_TIMEOUT_MS = 60_000;

/**
 * One fault under load, from before it until after the stack is whole again; then everything is read back and removed. The history is in the recorder.
 *
 * @throws {@link NotStarted} if the stack is not whole to begin with, or does not take what the load needs.
 */
export async function runBlast(target: Target, options: RunOptions): Promise<void> {
  const { application, signal, tell } = options;
  tell.doing("making sure that the stack is whole");
  const { missing } = await strengthAfter(target, START_TIMEOUT_MS, { quiet: false, signal });
  if (missing.length > 0) throw new NotStarted(`${target.stack} is not at full strength, so that a run would prove nothing: ${missing.join("; ")}`);
  try {
    await removeAll(application).catch((error: unknown) => {
      throw new NotStarted(`the table messages, which it writes to, cannot be used: ${reason(error)}`);
    });
    await writeAndStrike(target, options);
    if (!signal.aborted) await readAll(target, options);
  } finally {
    tell.doing("removing what was written");
    await patiently(() => removeAll(application)).catch((error: unknown) =>
      tell.warned(`The messages in rooms ${FIRST_TENANT} to ${LAST_TENANT} could not be removed: ${reason(error)}. The next run removes them.`),
    );
    tell.doing("");
  }
}

async function writeAndStrike(target: Target, { application, recorder, victim, tenants: count, deadMs, signal, tell }: RunOptions): Promise<void> {
  const all = await tenants(count, (tenant) => application.homeOf(tenant));
  recorder.record({ type: "run", at: recorder.now(), stack: target.stack, startedAt: new Date().toISOString(), seed: SEED, shards: all.map(tenantName), intervalMs: pauseMs(count) });
  const load = new Load(application, all, recorder, new Random(SEED));
  load.start();
  try {
    tell.doing(`${count} tenants write`);
    await nap(WARM_UP_MS + BEFORE_MS, signal);
    if (signal.aborted) return;
    const strike = await aim(victim, deadMs).catch((error: unknown) => {
      throw new NotStarted(reason(error));
    });
    recorder.record({ type: "fault", number: 1, fault: "kill", role: victim.kind, targets: strike.targets, at: recorder.now() });
    tell.doing(`${victim.name} is dead for ${deadMs / 1000} s, then the stack has to become whole`);
    recorder.record(healedEvent(1, recorder, await strikeOnce(target, strike, load, recorder, signal)));
    tell.doing(`${count} tenants write, and everything is whole`);
    await nap(AFTER_MS, signal);
  } finally {
    tell.doing("waiting for the last answers");
    await load.stop();
  }
}

/** Reads everything back, through the application and from every placement. */
async function readAll(target: Target, { application, recorder, tell }: RunOptions): Promise<void> {
  tell.doing("waiting until every transaction is decided");
  const { missing } = await strengthAfter(target, STRENGTH_TIMEOUT_MS, { quiet: true });
  if (missing.length > 0) tell.warned(`What is read back may change yet, because the stack is not whole: ${missing.join("; ")}.`);
  tell.doing("reading everything back");
  try {
    const rows = await patiently(() => application.read(FIRST_TENANT, LAST_TENANT));
    recorder.record({ type: "final", at: recorder.now(), rows, counters: {}, differing: await differing(target) });
  } catch (error) {
    tell.warned(`It could not be read back: ${reason(error)}.`);
  }
}

/** Shards of messages whose placements differ in the load's rooms, by name. */
async function differing({ clusters }: Target): Promise<FinalEvent["differing"]> {
  const digest = `SELECT count(*) || ' rows, digest ' || coalesce(sum(hashtextextended(room_id || ' ' || message_id || ' ' || body, 0)), 0) FROM %s WHERE room_id BETWEEN ${FIRST_TENANT} AND ${LAST_TENANT}`;
  const found = await Promise.all(
    clusters.map(async ({ name, uri }) =>
      (await inSession(uri, (client) => differingPlacements(client, "messages", digest), PLACEMENTS_TIMEOUT_MS)).map(({ shard, sentence }) => [`${name}/${shard}`, sentence] as const),
    ),
  );
  return Object.fromEntries(found.flat());
}

async function removeAll(application: Application): Promise<void> {
  const rooms = await application.used(FIRST_TENANT, LAST_TENANT);
  const removers = Array.from({ length: REMOVALS_AT_ONCE }, async () => {
    for (let room = rooms.pop(); room !== undefined; room = rooms.pop()) await application.remove(room);
  });
  await Promise.all(removers);
}

/** Does something again until it succeeds: the fault may just have moved a leader, or be only now over. @throws the last attempt's error. */
async function patiently<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await delay(ATTEMPT_PAUSE_MS);
    }
  }
}
