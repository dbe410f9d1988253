import { escapeLiteral } from "pg";

/**
 * The condition that a column has one of these values, as SQL without parameters, which neither COPY nor a publication takes. The literal has no type, so that it is read as the column's whatever that is.
 *
 * @param column quoted where it has to be.
 */
export function anyOf(column: string, values: readonly string[]): string {
  const [only] = values;
  if (only !== undefined && values.length === 1) return `${column} = ${escapeLiteral(only)}`;
  // One array: PostgreSQL keeps a publication's condition as a tree, in which a list would be a node for each value.
  return `${column} = ANY (${escapeLiteral(`{${values.map((value) => `"${value.replace(/["\\]/g, "\\$&")}"`).join(",")}}`)})`;
}
