import type { Client } from "pg";
import type { Site } from "./site";
import { TenantError } from "./tenantError";

/** Schemas of the product's own tables: none of them has rows of tenants. */
export const OWN_SCHEMAS: readonly string[] = ["sharding", "tenancy", "chaos", "bench_fence"];

/** The fence's triggers on a table; those of a row are on each of its shards, too, and a partition has them from its table. */
const ROW_TRIGGERS = ["tenancy_insert", "tenancy_update", "tenancy_delete"];
const TRIGGERS = [...ROW_TRIGGERS, "tenancy_truncate"];

/** What stands in the way of moves, by its kind. */
type Kind = "unfenced" | "partition" | "old" | "key" | "identity" | "unlogged" | "foreign key" | "trigger" | "type";

/** A hindrance as the catalog shows it. */
export interface Hindrance {
  readonly kind: Kind;
  /** The table, schema and name, quoted where it has to be. */
  readonly name: string;
  /** What it is about, beside the table: another table, a trigger, a type. */
  readonly about: string | null;
}

/** Types that write each value in one way alone, whatever a session has set: two texts of one value would be two tenants. */
const UNAMBIGUOUS = ["int2", "int4", "int8", "uuid", "text", "varchar", "bpchar", "bool"];

const HINDRANCES = `
  WITH spread AS (
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind, c.relispartition, c.relpersistence, c.relreplident, p.colocationid, a.attname AS "column", a.atttypid, a.attcollation,
      (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = ANY ($1) AND t.tgenabled = 'A' AND (t.tgname = ANY ($4)) = (t.tgtype & 1 = 1)) AS guards,
      EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = ANY ($1)) AS fenced
    FROM pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = column_to_column_name(p.logicalrelid, p.partkey)
    WHERE p.partmethod = 'h' AND n.nspname <> ALL ($2)),
  tenants AS (SELECT * FROM spread WHERE fenced)
  SELECT kind, name, about FROM (
    SELECT CASE WHEN s.relispartition THEN 'partition' ELSE 'unfenced' END AS kind, s.name, (SELECT min(t.name) FROM tenants t WHERE t.colocationid = s.colocationid OR t."column" = s."column") AS about FROM spread s WHERE NOT fenced
    UNION ALL SELECT CASE WHEN relispartition THEN 'partition' ELSE 'old' END, name, name FROM tenants WHERE guards < cardinality($1)
    UNION ALL SELECT 'key', name, "column" FROM tenants t WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indisprimary)
    UNION ALL SELECT 'identity', name, NULL FROM tenants WHERE relkind <> 'p' AND relreplident <> 'd'
    UNION ALL SELECT 'unlogged', name, NULL FROM tenants WHERE relpersistence = 'u'
    UNION ALL SELECT 'foreign key', name, confrelid::regclass::text FROM tenants t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f' WHERE k.confrelid NOT IN (SELECT oid FROM tenants)
    UNION ALL SELECT 'trigger', name, tgname FROM tenants t JOIN pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal AND g.tgenabled IN ('A', 'R') AND g.tgname <> ALL ($1)
    UNION ALL SELECT 'type', name, format_type(atttypid, NULL) || coalesce((SELECT ' with the collation ' || collname FROM pg_collation l WHERE l.oid = attcollation AND NOT collisdeterministic), '')
      FROM tenants t JOIN pg_type y ON y.oid = atttypid JOIN pg_type base ON base.oid = coalesce(nullif(y.typbasetype, 0), y.oid)
      WHERE (base.typname <> ALL ($3) AND base.typtype <> 'e') OR EXISTS (SELECT FROM pg_collation l WHERE l.oid = attcollation AND NOT collisdeterministic)
  ) AS found WHERE kind NOT IN ('unfenced', 'partition') OR about IS NOT NULL
  ORDER BY 1 DESC, 2, 3`;

/** Why no tenant of a cluster can be moved, one sentence each, of what can be seen without a move: an empty list where there is nothing in the way. */
export async function hindrancesOf(coordinator: Client): Promise<string[]> {
  const { rows } = await coordinator.query<Hindrance>(HINDRANCES, [TRIGGERS, OWN_SCHEMAS, UNAMBIGUOUS, ROW_TRIGGERS]);
  return rows.map(sentence);
}

/** One of {@link hindrancesOf} as a warning of its own. */
export function hindranceWarning(cluster: string, hindrance: string): string {
  return `No tenant can be moved from ${cluster} or to it. ${hindrance}.`;
}

/** What a hindrance is, and the way out of it. */
export function sentence({ kind, name, about }: Hindrance): string {
  switch (kind) {
    case "unfenced":
      return `The table ${name} is spread as ${about} is and has no fence: rows of its tenants would stay behind. Put it into schema.tables and run npm run up`;
    case "partition":
      return `The partition ${name} is not wholly fenced yet: who truncates it by its name is not refused. Run npm run up`;
    case "old":
      return `The table ${name} has the fence of an older version. Run npm run up`;
    case "key":
      return `The table ${name} has no primary key, so that a change of a row cannot be followed while its tenant moves. Give it one, with ${about} in it`;
    case "identity":
      return `The table ${name} has a replica identity other than its primary key. Run ALTER TABLE ${name} REPLICA IDENTITY DEFAULT`;
    case "unlogged":
      return `The table ${name} is unlogged, so that its changes cannot be followed. Run ALTER TABLE ${name} SET LOGGED`;
    case "foreign key":
      return `The table ${name} has a foreign key to ${about}, which has no rows of tenants: whether the other cluster has the row that it needs is not seen while a tenant moves. Drop the key`;
    case "trigger":
      return `The trigger ${about} of ${name} would fire again for rows that arrive at a new home. Run ALTER TABLE ${name} ENABLE TRIGGER ${about}, with which it rests for them`;
    case "type":
      return `The table ${name} is spread by a column of type ${about}, which writes one value in several ways, each of which would be a tenant of its own. Use bigint, uuid or text`;
  }
}

/** @throws {@link TenantError} where something is in the way of every move from or to a cluster. */
export async function refuseHindered(sites: readonly Site[]): Promise<void> {
  const found = await Promise.all(sites.map(async ({ name, coordinator }) => (await hindrancesOf(coordinator)).map((hindrance) => `Cluster ${name} can take part in no move. ${hindrance}`)));
  const [first] = found.flat();
  if (first !== undefined) throw new TenantError(first);
}

/** @throws {@link TenantError} if a shard lacks the fence on a worker, whatever the coordinator thinks of its table. */
export async function refuseUnfencedShards(site: Site, node: string, relations: readonly string[]): Promise<void> {
  const { rows } = await (await site.node(node)).query<{ relation: string }>(
    `SELECT relation FROM unnest($1::text[]) AS relation
     WHERE (SELECT count(*) FROM pg_trigger WHERE tgrelid = relation::regclass AND tgenabled = 'A' AND tgtype & 1 = 1 AND tgname ~ $2) < $3`,
    [relations, `^(${ROW_TRIGGERS.join("|")})_\\d+$`, ROW_TRIGGERS.length],
  );
  const [bare] = rows;
  if (bare !== undefined) throw new TenantError(`The shard ${bare.relation} on ${node} of cluster ${site.name} has no fence. Run npm run up`);
}
