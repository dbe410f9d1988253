/*
 * The SQL of row-level security, which has a statement see and write the rows of one tenant (docs/tenants.md). It is run by the set-up on a coordinator; Citus brings it to the shards, where it is enforced.
 */

/** The policy on each table. Others widen it: Citus 13.2 makes every policy permissive on the shards, also one that is restrictive on the coordinator. */
export const ROW_POLICY = "tenancy_tenant";

/**
 * Has a table show and take rows of the tenant that `tenancy.tenant` names, and of none where it names none. It is the setting that is cast, and not the column, so that an index on the column is used. The owner is held to
 * it as well; superusers and roles with BYPASSRLS are not.
 *
 * @param table as it is written in SQL.
 * @param column the name of its distribution column.
 * @param type that one's type, as it is written in SQL.
 */
export function secureRows(table: string, column: string, type: string): string[] {
  // Once SET LOCAL has set it, it is empty in that session when the transaction is over, and not absent.
  const own = `("${column.replaceAll('"', '""')}" = nullif(current_setting('tenancy.tenant', true), '')::${type})`;
  return [`CREATE POLICY ${ROW_POLICY} ON ${table} USING ${own} WITH CHECK ${own}`, `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`, `ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`];
}

/** Takes the policy away again. @param last no policy of somebody else is left, for which row-level security would have to stay on. */
export function freeRows(table: string, last: boolean): string[] {
  return [`DROP POLICY ${ROW_POLICY} ON ${table}`, ...(last ? [`ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY`, `ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY`] : [])];
}
