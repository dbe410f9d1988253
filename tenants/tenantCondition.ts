import { escapeLiteral } from "pg";

/**
 * The condition that a row is of one of these tenants, as SQL without parameters, which neither COPY nor a publication takes. The literal has no type, so that it is read as the column's whatever that is.
 *
 * @param column the distribution column, quoted where it has to be.
 */
export function tenantCondition(column: string, tenants: readonly string[]): string {
  const [only] = tenants;
  if (only !== undefined && tenants.length === 1) return `${column} = ${escapeLiteral(only)}`;
  // One array: PostgreSQL keeps a publication's condition as a tree, in which a list would be a node for each tenant.
  return `${column} = ANY (${escapeLiteral(`{${tenants.map((tenant) => `"${tenant.replace(/["\\]/g, "\\$&")}"`).join(",")}}`)})`;
}
