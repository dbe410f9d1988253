import type { GuardState } from "../agents/guard/state";
import { listed } from "./print";

/** A guard whose state is older than this has stopped looking, in milliseconds. */
const STALE_MS = 10_000;

/** What a guard knows, in a few words: `watching 3 workers`, `worker_a2 disabled 12 s ago, copying 4 of 11 shards`. */
export function guardNote({ at, coordinator, workers, copying, note }: GuardState, now: Date): string {
  const ago = (time: string): string => `${Math.max(0, Math.round((now.getTime() - new Date(time).getTime()) / 1000))} s ago`;
  if (now.getTime() - new Date(at).getTime() > STALE_MS) return `last heard ${ago(at)}`;
  if (coordinator === "standby") return "waiting, its coordinator is a standby";
  if (coordinator === "silent") return "its coordinator does not answer";
  const away = workers.filter(({ state }) => state !== "watched").map(({ name, state, since }) => `${name} ${state === "empty" ? "without its data" : state} ${ago(since)}`);
  const parts = [
    ...(away.length === 0 ? [`watching ${workers.length} ${workers.length === 1 ? "worker" : "workers"}`] : [listed(away)]),
    ...(copying === undefined ? [] : [`copying ${Math.min(copying.done + 1, copying.total)} of ${copying.total} shards`]),
    ...(note === undefined ? [] : [note]),
  ];
  return parts.join(", ");
}
