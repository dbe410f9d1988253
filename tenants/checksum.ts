import type { Client } from "pg";
import { anyOf } from "./anyOf";
import type { TenantShard } from "./tenantTables";

/** How many rows a table has of tenants, and a number that differs if one of them does. */
export interface Checksum {
  readonly rows: number;
  /** The sum of a 64-bit hash of each row's text: the order of rows does not matter. */
  readonly sum: string;
}

const sums = (columns: readonly string[]): string => `count(*)::text AS rows, coalesce(sum(hashtextextended(ROW(${columns.join(", ")})::text, 0)), 0)::text AS sum`;

/** The checksum of the rows of tenants in one copy of a shard, of all of them together. The session prints values as every session of a move does. */
export async function checksumOf(session: Client, { table, relation }: TenantShard, tenants: readonly string[]): Promise<Checksum> {
  const { rows } = await session.query<{ rows: string; sum: string }>(`SELECT ${sums(table.columns)} FROM ${relation} WHERE ${anyOf(table.column, tenants)}`);
  const { rows: count, sum } = rows[0] as { rows: string; sum: string };
  return { rows: Number(count), sum };
}

/** As {@link checksumOf}, of each tenant that has rows, as one text to compare. */
export async function checksumsOf(session: Client, { table, relation }: TenantShard, tenants: readonly string[]): Promise<Map<string, string>> {
  const { rows } = await session.query<{ tenant: string; rows: string; sum: string }>(
    `SELECT ${table.column}::text AS tenant, ${sums(table.columns)} FROM ${relation} WHERE ${anyOf(table.column, tenants)} GROUP BY ${table.column}`,
  );
  return new Map(rows.map(({ tenant, rows: count, sum }) => [tenant, `${count} ${sum}`]));
}
