import { OWN_SCHEMAS } from "./hindrances";
import type { Site } from "./site";
import { TenantError } from "./tenantError";

/** A table that has rows of tenants, on one cluster. */
export interface TenantTable {
  /** Schema and name, quoted where it has to be. */
  readonly name: string;
  /** The distribution column, which holds the tenant; quoted where it has to be. */
  readonly column: string;
  /** The column's type with its schema, as it is written in SQL. */
  readonly type: string;
  /** Columns that are stored, in order, quoted where it has to be; those that PostgreSQL computes are left out. */
  readonly columns: readonly string[];
  /** A description of the columns and the key, equal on two clusters whose tables are alike. */
  readonly shape: string;
  /** Columns by which replication tells rows apart; empty if there are none. */
  readonly key: readonly string[];
  /** Sequences that its columns take their defaults from, quoted where it has to be. */
  readonly sequences: readonly string[];
}

/** A copy of a shard. */
export interface Placement {
  readonly id: string;
  /** The worker, as Citus names it: `worker_a1:5432`. */
  readonly node: string;
}

/** Where one table's rows of one tenant are. */
export interface TenantShard {
  readonly table: TenantTable;
  /** The shard's own table on each worker that has it, schema and name, quoted where it has to be. */
  readonly relation: string;
  readonly shardId: string;
  readonly placements: readonly Placement[];
}

/** The tables that the fence watches, by name: those whose rows belong to tenants. Of a partitioned table they are its partitions, which have the rows. */
export async function tenantTables(site: Site): Promise<TenantTable[]> {
  const { rows } = await site.coordinator.query<TenantTable>(`
    SELECT format('%I.%I', n.nspname, c.relname) AS name, quote_ident(a.attname) AS "column", format('%I.%I', y.typnamespace::regnamespace, y.typname) AS type,
      (SELECT json_agg(quote_ident(attname) ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '') AS columns,
      (SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attgenerated <> '' THEN ' generated' ELSE '' END, ', ' ORDER BY attnum)
         FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS shape,
      coalesce((SELECT json_agg(quote_ident(attname)) FROM pg_index i JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = ANY (i.indkey)
         WHERE i.indrelid = c.oid AND i.indisprimary), '[]') AS key,
      coalesce((SELECT json_agg(DISTINCT format('%s.%I', s.relnamespace::regnamespace, s.relname)) FROM pg_class s WHERE s.relkind = 'S' AND (
         EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = top.oid AND d.deptype IN ('a', 'i'))
         OR EXISTS (SELECT FROM pg_attrdef e JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = e.oid WHERE e.adrelid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid))), '[]') AS sequences
    FROM pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = column_to_column_name(p.logicalrelid, p.partkey) JOIN pg_type y ON y.oid = a.atttypid
      -- The identity of a partitioned table is one for all its partitions.
      CROSS JOIN LATERAL (SELECT coalesce(pg_partition_root(c.oid), c.oid) AS oid) AS top
    WHERE p.partmethod = 'h' AND c.relkind <> 'p' AND n.nspname <> ALL ($1) AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'tenancy_insert')
    ORDER BY 1`, [OWN_SCHEMAS]);
  if (rows.length === 0) throw new TenantError(`Cluster ${site.name} has no tables of tenants: the fence is not installed. Set tenantFence to true and run npm run up`);
  return rows;
}

/**
 * Refuses what cannot be moved.
 *
 * @throws {@link TenantError} that names the table and what would be right.
 */
export function refuseUnlike(from: string, tables: readonly TenantTable[], to: string, others: readonly TenantTable[]): void {
  for (const { name, column, key, shape } of tables) {
    if (key.length === 0) throw new TenantError(`The table ${name} has no primary key, so that a change of a row cannot be followed while its tenant moves. Give it one, with ${column} in it`);
    const other = others.find((table) => table.name === name);
    if (other === undefined) throw new TenantError(`Cluster ${to} has no table ${name} for tenants. Run npm run up, which makes the tables of every cluster alike`);
    if (other.shape !== shape) throw new TenantError(`The table ${name} is not the same on ${from} (${shape}) and on ${to} (${other.shape}). Make them alike first`);
  }
  const more = others.find(({ name }) => !tables.some((table) => table.name === name));
  if (more !== undefined) throw new TenantError(`Cluster ${from} has no table ${more.name} for tenants, and ${to} has it. Run npm run up, which makes the tables of every cluster alike`);
}

/** Where a tenant's rows are, table by table. */
export async function tenantShards(site: Site, tables: readonly TenantTable[], tenant: string): Promise<TenantShard[]> {
  const { rows } = await site.coordinator.query<{ name: string; shardId: string; relation: string; placements: Placement[] }>(
    `SELECT t.name, s.shardid::text AS "shardId", shard_name(t.name::regclass, s.shardid, false) AS relation,
       (SELECT json_agg(json_build_object('id', p.placementid::text, 'node', d.nodename || ':' || d.nodeport) ORDER BY p.placementid)
          FROM pg_dist_placement p JOIN pg_dist_node d ON d.groupid = p.groupid AND d.noderole = 'primary' AND d.isactive WHERE p.shardid = s.shardid) AS placements
     FROM unnest($1::text[]) WITH ORDINALITY AS t (name, position)
       JOIN LATERAL (SELECT get_shard_id_for_distribution_column(t.name::regclass, $2::text) AS shardid) s ON true
     ORDER BY t.position`,
    [tables.map(({ name }) => name), tenant],
  );
  return rows.map(({ name, ...shard }) => ({ table: tables.find((table) => table.name === name) as TenantTable, ...shard, placements: shard.placements ?? [] }));
}

/** Few enough for one statement, many enough to be quick. */
const TENANTS_AT_ONCE = 10_000;

/** Which shards the rows of tenants are in, as one text that is the same for tenants whose rows are together, whatever the table. */
export async function shardsByTenant({ coordinator }: Site, tables: readonly TenantTable[], tenants: readonly string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (let from = 0; from < tenants.length; from += TENANTS_AT_ONCE) {
    const { rows } = await coordinator.query<{ shards: string; tenants: string[] }>(
      // Tables that are colocated have a tenant in shards of the same number: one of them stands for all.
      `WITH first AS MATERIALIZED (SELECT min(logicalrelid::oid) AS relation FROM pg_dist_partition WHERE logicalrelid = ANY ($1::text[]::regclass[]) GROUP BY colocationid)
       SELECT shards, array_agg(tenant) AS tenants FROM (
         SELECT tenant, (SELECT string_agg(get_shard_id_for_distribution_column(relation, tenant)::text, ' ' ORDER BY relation) FROM first) AS shards FROM unnest($2::text[]) AS tenant) AS found
       GROUP BY shards`,
      [tables.map(({ name }) => name), tenants.slice(from, from + TENANTS_AT_ONCE)],
    );
    for (const { shards, tenants: together } of rows) for (const tenant of together) found.set(tenant, shards);
  }
  return found;
}

/** Tenants whose rows are in the same shards, and these shards. */
export interface ShardGroup {
  readonly tenants: readonly string[];
  readonly shards: readonly TenantShard[];
}

/** Where the rows of tenants are: those that are in the same shards together. */
export async function shardGroups(site: Site, tables: readonly TenantTable[], tenants: readonly string[]): Promise<ShardGroup[]> {
  const groups = new Map<string, string[]>();
  for (const [tenant, shards] of await shardsByTenant(site, tables, tenants)) {
    const group = groups.get(shards);
    if (group === undefined) groups.set(shards, [tenant]);
    else group.push(tenant);
  }
  const found: ShardGroup[] = [];
  for (const together of groups.values()) found.push({ tenants: together, shards: await tenantShards(site, tables, together[0] as string) });
  return found;
}

/**
 * The text that the databases write a tenant's id with: `01`, `+1` and `1` are the same bigint, and records and hashes go by the text.
 *
 * @throws {@link TenantError} if the tenant cannot be a value of the distribution columns.
 */
export async function canonicalTenant(site: Site, tenant: string): Promise<string> {
  const [{ type }] = (await tenantTables(site)) as [TenantTable];
  const { rows } = await site.coordinator.query<{ id: string }>(`SELECT $1::text::${type}::text AS id`, [tenant]).catch((error: unknown) => {
    if ((error as { code?: string }).code?.startsWith("22") === true) throw new TenantError(`${tenant} cannot be a tenant: ${(error as Error).message}`);
    throw error;
  });
  return (rows[0] as { id: string }).id;
}

/** Which copies of a tenant's shards there are, as one text to compare. */
export function placementsOf(shards: readonly TenantShard[]): string {
  return shards.map(({ shardId, placements }) => `${shardId}: ${placements.map(({ id, node }) => `${id}@${node}`).join(" ")}`).join(", ");
}

/** The workers that have a copy of one of the shards. */
export function nodesOf(shards: readonly TenantShard[]): string[] {
  return [...new Set(shards.flatMap(({ placements }) => placements.map(({ node }) => node)))];
}

/** The worker that has a copy of every table's shard: colocated shards are together. @throws {@link TenantError} if there is none. */
export function commonNodes(site: string, shards: readonly TenantShard[]): string[] {
  const [first, ...rest] = shards.map(({ placements }) => placements.map(({ node }) => node));
  const nodes = (first ?? []).filter((node) => rest.every((others) => others.includes(node)));
  if (nodes.length === 0) throw new TenantError(`No worker of cluster ${site} has the tenant's shards of all tables: a worker is away, or the tables are not colocated. npm run status tells`);
  return nodes;
}
