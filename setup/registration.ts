import type { NodeAddress } from "../topology/plan";
import { recoverOn } from "../topology/recovery";
import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import type { NodeState } from "./nodeState";
import type { LiveNode } from "./readiness";
import { markRebalance } from "./rebalance";
import { findWorker, registeredWorkers } from "./registry";
import type { Report } from "./report";
import { reason, SetupError } from "./setupError";

/**
 * Refuses to start a new cluster over an old one: a coordinator that knows nothing, and workers that hold shards.
 *
 * @throws {@link SetupError} that says how to go on.
 */
export async function refuseLostCoordinator(coordinator: Coordinator, workers: readonly LiveNode[]): Promise<void> {
  const { empty } = await coordinator.row<{ empty: boolean }>(
    "SELECT NOT EXISTS (SELECT FROM pg_dist_partition) AND NOT EXISTS (SELECT FROM pg_dist_node WHERE groupid <> 0) AS empty",
  );
  if (!empty) return;
  const holders = workers.filter(({ state }) => state.tables > 0).map(({ node }) => node.container);
  if (holders.length === 0) return;
  throw new SetupError(
    `${coordinator.name} is empty, but ${holders.join(", ")} ${holders.length > 1 ? "hold" : "holds"} shards of the cluster that it coordinated: ` +
      `its data was lost, and with it the knowledge of where rows are. ` +
      "Restore its volume from a backup, or give up the data: npm run down, which drops the workers' volumes too, and up again",
  );
}

/**
 * Refuses workers that no update has registered and whose databases belong to a cluster: what an earlier worker of that name left in its
 * volume is of no use to the coordinator, which would take it for empty.
 *
 * @throws {@link SetupError} that says how to drop it.
 */
export async function refuseUsedWorkers(coordinator: Coordinator, workers: readonly LiveNode[]): Promise<void> {
  const registered = await registeredWorkers(coordinator);
  const used = workers.filter(({ node, state }) => findWorker(registered, node) === undefined && (state.groupId !== 0 || state.tables > 0)).map(({ node }) => node.container);
  if (used.length === 0) return;
  const [is, its, them] = used.length === 1 ? ["is", "its volume holds", "it"] : ["are", "their volumes hold", "them"];
  throw new SetupError(
    `${used.join(", ")} ${is} not registered with ${coordinator.name}, and ${its} what an earlier worker of that name left there. Nothing in the cluster counts on it; drop ${them}: ` +
      `docker rm -f ${used.join(" ")} && docker volume rm ${used.map((name) => `${name}-data`).join(" ")}, and run the update again with --refresh (npm run up sees to that by itself)`,
  );
}

/** Gives the coordinator the address that workers reach it by. Where Patroni is the coordinator, it does that itself. */
export async function ensureCoordinatorHost(coordinator: Coordinator, node: NodeAddress | undefined, report: Report): Promise<void> {
  if (node === undefined) return;
  const registered = await coordinator.query("SELECT FROM pg_dist_node WHERE groupid = 0 AND nodename = $1 AND nodeport = $2", [node.host, node.port]);
  if (registered.length > 0) return;
  await coordinator.query("SELECT citus_set_coordinator_host($1, $2)", [node.host, node.port]);
  report.did(node.container, `registered as coordinator on ${node.host}:${node.port}`);
}

/** Registers the workers of the plan, activates those that were disabled, and lets those that were to be drained take shards again. */
export async function registerWorkers(coordinator: Coordinator, workers: readonly LiveNode[], deadline: Deadline, report: Report): Promise<void> {
  report.activity = "registering workers";
  await untilTakenOut(coordinator, deadline);
  const registered = await registeredWorkers(coordinator);
  const fresh: NodeAddress[] = [];
  for (const { node } of workers) {
    const worker = findWorker(registered, node);
    if (worker === undefined) fresh.push(node);
    else if (worker.active && worker.takesShards) report.found(node.container, "registered already");
    if (worker?.active === false) await activate(coordinator, node, worker.groupId, deadline, report);
    if (worker?.takesShards === false) {
      await coordinator.transaction(async () => {
        await coordinator.query("SELECT citus_set_node_property($1, $2, 'shouldhaveshards', true)", [node.host, node.port]);
        await markRebalance(coordinator);
      });
      report.did(node.container, "takes shards again");
    }
  }
  if (fresh.length > 0) await add(coordinator, fresh, report);
}

async function add(coordinator: Coordinator, nodes: readonly NodeAddress[], report: Report): Promise<void> {
  await coordinator
    .transaction(async () => {
      const addresses = [nodes.map(({ host }) => host), nodes.map(({ port }) => port)];
      await coordinator.query("SELECT citus_add_node(host, port) FROM unnest($1::text[], $2::int[]) AS node (host, port)", addresses);
      await markRebalance(coordinator);
    })
    .catch((error: unknown) => {
      const names = nodes.map(({ container }) => container).join(", ");
      throw new SetupError(`${names} could not be registered with ${coordinator.name}: ${reason(error)}. Mend that and run the update again`);
    });
  for (const { container } of nodes) report.did(container, "registered");
}

/** Waits until the guard breaks no connections: to a worker that it disabled while that was restarted, a moment ago. */
function untilTakenOut(coordinator: Coordinator, deadline: Deadline): Promise<true> {
  return deadline.poll(
    async () => ((await coordinator.isTakingOut()) ? undefined : true),
    () => `The guard was still taking a worker of ${coordinator.name} out of service when the set-up's ${deadline.seconds} s were over. See docker logs of its guards, and run the update again; it goes on where it was`,
  );
}

/** Brings a disabled worker back. Its placements missed writes: Citus drops those that have copies elsewhere, to be copied anew. */
async function activate(coordinator: Coordinator, node: NodeAddress, groupId: number, deadline: Deadline, report: Report): Promise<void> {
  await untilTakenOut(coordinator, deadline);
  const attempt = async (): Promise<void> => {
    // A transaction that was prepared on the worker before it went keeps locks that its activation, and the copies after it, would wait for.
    const [failed] = await coordinator.query<{ problem: string }>(recoverOn(groupId));
    if (failed !== undefined) throw new Error(failed.problem);
    await coordinator.query("SELECT citus_activate_node($1, $2)", [node.host, node.port]);
  };
  // A connection that Citus has kept is of the time before the worker was restarted: it fails once.
  await attempt().catch(attempt).catch((error: unknown) => {
    throw new SetupError(`${node.container} was disabled and could not be activated: ${reason(error)}. Mend that and run the update again`);
  });
  report.did(node.container, "activated again");
}

/** Gives the coordinator's metadata to workers that know other nodes than it does; Citus itself sees to those that it knows to be behind. */
export async function syncMetadata(coordinator: Coordinator, own: NodeState, workers: readonly LiveNode[], report: Report): Promise<void> {
  const registered = await registeredWorkers(coordinator);
  const behind = workers.filter(({ node, state }) => {
    const worker = findWorker(registered, node);
    return worker?.active === true && worker.groupId === state.groupId && (!worker.synced || state.nodesDigest !== own.nodesDigest);
  });
  if (behind.length === 0) return;
  report.activity = `synchronising the metadata of ${behind.map(({ node }) => node.container).join(", ")}`;
  await coordinator.query("SELECT start_metadata_sync_to_all_nodes()");
  for (const { node } of behind) report.did(node.container, "metadata synchronised");
}
