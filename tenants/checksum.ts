import { escapeLiteral, type Client } from "pg";
import type { TenantShard } from "./tenantTables";

/** How many rows a table has of a tenant, and a number that differs if one of them does. */
export interface Checksum {
  readonly rows: number;
  /** The sum of a 64-bit hash of each row's text: the order of rows does not matter. */
  readonly sum: string;
}

/** The checksum of a tenant's rows in one copy of a shard. The session prints values as every session of a move does. */
export async function checksumOf(session: Client, { table, relation }: TenantShard, tenant: string): Promise<Checksum> {
  const { rows } = await session.query<{ rows: string; sum: string }>(
    `SELECT count(*)::text AS rows, coalesce(sum(hashtextextended(ROW(${table.columns.join(", ")})::text, 0)), 0)::text AS sum FROM ${relation} WHERE ${table.column} = ${escapeLiteral(tenant)}`,
  );
  const { rows: count, sum } = rows[0] as { rows: string; sum: string };
  return { rows: Number(count), sum };
}
