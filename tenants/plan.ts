import type { QueryConfig } from "pg";
import { clusterOf } from "../router/tickets";
import type { Site } from "./site";
import { tenantTables } from "./tenantTables";

/** A tenant as it is found in a cluster. */
export interface TenantSize {
  readonly tenant: string;
  readonly home: string;
  readonly rows: number;
  /** Bytes of its rows, without indexes and empty space, of one copy. */
  readonly bytes: number;
}

/** A move that a ring asks for. */
export interface PlannedMove extends TenantSize {
  readonly to: string;
}

/** Summing up every row of large tables takes its time. */
const SCAN_TIMEOUT_MS = 600_000;

/** Every tenant that has rows in a cluster, as a query of `tenant`, `rows` and `bytes`. */
async function foundIn(site: Site): Promise<string> {
  const tables = await tenantTables(site);
  return tables.map(({ name, column }) => `SELECT ${column}::text AS tenant, count(*) AS rows, sum(pg_column_size(counted.*)) AS bytes FROM ${name} AS counted GROUP BY ${column}`).join(" UNION ALL ");
}

/** The tenants that live in a cluster and have rows, the largest first. */
export async function tenantsOf(site: Site): Promise<TenantSize[]> {
  const { rows } = await site.coordinator.query<{ tenant: string; rows: string; bytes: string }>({
    text: `WITH found AS MATERIALIZED (${await foundIn(site)}), known AS MATERIALIZED (SELECT tenant, home FROM tenancy.tenant)
      SELECT tenant, sum(rows) AS rows, sum(bytes) AS bytes FROM found LEFT JOIN known USING (tenant) WHERE coalesce(home, $1) = $1 GROUP BY tenant ORDER BY sum(bytes) DESC, tenant`,
    values: [site.name],
    query_timeout: SCAN_TIMEOUT_MS,
  } as QueryConfig);
  return rows.map((row) => ({ tenant: row.tenant, home: site.name, rows: Number(row.rows), bytes: Number(row.bytes) }));
}

/**
 * What has to move so that every tenant lives where a ring puts it, the largest of each cluster first. Who was moved by hand stays where it is, unless that cluster is not in the ring; from there tenants go as well that have
 * a record and no rows.
 *
 * @param clusters the tickets of the ring's clusters.
 */
export async function planMoves(sites: readonly Site[], clusters: readonly string[]): Promise<PlannedMove[]> {
  const ring = [...clusters].sort();
  const planned = await Promise.all(
    sites.map(async (site) => {
      // Only who has to move comes over the wire.
      const { rows } = await site.coordinator.query<{ tenant: string; winner: string; rows: string; bytes: string }>({
        text: `WITH found AS MATERIALIZED (${await foundIn(site)}), known AS MATERIALIZED (SELECT tenant, home, pinned FROM tenancy.tenant),
          sized AS MATERIALIZED (SELECT tenant, sum(rows) AS rows, sum(bytes) AS bytes FROM found GROUP BY tenant)
          SELECT tenant, winner, rows, bytes FROM (
            SELECT tenant, tenancy.winner(tenant, $2) AS winner, coalesce(rows, 0) AS rows, coalesce(bytes, 0) AS bytes FROM sized FULL JOIN known USING (tenant)
            WHERE coalesce(home, $1) = $1 AND (NOT $3 OR (rows IS NOT NULL AND pinned IS NOT FALSE))) AS here
          WHERE winner <> $1 ORDER BY bytes DESC, tenant`,
        values: [site.name, ring, ring.some((ticket) => clusterOf(ticket) === site.name)],
        query_timeout: SCAN_TIMEOUT_MS,
      } as QueryConfig);
      return rows.map((row) => ({ tenant: row.tenant, home: site.name, rows: Number(row.rows), bytes: Number(row.bytes), to: row.winner }));
    }),
  );
  return planned.flat();
}
