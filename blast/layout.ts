import { guards } from "../chaos/target";
import type { StackPlan } from "../topology/plan";

/** How a stack survives, in some words: `2 clusters of 3 workers, 2 copies of each shard, guarded`. */
export function layoutOf(plan: StackPlan): string {
  const { clusters, coordinators, workerGroups = [] } = plan;
  const workers = clusters.map((cluster) => cluster.workers.length);
  const copies = Math.max(...clusters.map(({ setup }) => setup.replicationFactor));
  const parts = [
    ...(coordinators === undefined ? [`${counted(clusters.length, "cluster")} of ${[...new Set(workers)].join(" or ")} workers`] : [counted(coordinators.members.length, "coordinator")]),
    ...(workerGroups.length > 0 ? [`${counted(workerGroups.length, "worker group")} of ${workerGroups[0]?.members.length ?? 0}`] : []),
    ...(coordinators !== undefined && (workers[0] ?? 0) > 0 ? [counted(workers[0] ?? 0, "plain worker")] : []),
    `${counted(copies, "copy", "copies")} of each shard`,
    ...(guards(plan).length > 0 ? ["guarded"] : []),
  ];
  return parts.join(", ");
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
