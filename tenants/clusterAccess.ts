/** How one reaches a cluster to move tenants: its coordinator, and each worker by the name that Citus knows it by. */
export interface ClusterAccess {
  /** The cluster's name, as in the stack's `clusters`. */
  readonly name: string;
  /** Connection URI of the coordinator, of a superuser. */
  readonly uri: string;
  /** Where each node is reached from here, by host and port as in `pg_dist_node`: `worker_a1:5432`. */
  readonly nodes: Readonly<Record<string, { readonly host: string; readonly port: number }>>;
}
