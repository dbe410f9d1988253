import { setTimeout as delay } from "node:timers/promises";
import type { ContainerPlan } from "../topology/plan";
import { Failure } from "./failure";
import { guardNote } from "./guardNote";
import { guardStates } from "./guardStates";
import type { Stack } from "./stack";

/** A guard has noticed what happened to its workers after this long, in milliseconds. */
const NOTICED_MS = 2000;
const POLL_MS = 300;
/** All of a worker's shards are copied anew when it comes back. */
const COPIED_MS = 3_600_000;

/**
 * Waits until the guard of a worker's cluster, if it has one, has brought back whatever it took out of service: another
 * worker that goes before that would take the last placement of some shards with it.
 *
 * @throws {@link Failure} with what the guard says, when it does not within an hour.
 */
export async function waitForGuard({ name, plan }: Stack, worker: ContainerPlan, doing: (activity: string) => void): Promise<void> {
  const guards = plan.clusters.find(({ workers }) => workers.includes(worker))?.guards.map((guard) => guard.name) ?? [];
  if (guards.length === 0) return;
  const [noticedAt, endsAt] = [Date.now() + NOTICED_MS, Date.now() + COPIED_MS];
  for (;;) {
    const states = await guardStates(guards);
    const active = [...states.values()].find(({ coordinator }) => coordinator === "primary");
    if (active !== undefined && Date.parse(active.at) > noticedAt && active.copying === undefined && active.workers.every(({ state }) => state === "watched")) return;
    const note = active === undefined ? "no guard of its cluster is beside the coordinator" : guardNote(active, new Date());
    if (Date.now() > endsAt) throw new Failure(`${worker.name} is back, but its cluster is not whole: ${note}. npm run status -- ${name} has more.`);
    doing(`waiting for the guard: ${note}`);
    await delay(POLL_MS);
  }
}
