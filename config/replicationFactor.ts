import { areGroups, workerNames, type GroupedWorkers } from "./names";

/** Placements of each shard where nobody set them: two, so that one worker may die, unless workers have standbys of their own, or there is one worker alone. */
export function defaultReplicationFactor(workers: number | readonly string[] | GroupedWorkers): number {
  return areGroups(workers) ? 1 : Math.min(2, workerNames(workers, "worker").length);
}
