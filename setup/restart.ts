import type { NodeAddress } from "../topology/plan";
import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import { containerState, docker } from "./docker";
import { nodeState, type NodeState } from "./nodeState";
import { configurationFile, describeChange, type ParameterChange } from "./parameterChange";
import type { Report } from "./report";
import { SetupError } from "./setupError";

/** A node whose parameters were changed. */
export interface ChangedNode {
  readonly node: NodeAddress;
  /** Its state before the change. */
  readonly before: NodeState;
  readonly changes: readonly ParameterChange[];
  /** Parameters that take effect at the next restart. */
  readonly pendingRestart: readonly string[];
}

/** How long PostgreSQL may take to stop before Docker kills it. */
const STOP_SECONDS = 60;
/** A server that ended this often since its restart will not come up. */
const HOPELESS_RESTARTS = 2;

/**
 * Restarts the nodes that have to, one at a time, each back in service before the next goes.
 *
 * @throws {@link SetupError} that names a node that does not start with its new parameters; it has its earlier ones again.
 */
export async function restartNodes(coordinator: Coordinator, nodes: readonly ChangedNode[], deadline: Deadline, report: Report): Promise<void> {
  const pending = nodes.filter(({ pendingRestart }) => pendingRestart.length > 0);
  for (const changed of pending) {
    const { node, changes, pendingRestart } = changed;
    await beAlone(coordinator, deadline, report);
    report.activity = `restarting ${node.container}`;
    const values = pendingRestart.map((name) => {
      const change = changes.find((candidate) => candidate.name === name);
      return change === undefined ? name : describeChange(change);
    });
    await run(["restart", "-t", String(STOP_SECONDS), node.container], `restart ${node.container}`);
    if (await comesUp(coordinator, changed, deadline)) {
      report.did(node.container, `restarted with ${values.join(", ")}`);
      continue;
    }
    await putBack(changed);
    const runs = await comesUp(coordinator, changed, deadline);
    throw new SetupError(
      `${node.container} did not start with ${values.join(", ")}; its earlier parameters were put back and it ${runs ? "runs again" : "still does not start"}. ` +
        `Correct the configuration; docker logs ${node.container} has the server's reason`,
    );
  }
  // The session remembers connections to the nodes as they were.
  if (pending.length > 0) {
    await coordinator.reconnect();
    await beAlone(coordinator, deadline, report);
  }
}

/** Waits until the set-up is the cluster's only one again: when its session ends, the guard may begin to bring a worker back that was restarted. */
async function beAlone(coordinator: Coordinator, deadline: Deadline, report: Report): Promise<void> {
  report.activity = "waiting for the guard to bring a worker back";
  await deadline.poll(
    async () => (await coordinator.lock()) || undefined,
    () => `The guard, or another set-up, was still at work when the set-up's ${deadline.seconds} s were over. Run the update again; it goes on where it was`,
  );
}

/** Waits until a restarted node is in service; false if its server ends again and again. */
async function comesUp(coordinator: Coordinator, { node }: ChangedNode, deadline: Deadline): Promise<boolean> {
  return deadline.poll(
    async () => {
      // Where the coordinator itself restarts, the session ends, too.
      const state = await nodeState(coordinator, node).catch(() => coordinator.reconnect().catch(() => undefined));
      if (state !== undefined) return true;
      const { stdout } = await docker(["inspect", "--format", "{{.RestartCount}} {{.State.Status}}", node.container]);
      const [restarts, status] = stdout.split(" ");
      return Number(restarts) >= HOPELESS_RESTARTS || status === "exited" ? false : undefined;
    },
    async () =>
      `${node.container} was not back in service when the set-up's ${deadline.seconds} s were over; ${await containerState(node.container)}. ` +
      `Look at docker logs ${node.container}, then run the update again`,
  );
}

/** Gives a server that does not start the parameters that it had; one whose earlier value is not known gets its default. */
async function putBack({ node, before, changes, pendingRestart }: ChangedNode): Promise<void> {
  const known = new Set(changes.map(({ name }) => name));
  const earlier = Object.entries(before.parameters).filter(([name]) => known.has(name) || !pendingRestart.includes(name));
  await run(["stop", "-t", String(STOP_SECONDS), node.container], `stop ${node.container}`);
  const { stdout: image } = await docker(["inspect", "--format", "{{.Image}}", node.container]);
  const shell = ["--entrypoint", "sh", image, "-c", 'cat > "$0/postgresql.auto.conf"', before.dataDirectory];
  const content = configurationFile(Object.fromEntries(earlier));
  await run(["run", "--rm", "-i", "--network", "none", "--volumes-from", node.container, ...shell], `put back the parameters of ${node.container}`, content);
  await run(["start", node.container], `start ${node.container}`);
}

async function run(args: readonly string[], purpose: string, input?: string): Promise<void> {
  const { code, stderr } = await docker(args, input);
  if (code !== 0) throw new SetupError(`Docker could not ${purpose}: ${stderr.replace(/\s+/g, " ")}`);
}
