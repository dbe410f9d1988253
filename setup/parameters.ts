import type { Parameters } from "../topology/parameters";
import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import { nodeState } from "./nodeState";
import { describeChange, inverse, parameterChanges, statementOf } from "./parameterChange";
import type { LiveNode } from "./readiness";
import type { Report } from "./report";
import { restartNodes, type ChangedNode } from "./restart";
import { reason, SetupError } from "./setupError";

/** A node and the parameters that it should have; those set live and not here are reset. */
export interface ParameterPlan extends LiveNode {
  readonly parameters: Parameters;
}

/**
 * Brings the parameters of nodes to the plan: written everywhere or nowhere, then reloaded, then restarted node by node
 * where a parameter asks for it.
 *
 * @throws {@link SetupError} that names the node, the parameter and the value that it refuses.
 */
export async function reconcileParameters(coordinator: Coordinator, plans: readonly ParameterPlan[], deadline: Deadline, report: Report): Promise<void> {
  const nodes = plans.map(({ node, state, parameters }): ChangedNode => {
    return { node, before: state, changes: parameterChanges(state.parameters, parameters), pendingRestart: state.pendingRestart };
  });
  await write(coordinator, nodes, report);
  const reloaded = await reload(coordinator, nodes, deadline, report);
  for (const { node, changes, pendingRestart } of reloaded) {
    for (const change of changes) {
      if (!pendingRestart.includes(change.name)) report.did(node.container, `${describeChange(change)}, reloaded`);
    }
  }
  try {
    await restartNodes(coordinator, reloaded, deadline, report);
  } catch (error) {
    // The node that did not start has its earlier parameters again; the others would differ from it.
    await undo(coordinator, reloaded).catch(() => undefined);
    throw error;
  }
}

/** Writes changes on every node. The servers have not read them, so where one refuses a value, all are undone without effect. */
async function write(coordinator: Coordinator, nodes: readonly ChangedNode[], report: Report): Promise<void> {
  report.activity = "writing parameters";
  const writes = nodes.flatMap(({ node, changes }) => changes.map((change) => ({ node, change })));
  const answers = await coordinator.runOnNodes(writes.map(({ node, change }) => ({ node, statement: statementOf(change) })));
  const refused = writes.find((_, index) => answers[index]?.ok !== true);
  if (refused === undefined) return;
  await undo(coordinator, nodes);
  const why = reason(answers[writes.indexOf(refused)]?.result);
  throw new SetupError(
    `${refused.node.container} refuses the parameter ${describeChange(refused.change)}: ${why}. Correct it in the configuration; no parameter was changed`,
  );
}

/** Takes changes back, best effort: the update has failed already. */
async function undo(coordinator: Coordinator, nodes: readonly ChangedNode[]): Promise<void> {
  await coordinator.runOnNodes(nodes.flatMap(({ node, changes }) => changes.map((change) => ({ node, statement: statementOf(inverse(change)) }))));
  await coordinator.onNodes(nodes.filter(({ changes }) => changes.length > 0).map(({ node }) => node), "SELECT pg_reload_conf()");
}

/** Makes servers read what was written, and learns what takes a restart. */
async function reload(coordinator: Coordinator, nodes: readonly ChangedNode[], deadline: Deadline, report: Report): Promise<ChangedNode[]> {
  report.activity = "reloading parameters";
  const stale = nodes.filter(({ changes, before }) => changes.length > 0 || before.reloadDue);
  await coordinator.onNodes(stale.map(({ node }) => node), "SELECT pg_reload_conf()");
  const reloaded: ChangedNode[] = [];
  for (const changed of nodes) {
    const after = !stale.includes(changed)
      ? changed.before
      : await deadline.poll(
          async () => {
            const state = await nodeState(coordinator, changed.node);
            return state?.loadedAt === changed.before.loadedAt ? undefined : state;
          },
          () => `${changed.node.container} did not reload its parameters within ${deadline.seconds} s. See: docker logs ${changed.node.container}`,
          20,
        );
    reloaded.push({ ...changed, pendingRestart: after.pendingRestart });
  }
  return reloaded;
}
