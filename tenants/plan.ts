import type { QueryConfig } from "pg";
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

/** The tenants that live in a cluster and have rows, the largest first. */
export async function tenantsOf(site: Site): Promise<TenantSize[]> {
  const tables = await tenantTables(site);
  const parts = tables.map(({ name, column }) => `SELECT ${column}::text AS tenant, count(*) AS rows, sum(pg_column_size(counted.*)) AS bytes FROM ${name} AS counted GROUP BY ${column}`);
  const { rows } = await site.coordinator.query<{ tenant: string; rows: string; bytes: string }>({
    text: `WITH found AS MATERIALIZED (${parts.join(" UNION ALL ")}), known AS MATERIALIZED (SELECT tenant, home FROM tenancy.tenant)
      SELECT tenant, sum(rows) AS rows, sum(bytes) AS bytes FROM found LEFT JOIN known USING (tenant) WHERE coalesce(home, $1) = $1 GROUP BY tenant ORDER BY sum(bytes) DESC, tenant`,
    values: [site.name],
    query_timeout: SCAN_TIMEOUT_MS,
  } as QueryConfig);
  return rows.map((row) => ({ tenant: row.tenant, home: site.name, rows: Number(row.rows), bytes: Number(row.bytes) }));
}

/**
 * What has to move so that every tenant lives where a ring puts it. Who was moved by hand stays where it is, unless that cluster is not in the ring; from there tenants go as well that have a record and no rows.
 *
 * @param clusters the clusters of the ring.
 */
export async function planMoves(sites: readonly Site[], clusters: readonly string[]): Promise<PlannedMove[]> {
  const ring = [...clusters].sort();
  const planned = await Promise.all(
    sites.map(async (site) => {
      const found = [...(await tenantsOf(site))];
      if (!ring.includes(site.name)) {
        const { rows: homes } = await site.coordinator.query<{ tenant: string }>("SELECT tenant FROM tenancy.tenant WHERE home = $1 ORDER BY tenant", [site.name]);
        const here = new Set(found.map(({ tenant }) => tenant));
        found.push(...homes.flatMap(({ tenant }) => (here.has(tenant) ? [] : [{ tenant, home: site.name, rows: 0, bytes: 0 }])));
      }
      const { rows } = await site.coordinator.query<{ tenant: string; winner: string; stays: boolean }>({
        text: `WITH known AS MATERIALIZED (SELECT tenant FROM tenancy.tenant WHERE NOT pinned)
          SELECT tenant, tenancy.winner(tenant, $2) AS winner, tenant IN (SELECT tenant FROM known) AS stays FROM unnest($1::text[]) AS tenant`,
        values: [found.map(({ tenant }) => tenant), ring],
        query_timeout: SCAN_TIMEOUT_MS,
      } as QueryConfig);
      const wanted = new Map(rows.map(({ tenant, ...rest }) => [tenant, rest]));
      return found.flatMap((size) => {
        const { winner, stays } = wanted.get(size.tenant) as { winner: string; stays: boolean };
        return winner === site.name || (stays && ring.includes(site.name)) ? [] : [{ ...size, to: winner }];
      });
    }),
  );
  return planned.flat();
}
