import type { NodeAddress } from "../topology/plan";
import type { Coordinator } from "./coordinator";
import { reason } from "./setupError";

/** What a node says of itself. */
export interface NodeState {
  /** The Citus group that the node believes to be; 0 on a worker with an empty data directory. */
  readonly groupId: number;
  /** A digest of the nodes that it knows. */
  readonly nodesDigest: string | null;
  /** Number of distributed tables that it knows. */
  readonly tables: number;
  /** Parameters set by ALTER SYSTEM, values as they were written. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Parameters that take effect at the next restart. */
  readonly pendingRestart: readonly string[];
  /** Parameters were written that the server has not read. */
  readonly reloadDue: boolean;
  /** When the server read its configuration. */
  readonly loadedAt: string;
  readonly dataDirectory: string;
}

const STATE = `
  SELECT json_build_object(
    'groupId', (SELECT groupid FROM pg_dist_local_group),
    'nodesDigest', (
      SELECT md5(string_agg(format('%s %s %s %s %s', groupid, nodename, nodeport, noderole, isactive), ',' ORDER BY groupid, nodename, nodeport)) FROM pg_dist_node),
    'tables', (SELECT count(*) FROM pg_dist_partition),
    'parameters', (
      SELECT coalesce(json_object_agg(name, setting), '{}') FROM pg_file_settings
      WHERE sourcefile = current_setting('data_directory') || '/postgresql.auto.conf'),
    'pendingRestart', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM pg_settings WHERE pending_restart),
    'reloadDue', (SELECT modification > pg_conf_load_time() FROM pg_stat_file('postgresql.auto.conf')),
    'loadedAt', pg_conf_load_time(),
    'dataDirectory', current_setting('data_directory')
  ) AS state`;

/** What one node says of itself, over a connection of the coordinator; the reason if it does not answer, or has no Citus. */
export type NodeReply = { readonly state: NodeState } | { readonly error: string };

/** What nodes say of themselves, in their order. */
export async function askNodes(coordinator: Coordinator, nodes: readonly NodeAddress[]): Promise<NodeReply[]> {
  const answers = await coordinator.onNodes(nodes, STATE);
  return answers.map(({ ok, result }) => (ok ? { state: JSON.parse(result) as NodeState } : { error: reason(result) }));
}

/** The state of one node, or undefined while it does not answer. */
export async function nodeState(coordinator: Coordinator, node: NodeAddress): Promise<NodeState | undefined> {
  const [reply] = await askNodes(coordinator, [node]);
  return reply !== undefined && "state" in reply ? reply.state : undefined;
}

/** The coordinator's own state. */
export async function ownState(coordinator: Coordinator): Promise<NodeState> {
  return (await coordinator.row<{ state: NodeState }>(STATE)).state;
}
