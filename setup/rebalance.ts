import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import { plannedMoves, transfer } from "./placements";
import { registeredWorkers, SPREAD } from "./registry";
import type { Report } from "./report";

/** Remembers, in the transaction that adds a worker, that shards have to be spread on to it: a set-up that is killed must not forget. */
export async function markRebalance(coordinator: Coordinator): Promise<void> {
  await coordinator.query(
    `UPDATE pg_dist_node_metadata SET metadata = metadata || '{"rebalanceDue": true}' WHERE EXISTS (SELECT FROM pg_dist_partition WHERE ${SPREAD})`,
  );
}

/**
 * Spreads shards evenly if a worker was added since the last time, or has none. Otherwise shards stay where they are:
 * someone may have put them there.
 */
export async function rebalance(coordinator: Coordinator, deadline: Deadline, report: Report): Promise<void> {
  report.activity = "planning a rebalance";
  const { due } = await coordinator.row<{ due: boolean }>("SELECT metadata ? 'rebalanceDue' AS due FROM pg_dist_node_metadata");
  const idle = (await registeredWorkers(coordinator)).filter(({ active, placements }) => active && placements === 0);
  if (!due && idle.length === 0) return;
  const moves = await plannedMoves(coordinator, "rebalance");
  const targets = [...new Set(moves.map(({ to }) => to.host))].sort();
  await transfer(coordinator, `rebalance to ${targets.join(", ")}`, moves, deadline, report);
  if (due) await coordinator.query("UPDATE pg_dist_node_metadata SET metadata = metadata - 'rebalanceDue'");
}
