import type { CitusSpec, NodeAddress } from "../topology/plan";
import { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import { containerState } from "./docker";
import { askNodes, type NodeState } from "./nodeState";
import type { Report } from "./report";
import { reason, SetupError } from "./setupError";

/** A rejected password is believed after this long: a server may come up before its roles do. */
const PASSWORD_GRACE_MS = 5000;
const WRONG_PASSWORD = "28P01";

/**
 * Waits until the coordinator takes writes and has Citus, alone: no other set-up of the cluster is running.
 *
 * @throws {@link SetupError} when time is up, or the password is refused.
 */
export async function waitForCoordinator(spec: CitusSpec, deadline: Deadline, report: Report): Promise<Coordinator> {
  const { endpoint } = spec;
  const name = spec.coordinator?.container ?? `${spec.cluster}'s coordinator`;
  const address = `${endpoint.host}:${endpoint.port}`;
  report.activity = `waiting for ${name} on ${address}`;
  let problem = "";
  let refusedSince: number | undefined;
  const late = async (): Promise<string> => {
    const container = spec.coordinator?.container;
    const state = container === undefined ? "" : `; ${await containerState(container)}. Look at docker logs ${container}, then run the update again`;
    return `${name} was not ready on ${address} within ${deadline.seconds} s: ${problem}${state}`;
  };
  const coordinator = await deadline.poll(async () => {
    let candidate: Coordinator | undefined;
    try {
      candidate = await Coordinator.connect(name, endpoint);
      problem = await shortcoming(candidate, spec);
    } catch (error) {
      problem = reason(error);
      const refused = (error as { code?: string }).code === WRONG_PASSWORD;
      refusedSince = refused ? (refusedSince ?? performance.now()) : undefined;
      if (refusedSince !== undefined && performance.now() - refusedSince > PASSWORD_GRACE_MS) {
        throw new SetupError(
          `${name} refuses the password of ${endpoint.user}: its data was created with another one. Set superuserPassword to that one, or change it there with ALTER ROLE`,
        );
      }
    }
    if (candidate !== undefined && problem === "") return candidate;
    await candidate?.close();
    return undefined;
  }, late);
  if (spec.coordinator !== undefined) await ensureCitus(coordinator, report);
  return coordinator;
}

/** Why a coordinator that accepts connections cannot be set up yet; empty if it can. */
async function shortcoming(coordinator: Coordinator, spec: CitusSpec): Promise<string> {
  const { recovering, citus } = await coordinator.row<{ recovering: boolean; citus: boolean }>(
    "SELECT pg_is_in_recovery() AS recovering, EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') AS citus",
  );
  if (recovering) return "it is a standby and takes no writes";
  if (spec.coordinator === undefined) {
    if (!citus) return "Patroni has not created the extension citus";
    const { registered } = await coordinator.row<{ registered: boolean }>(
      "SELECT EXISTS (SELECT FROM pg_dist_node WHERE groupid = 0 AND noderole = 'primary') AS registered",
    );
    if (!registered) return "Patroni has not registered it as group 0";
  }
  return (await coordinator.lock()) ? "" : "another set-up of the cluster is running, or its guard brings a worker back";
}

async function ensureCitus(coordinator: Coordinator, report: Report): Promise<void> {
  const { citus } = await coordinator.row<{ citus: boolean }>("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') AS citus");
  if (citus) return;
  await coordinator.query("CREATE EXTENSION IF NOT EXISTS citus");
  report.did(coordinator.name, "extension citus created");
}

/** A node that answers the coordinator. */
export interface LiveNode {
  readonly node: NodeAddress;
  readonly state: NodeState;
}

/**
 * Waits until the coordinator reaches every node of the plan by its address, registered or not, and each has Citus.
 *
 * @returns the nodes in their order, each with its state.
 * @throws {@link SetupError} that names the nodes that are missing, when time is up.
 */
export async function waitForNodes(coordinator: Coordinator, nodes: readonly NodeAddress[], deadline: Deadline, report: Report): Promise<LiveNode[]> {
  const states = new Map<NodeAddress, NodeState>();
  let missing = nodes;
  const late = async (): Promise<string> => {
    const [node] = missing as [NodeAddress];
    const others = missing.length > 1 ? `, nor ${missing.slice(1).map(({ container }) => container).join(", ")}` : "";
    const cause = await coordinator.unreachableBecause(node).catch(reason);
    return (
      `${coordinator.name} did not reach ${node.container} on ${node.host}:${node.port} within ${deadline.seconds} s${others}: ` +
      `${cause ?? "it answers, but without Citus"}; ${await containerState(node.container)}. ` +
      `Look at docker logs ${node.container}, then run the update again`
    );
  };
  return deadline.poll(async () => {
    report.activity = `waiting for ${missing.map(({ container }) => container).join(", ")}`;
    for (const [index, reply] of (await askNodes(coordinator, missing)).entries()) {
      const node = missing[index] as NodeAddress;
      if ("state" in reply) states.set(node, reply.state);
      else if (reply.error.includes("pg_dist_local_group")) await createCitus(coordinator, node, report);
    }
    missing = nodes.filter((node) => !states.has(node));
    return missing.length === 0 ? nodes.map((node) => ({ node, state: states.get(node) as NodeState })) : undefined;
  }, late);
}

async function createCitus(coordinator: Coordinator, node: NodeAddress, report: Report): Promise<void> {
  const [answer] = await coordinator.onNodes([node], "CREATE EXTENSION IF NOT EXISTS citus");
  if (answer?.ok !== true) throw new SetupError(`${node.container} cannot create the extension citus: ${reason(answer?.result)}. Use an image that has it`);
  report.did(node.container, "extension citus created");
}

/** Creates the extensions on the coordinator; Citus creates them on workers that are registered, or when they are. */
export async function ensureExtensions(coordinator: Coordinator, extensions: readonly string[], report: Report): Promise<void> {
  const present = await coordinator.query<{ extname: string }>("SELECT extname FROM pg_extension WHERE extname = ANY ($1)", [extensions]);
  for (const extension of extensions.filter((name) => !present.some(({ extname }) => extname === name))) {
    report.activity = `creating extension ${extension}`;
    await coordinator.query(`CREATE EXTENSION IF NOT EXISTS "${extension}"`).catch((error: unknown) => {
      throw new SetupError(`${coordinator.name} cannot create the extension ${extension}: ${reason(error)}. Use an image that has it, or take it out of the plan`);
    });
    report.did(coordinator.name, `extension ${extension} created`);
  }
}
