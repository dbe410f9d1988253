import type { Coordinator } from "./coordinator";

/** A table that has rows of tenants. */
export interface TableOfTenants {
  /** As it is written in SQL. */
  readonly table: string;
  /** The name of its distribution column. */
  readonly column: string;
  /** The type of that, with its schema, as it is written in SQL. */
  readonly type: string;
  /** The table of the plan that it is, or is a partition of. */
  readonly root: string;
}

/** The tables of the plan and their partitions: what is said of a table does not hold for who names a partition. @param planned names of tables, each with its distribution column. */
export function tablesOfTenants(coordinator: Coordinator, planned: readonly (readonly [string, string])[]): Promise<TableOfTenants[]> {
  return coordinator.query<TableOfTenants>(
    `WITH named AS (SELECT to_regclass(quote_ident(name))::oid AS oid, "column", position FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS named (name, "column", position)),
       planned AS (SELECT * FROM named n WHERE NOT EXISTS (SELECT FROM named whole WHERE whole.oid <> n.oid AND n.oid IN (SELECT relid FROM pg_partition_tree(whole.oid))))
     SELECT c.oid::regclass::text AS "table", attname AS "column", format('%I.%I', typnamespace::regnamespace, typname) AS type, planned.oid::regclass::text AS root
     FROM planned CROSS JOIN LATERAL (SELECT planned.oid UNION SELECT relid FROM pg_partition_tree(planned.oid)) AS c
       JOIN pg_class ON pg_class.oid = c.oid JOIN pg_dist_partition ON logicalrelid = c.oid JOIN pg_attribute ON attrelid = c.oid AND attname = "column" JOIN pg_type t ON t.oid = atttypid
     ORDER BY position, 1`,
    [planned.map(([name]) => name), planned.map(([, column]) => column)],
  );
}
