/**
 * Creates what says which migrations a cluster has (`npm run tenant -- migrate`). It is local to the coordinator, so that the record of one and what it changed on all nodes are one commit. Of a migration that runs outside of a
 * transaction `applied_at` is null from its beginning to its end.
 */
export const CREATE_MIGRATIONS: readonly string[] = [
  "CREATE TABLE tenancy.migration (name text PRIMARY KEY, checksum text NOT NULL, begun_at timestamptz NOT NULL DEFAULT clock_timestamp(), applied_at timestamptz)",
];
