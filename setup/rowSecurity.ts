import type { CitusSpec } from "../topology/plan";
import { freeRows, ROW_POLICY, secureRows } from "../topology/rowSecurity";
import { alterTable } from "./alterTable";
import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import type { Report } from "./report";
import { SetupError } from "./setupError";
import { tablesOfTenants } from "./tablesOfTenants";

/** A table with policies. */
interface Secured {
  readonly table: string;
  /** The product's is there. */
  readonly own: boolean;
  /** It is there as it is made, and holds for everybody. */
  readonly whole: boolean;
  /** One that is not the product's. */
  readonly other: string | null;
}

/**
 * Brings row-level security to the plan: a policy on each table of tenants and its partitions where it is wanted, none of the product's where not.
 *
 * @throws {@link SetupError} if a table is locked until the deadline, or has a policy that would show more.
 */
export async function reconcileRowSecurity(coordinator: Coordinator, { schema }: CitusSpec, deadline: Deadline, report: Report): Promise<void> {
  const secured = await securedTables(coordinator);
  if (schema.rowSecurity !== true && !secured.some(({ own }) => own)) return;
  report.activity = "reconciling row-level security";
  const wanted = schema.rowSecurity === true ? await tablesOfTenants(coordinator, Object.entries(schema.tables)) : [];
  const otherwise = "set schema.rowSecurity to false";
  for (const { table, other } of secured.filter((known) => known.own && !wanted.some(({ table }) => table === known.table))) {
    await alterTable(coordinator, { table, statements: freeRows(table, other === null), otherwise }, deadline, report);
    report.did(table, `row-level security is off${other === null ? "" : ", but for policies that are not the product's"}: tenancy.tenant does not say any more which rows are seen`);
  }
  for (const { table, column, type } of wanted) {
    const known = secured.find((one) => one.table === table);
    if (typeof known?.other === "string") {
      throw new SetupError(`${table} has a policy of its own, ${known.other}, which Citus makes permissive on the shards: rows of other tenants would be seen by it. Drop it, or ${otherwise}, and run the update again`);
    }
    if (known?.whole === true) continue;
    await alterTable(coordinator, { table, statements: [...(known === undefined ? [] : freeRows(table, false)), ...secureRows(table, column, type)], otherwise }, deadline, report);
    report.did(table, `row-level security by ${column}: who is no superuser sees and writes the rows of tenancy.tenant and no others`);
  }
}

function securedTables(coordinator: Coordinator): Promise<Secured[]> {
  return coordinator.query<Secured>(
    `SELECT c.oid::regclass::text AS "table", bool_or(ours) AS own, min(polname::text) FILTER (WHERE NOT ours) AS other,
       relrowsecurity AND relforcerowsecurity AND bool_or(ours AND polpermissive AND polcmd = '*' AND polroles = '{0}' AND pg_get_expr(polqual, polrelid) = pg_get_expr(polwithcheck, polrelid)
         AND pg_get_expr(polqual, polrelid) LIKE '%current_setting(''tenancy.tenant''::text, true)%') AS whole
     FROM pg_policy p JOIN pg_class c ON c.oid = polrelid JOIN pg_dist_partition ON logicalrelid = c.oid CROSS JOIN LATERAL (SELECT polname = $1 AS ours) AS whose
     GROUP BY c.oid ORDER BY 1`,
    [ROW_POLICY],
  );
}
