import type { NodeAddress } from "../topology/plan";
import type { Coordinator } from "./coordinator";

/** A worker as the coordinator has it registered. */
export interface RegisteredWorker {
  readonly groupId: number;
  readonly host: string;
  readonly port: number;
  readonly active: boolean;
  /** Whether the coordinator believes its metadata to be up to date. */
  readonly synced: boolean;
  readonly takesShards: boolean;
  /** Placements on it, of tables that are spread over workers. */
  readonly placements: number;
}

/** The rows of pg_dist_partition whose shards are spread over workers: neither reference tables nor tables local to the coordinator. */
export const SPREAD = "(partmethod = 'h' OR (partmethod = 'n' AND repmodel = 's' AND colocationid <> 0))";

/** The workers that the coordinator knows; group 0, the coordinator itself, is left out. */
export function registeredWorkers(coordinator: Coordinator): Promise<RegisteredWorker[]> {
  return coordinator.query<RegisteredWorker>(`
    SELECT groupid AS "groupId", nodename AS host, nodeport AS port, isactive AS active, hasmetadata AND metadatasynced AS synced,
      shouldhaveshards AS "takesShards", (
        SELECT count(*)::int FROM pg_dist_placement p JOIN pg_dist_shard USING (shardid) JOIN pg_dist_partition USING (logicalrelid)
        WHERE p.groupid = n.groupid AND ${SPREAD}) AS placements
    FROM pg_dist_node n WHERE groupid <> 0 AND noderole = 'primary' ORDER BY nodename, nodeport`);
}

/** Whether two addresses are one node's. */
export function sameNode(one: { readonly host: string; readonly port: number }, other: { readonly host: string; readonly port: number }): boolean {
  return one.host === other.host && one.port === other.port;
}

/** The registered worker at an address, or undefined. */
export function findWorker(workers: readonly RegisteredWorker[], node: NodeAddress): RegisteredWorker | undefined {
  return workers.find((worker) => sameNode(worker, node));
}
