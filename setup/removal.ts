import { FIRST_GROUP, type CitusSpec, type NodeAddress } from "../topology/plan";
import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import { describeLost, lostShards } from "./lostShards";
import { plannedMoves, transfer } from "./placements";
import { registeredWorkers, sameNode, type RegisteredWorker } from "./registry";
import type { Report } from "./report";
import { reason, SetupError } from "./setupError";
import { retireGroup } from "./workerGroups";

/** The registered workers that the plan has no more, with the names to call them by. */
async function surplusWorkers(coordinator: Coordinator, spec: CitusSpec): Promise<RegisteredWorker[]> {
  const planned = [...spec.workers, ...spec.workerGroups.flatMap(({ members }) => members)];
  return (await registeredWorkers(coordinator)).filter((worker) => !planned.some((node) => sameNode(node, worker)));
}

/**
 * Takes out workers that the plan has no more and that do not answer, so that they do not fail what comes after.
 *
 * @throws {@link SetupError} that names the worker, if it holds the only copy of a shard.
 */
export async function removeDeadWorkers(coordinator: Coordinator, spec: CitusSpec, report: Report): Promise<void> {
  const surplus = await surplusWorkers(coordinator, spec);
  const answers = await coordinator.onNodes(surplus.map(addressOf), "SELECT 1");
  const dead = surplus.filter((_, index) => answers[index]?.ok !== true);
  if (dead.length === 0) return;
  const shards = await lostShards(coordinator, dead.map(({ groupId }) => groupId));
  if (shards.length > 0) {
    const names = dead.filter(({ groupId }) => shards.some(({ groupIds }) => groupIds.includes(groupId))).map(({ host }) => host);
    throw new SetupError(
      `${names.join(", ")} cannot be drained and removed: no answer to ${coordinator.name}, and the only copy of ${describeLost(shards)}. ` +
        `Start it again and run the update again: docker start ${names.join(" ")}. If its data is gone, put it back into the configuration first`,
    );
  }
  for (const worker of dead) {
    report.activity = `removing ${worker.host}, which does not answer`;
    try {
      if (worker.active) await coordinator.query("SELECT citus_disable_node($1, $2, true)", [worker.host, worker.port]);
      await coordinator.query("SELECT citus_remove_node($1, $2)", [worker.host, worker.port]);
    } catch (error) {
      throw new SetupError(`${worker.host} does not answer and could not be removed: ${reason(error)}. Mend that and run the update again`);
    }
    report.did(worker.host, "removed, it does not answer; every shard has another placement");
  }
}

/**
 * Moves every shard off the workers that the plan has no more, then takes them out of the cluster.
 *
 * @throws {@link SetupError} that names the worker, if a shard stays on it; it is then still part of the cluster.
 */
export async function drainWorkers(coordinator: Coordinator, spec: CitusSpec, deadline: Deadline, report: Report): Promise<void> {
  const surplus = await surplusWorkers(coordinator, spec);
  if (surplus.length === 0) return;
  for (const { host, port } of surplus.filter(({ takesShards }) => takesShards)) {
    await coordinator.query("SELECT citus_set_node_property($1, $2, 'shouldhaveshards', false)", [host, port]);
  }
  const names = surplus.map(({ host }) => host).join(", ");
  report.activity = `draining ${names}`;
  const moves = await plannedMoves(coordinator, "drain").catch((error: unknown) => {
    throw new SetupError(`${names} cannot be drained: ${reason(error)}. Nothing was moved`);
  });
  await transfer(coordinator, `draining ${names}`, moves, deadline, report);
  const left = (await surplusWorkers(coordinator, spec)).filter(({ placements }) => placements > 0);
  const [stuck] = left;
  if (stuck !== undefined) {
    throw new SetupError(
      `${stuck.host} cannot be removed: no other worker can take its ${stuck.placements} shards, as each keeps one placement of a shard at most. Keep it, or add a worker`,
    );
  }
  // What was moved away is dropped at leisure; later there is nobody to drop it.
  await coordinator.query("CALL citus_cleanup_orphaned_resources()");
  for (const worker of surplus) {
    await retire(coordinator, worker, spec, report).catch((error: unknown) => {
      if (error instanceof SetupError) throw error;
      throw new SetupError(`${worker.host} is drained but could not be removed: ${reason(error)}. Mend that and run the update again`);
    });
    report.did(worker.host, "drained and removed");
  }
}

/** Takes a drained worker out of the cluster. */
async function retire(coordinator: Coordinator, { groupId, host, port }: RegisteredWorker, spec: CitusSpec, report: Report): Promise<void> {
  if (groupId >= FIRST_GROUP) await retireGroup(coordinator, groupId, spec, report);
  else await coordinator.query("SELECT citus_remove_node($1, $2)", [host, port]);
}

function addressOf({ host, port }: RegisteredWorker): NodeAddress {
  return { host, port, container: host };
}
