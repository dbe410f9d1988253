import { ConfigurationError } from "./errors";

/** A tenant's id: the value of the distribution column. */
export type TenantId = string | number | bigint;

/** Types of distribution columns of which the router knows how the databases write a value, which is what they hash. */
export type IdType = "smallint" | "integer" | "bigint" | "uuid" | "text" | "character";

/** A table of tenants, as a cluster's catalogues have it. */
export interface TenantTable {
  readonly table: string;
  /** The distribution column's type, and the kind of that: `e` for an enum. */
  readonly type: string;
  readonly kind: string;
  /** Table and distribution column as a statement has them. */
  readonly relation: string;
  readonly column: string;
  /** Whether it is no partition, and who asks may read it. */
  readonly readable: boolean;
}

/** The tables that the fence watches: {@link TenantTable}. */
export const TENANT_TABLES = `
  SELECT p.logicalrelid::text AS "table", format_type(b.oid, NULL) AS type, b.typtype AS kind,
    format('%I.%I', s.nspname, c.relname) AS relation, quote_ident(a.attname) AS "column",
    NOT c.relispartition AND has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(s.oid, 'USAGE') AS readable
  FROM pg_dist_partition p
    JOIN pg_class c ON c.oid = p.logicalrelid
    JOIN pg_namespace s ON s.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = p.logicalrelid AND a.attname = column_to_column_name(p.logicalrelid, p.partkey)
    JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
  WHERE p.partmethod = 'h'
    AND EXISTS (SELECT FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid JOIN pg_namespace n ON n.oid = f.pronamespace WHERE g.tgrelid = p.logicalrelid AND n.nspname = 'tenancy')
  ORDER BY 1`;

const BITS: Partial<Record<IdType, bigint>> = { smallint: 16n, integer: 32n, bigint: 64n };

/** How a table's ids are written. @throws {@link ConfigurationError} if the router does not know that. */
export function idTypeOf(cluster: string, { table, type, kind }: Pick<TenantTable, "table" | "type" | "kind">): IdType {
  switch (type) {
    case "smallint":
    case "integer":
    case "bigint":
    case "uuid":
    case "text":
    case "character":
      return type;
    case "character varying":
    case "name":
      return "text";
    default:
      if (kind === "e") return "text";
      throw new ConfigurationError(`clusters.${cluster}: ${table} is distributed by a column of type ${type}, of which one value can be written in several ways. The router takes bigint, integer, smallint, uuid, text, varchar and enums`);
  }
}

/**
 * A tenant's id as the databases write it: `042` is 42 to a bigint, and an upper-case UUID is the same in lower case.
 *
 * @throws {@link ConfigurationError} if the column cannot have it.
 */
export function idOf(tenant: TenantId, type: IdType | undefined): string {
  const given = typeof tenant;
  const safe = given === "bigint" || (given === "number" ? Number.isSafeInteger(tenant) : given === "string" && tenant !== "");
  if (!safe) throw new ConfigurationError(`A tenant's id must be a bigint, a safe integer or a text that is not empty, and is ${given === "string" ? "empty" : String(tenant)}`);
  const id = String(tenant);
  switch (type) {
    case "smallint":
    case "integer":
    case "bigint":
      return wholeNumber(id, type);
    case "uuid":
      return uuid(id);
    case "character":
      return written(id.replace(/ +$/, ""), "character");
    case "text":
    case undefined:
      return written(id, "text");
  }
}

function wholeNumber(id: string, type: IdType): string {
  // The usual: as the databases write it, and not too large for any of them.
  if (/^(?:0|-?[1-9]\d{0,3})$/.test(id) || (type === "bigint" && /^-?[1-9]\d{0,17}$/.test(id))) return id;
  if (/^[+-]?\d{1,100}$/.test(id)) {
    const number = BigInt(id.replace("+", ""));
    if (BigInt.asIntN(Number(BITS[type]), number) === number) return number.toString();
  }
  throw impossible(id, type, "a whole number in its range, in digits");
}

function uuid(id: string): string {
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(id)) return id;
  const bare = id.startsWith("{") && id.endsWith("}") ? id.slice(1, -1) : id;
  if (!/^[0-9a-f]{4}(?:-?[0-9a-f]{4}){7}$/i.test(bare)) throw impossible(id, "uuid", "a UUID such as a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
  return bare.toLowerCase().replaceAll("-", "").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Texts as they are; what has no form in UTF-8 cannot be one. */
function written(id: string, type: IdType): string {
  if (id === "" || /[\0\p{Surrogate}]/u.test(id)) throw impossible(id, type, "a text that is not empty, without NUL and unpaired surrogates");
  return id;
}

function impossible(id: string, type: IdType, right: string): ConfigurationError {
  return new ConfigurationError(`${JSON.stringify(id.slice(0, 100))} cannot be a tenant: the distribution column is of type ${type}, so it must be ${right}`);
}
