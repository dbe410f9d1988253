import { escapeLiteral } from "pg";
import type { TenantTable } from "./tenantId";

/** How often a session reads for a tenant that is on its way: each read meets another copy of the tenant's shards, and two copies is what there are at the most. */
export const WARM_UP_READS = 2;

/**
 * Reads that have a session do what it does once, and what its first statement for a tenant would wait for: it connects to the workers of the tenant's shards, and reads catalogues. They look for no row: the tenant has none
 * yet, and where no index begins with its column all others would be read.
 */
export function warmUp(tables: readonly TenantTable[], tenant: string): string {
  const reads = tables.map(({ relation, column }) => `SELECT 1 FROM ${relation} WHERE ${column} = ${escapeLiteral(tenant)} LIMIT 0`);
  // By turns, so that the next transaction of the session meets the other copy.
  return ["BEGIN READ ONLY", "SET LOCAL citus.task_assignment_policy TO 'round-robin'", ...reads, "COMMIT"].join("; ");
}
