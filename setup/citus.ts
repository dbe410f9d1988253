import type { Parameters } from "../topology/parameters";
import type { CitusSpec, NodeAddress } from "../topology/plan";
import type { Deadline } from "./deadline";
import type { Coordinator } from "./coordinator";
import { distributeTables } from "./distribution";
import { reconcileFence } from "./fence";
import { healLostWorkers } from "./lostWorkers";
import { ownState } from "./nodeState";
import { reconcileParameters } from "./parameters";
import { replicateShards } from "./placements";
import { ensureProbe, proveWritable } from "./probeTable";
import { ensureExtensions, waitForCoordinator, waitForNodes } from "./readiness";
import { quickenFence } from "./quickenFence";
import { rebalance } from "./rebalance";
import { ensureCoordinatorHost, refuseLostCoordinator, refuseUsedWorkers, registerWorkers, syncMetadata } from "./registration";
import { drainWorkers, removeDeadWorkers } from "./removal";
import { reconcileReplicationFactor } from "./replicationFactor";
import type { Report } from "./report";
import { reconcileRowSecurity } from "./rowSecurity";
import { applySchema } from "./schema";
import { waitForGroupLeaders } from "./workerGroups";

/** How often a set-up begins again because its session was ended: by a failover, a restart, or a proxy that missed one answer of a busy leader. */
const TIMES_AGAIN = 3;

/**
 * Brings a live Citus cluster to its plan. Every step finds out what is so already, so that a set-up that was killed is
 * simply run again. The order matters: what does not answer goes first, as it would fail the rest; tables are there
 * before workers are drained; a worker is drained before the caller takes its container away.
 *
 * @param acceptLoss containers of workers whose lost shards may be created again, empty.
 */
export async function reconcileCitus(spec: CitusSpec, acceptLoss: ReadonlySet<string>, deadline: Deadline, report: Report): Promise<void> {
  for (let times = 0; ; times += 1) {
    const coordinator = await waitForCoordinator(spec, deadline, report);
    try {
      return await bringToPlan(coordinator, spec, acceptLoss, deadline, report);
    } catch (error) {
      if (times === TIMES_AGAIN || (await coordinator.answers())) throw error;
      report.found(coordinator.name, `ended the session while ${report.activity}: the set-up begins again`);
    } finally {
      await coordinator.close();
    }
  }
}

async function bringToPlan(coordinator: Coordinator, spec: CitusSpec, acceptLoss: ReadonlySet<string>, deadline: Deadline, report: Report): Promise<void> {
  const own = await ownState(coordinator);
  const ofPatroni = await waitForGroupLeaders(coordinator, spec, deadline, report);
  const nodes = await waitForNodes(coordinator, [...ofPatroni, ...spec.workers, ...(spec.coordinator === undefined ? [] : [spec.coordinator])], deadline, report);
  const workers = nodes.slice(0, ofPatroni.length + spec.workers.length);
  await refuseLostCoordinator(coordinator, workers);
  await removeDeadWorkers(coordinator, spec, report);
  await refuseUsedWorkers(coordinator, workers);
  await healLostWorkers(coordinator, workers, acceptLoss, report);
  await syncMetadata(coordinator, own, workers, report);
  const parametersOf = (node: NodeAddress): Parameters => (node === spec.coordinator ? spec.coordinatorParameters : spec.workerParameters);
  await reconcileParameters(coordinator, nodes.slice(ofPatroni.length).map((live) => ({ ...live, parameters: parametersOf(live.node) })), deadline, report);
  await ensureExtensions(coordinator, spec.extensions, report);
  await ensureCoordinatorHost(coordinator, spec.coordinator, report);
  await registerWorkers(coordinator, workers, deadline, report);
  await applySchema(coordinator, spec.schema.sql, deadline, report);
  await distributeTables(coordinator, spec, report);
  await reconcileReplicationFactor(coordinator, spec, report);
  await reconcileFence(coordinator, spec, deadline, report);
  await reconcileRowSecurity(coordinator, spec, deadline, report);
  const [table] = Object.keys(spec.schema.tables);
  if (table !== undefined) await ensureProbe(coordinator, table, report);
  await drainWorkers(coordinator, spec, deadline, report);
  await replicateShards(coordinator, deadline, report);
  await rebalance(coordinator, deadline, report);
  // A worker that was added has ring and records now.
  if (spec.fence === true) await quickenFence(coordinator);
  if (!report.changed) report.found(spec.cluster, "nothing had to change");
  if (table !== undefined) await proveWritable(coordinator, spec.cluster, report);
}
