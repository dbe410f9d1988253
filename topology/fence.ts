import { createHash } from "node:crypto";
import { CREATE_MIGRATIONS } from "./migrations";

/*
 * The SQL of the fence, which has each cluster refuse writes of tenants whose home is another one (docs/tenants.md). It is run by the set-up on a coordinator; Citus brings it to the workers.
 */

/** The advisory locks that writers hold until their transaction ends, and how many there are: tenants share them. */
const LOCK = 7777;
const BUCKETS = 1024;

/** The bucket of a tenant, as SQL: the key of its lock, and the part of the records that it is compared in. */
export function bucketOf(text: string): string {
  return `(hashtextextended(${text}, 0) & ${BUCKETS - 1})::integer`;
}

/** The tables of the schema `tenancy` that every node has a copy of. */
export const FENCE_TABLES = ["ring", "tenant", "generation"] as const;

/** The names of the triggers on each fenced table, by what they watch. */
export const FENCE_TRIGGERS = { tenancy_insert: "INSERT", tenancy_update: "UPDATE", tenancy_delete: "DELETE", tenancy_truncate: "TRUNCATE" } as const;

/** The function of the triggers that watch TRUNCATE, which is of no column. */
const TRUNCATE_FUNCTION = "fence";

/** The local tables behind {@link FENCE_TABLES} on every node. */
type Shards = Readonly<Record<(typeof FENCE_TABLES)[number], string>>;

/** A function as the set-up creates it. */
export interface FenceFunction {
  /** Its name in the schema `tenancy`. */
  readonly name: string;
  /** Its text between the quotes, as `pg_proc.prosrc` has it. */
  readonly body: string;
  /** The statement that creates or replaces it. */
  readonly statement: string;
}

/** Creates what the fence remembers. Statements run one by one in a transaction. */
export const CREATE_FENCE_TABLES: readonly string[] = [
  "CREATE SCHEMA IF NOT EXISTS tenancy",
  "CREATE TABLE tenancy.ring (self text PRIMARY KEY, version bigint NOT NULL, clusters text[] NOT NULL, next text[])",
  `CREATE TABLE tenancy.tenant (
    tenant text PRIMARY KEY, home text NOT NULL, epoch bigint NOT NULL, state text NOT NULL CHECK (state IN ('settled', 'moving', 'closed')),
    target text, move text, pinned boolean NOT NULL DEFAULT false)`,
  "CREATE TABLE tenancy.generation (bucket integer PRIMARY KEY, n bigint NOT NULL)",
  ...FENCE_TABLES.map((table) => `SELECT create_reference_table('tenancy.${table}')`),
  `INSERT INTO tenancy.generation SELECT bucket, 0 FROM generate_series(0, ${BUCKETS - 1}) AS bucket`,
  // Local to the coordinator: one commit decides, and no other node has to agree.
  "CREATE TABLE tenancy.handover (tenant text PRIMARY KEY, epoch bigint NOT NULL, move text NOT NULL, taker text)",
  "GRANT USAGE ON SCHEMA tenancy TO public",
  // The triggers run with the rights of whoever writes.
  "GRANT SELECT ON tenancy.ring, tenancy.tenant, tenancy.generation TO public",
];

/**
 * Creates what is local to the coordinator, too, and came later: the highest epoch of a record that went away because it said what the hash says. What has no record was at most in that epoch, so that nothing of before
 * can pass for news.
 */
export const CREATE_HORIZON: readonly string[] = [
  "CREATE TABLE tenancy.horizon (single boolean PRIMARY KEY DEFAULT true CHECK (single), epoch bigint NOT NULL)",
  "INSERT INTO tenancy.horizon (epoch) VALUES (-1)",
];

/**
 * What tells routers what has changed: each record has the transaction that wrote it last, so that a reader who has the snapshot of its last look finds what was committed since, whatever order that was in. Each node
 * stamps its own copy. The first statement has Citus allow triggers that it cannot know to be safe.
 */
export const CREATE_CHANGES: readonly string[] = [
  "SET LOCAL citus.enable_unsafe_triggers = on",
  "ALTER TABLE tenancy.tenant ADD COLUMN changed xid8 NOT NULL DEFAULT pg_current_xact_id()",
  "CREATE INDEX tenant_changed ON tenancy.tenant (changed)",
  "CREATE INDEX tenant_unsettled ON tenancy.tenant (tenant) WHERE move IS NOT NULL OR state <> 'settled'",
  `CREATE FUNCTION tenancy.stamp() RETURNS trigger LANGUAGE plpgsql AS $tenancy$
BEGIN
  NEW.changed := pg_current_xact_id();
  RETURN NEW;
END$tenancy$`,
  "CREATE TRIGGER tenancy_stamp BEFORE INSERT OR UPDATE ON tenancy.tenant FOR EACH ROW EXECUTE FUNCTION tenancy.stamp()",
  "ALTER TABLE tenancy.tenant ENABLE ALWAYS TRIGGER tenancy_stamp",
];

/** Where each cluster is, by its name: the same in every cluster's ring, and no part of how hashing spreads tenants. */
export const CREATE_REGIONS: readonly string[] = ["ALTER TABLE tenancy.ring ADD COLUMN regions jsonb NOT NULL DEFAULT '{}'"];

/** What tells one version of the fence's SQL from another: a stack that has an older one gets the newer by the next update. */
export function fenceDigest(): string {
  const functions = fenceFunctions(["column"], "type", { ring: "ring", tenant: "tenant", generation: "generation" });
  const triggers = (Object.keys(FENCE_TRIGGERS) as (keyof typeof FENCE_TRIGGERS)[]).map((trigger) => [createTrigger("table", trigger, "column"), enableTrigger("table", trigger)]);
  return createHash("sha256").update(JSON.stringify([CREATE_FENCE_TABLES, CREATE_HORIZON, CREATE_CHANGES, CREATE_REGIONS, CREATE_MIGRATIONS, functions, triggers])).digest("hex").slice(0, 12);
}

/**
 * The functions of the fence.
 *
 * @param columns distribution columns of the fenced tables, as they are written in SQL.
 * @param type their type, with its schema, as it is written in SQL: colocated tables have one.
 * @param shards the local tables behind {@link FENCE_TABLES} on every node: a query on a reference table itself would be planned by Citus, which takes longer than all the rest.
 */
export function fenceFunctions(columns: readonly string[], type: string, shards: Shards): FenceFunction[] {
  const winner = `
DECLARE
  best text;
  best_score bigint;
  cluster text;
  score bigint;
BEGIN
  FOREACH cluster IN ARRAY clusters LOOP
    score := hashtextextended(tenant, hashtextextended(cluster, 0));
    IF best IS NULL OR score > best_score THEN
      best := cluster;
      best_score := score;
    END IF;
  END LOOP;
  -- A cluster of weight 3 is there as a, a#1 and a#2.
  RETURN split_part(best, '#', 1);
END`;
  const canonical = `
  SELECT id::${type}::text`;
  const home = `
  SELECT coalesce((SELECT t.home FROM tenancy.tenant t WHERE t.tenant = tenancy.canonical(wanted)), (SELECT tenancy.winner(tenancy.canonical(wanted), r.clusters) FROM tenancy.ring r))`;
  const claim = "t.tenant, t.home, t.epoch, t.state, t.target, t.move IS NULL AND t.state = 'settled'";
  // Two queries, so that each finds its index.
  const changes = `
  SELECT pg_current_snapshot()::text, r.version, r.clusters, c.* FROM ${shards.ring} r LEFT JOIN (
    SELECT ${claim} FROM ${shards.tenant} t WHERE since IS NULL AND (t.move IS NOT NULL OR t.state <> 'settled')
    UNION ALL SELECT ${claim} FROM ${shards.tenant} t WHERE t.changed >= pg_snapshot_xmin(since) AND NOT pg_visible_in_snapshot(t.changed, since)) AS c ON true`;
  const claims = `
  SELECT ${claim} FROM ${shards.tenant} t WHERE t.tenant = ANY (wanted)`;
  // Records of the same tenants in the same epochs are the same.
  const digests = `
  SELECT ${bucketOf("t.tenant")}, count(*), sum(hashtextextended(t.tenant, t.epoch)), count(*) FILTER (WHERE t.home <> ALL (names) OR t.target <> ALL (names)) FROM ${shards.tenant} t GROUP BY 1`;
  const claimed = "tenant text, home text, epoch bigint, state text, target text, over boolean";
  const [share, one, all, truncate] = [shareGenerations(shards), admit(shards), admitAll(shards), truncateBody(shards)];
  return [
    // The one text of an id that every record and hash goes by: 01, +1 and 1 are the same bigint.
    { name: "canonical", body: canonical, statement: `CREATE OR REPLACE FUNCTION tenancy.canonical(id text) RETURNS text LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $tenancy$${canonical}$tenancy$` },
    {
      name: "winner",
      body: winner,
      statement: `CREATE OR REPLACE FUNCTION tenancy.winner(tenant text, clusters text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $tenancy$${winner}$tenancy$`,
    },
    { name: "home", body: home, statement: `CREATE OR REPLACE FUNCTION tenancy.home(wanted text) RETURNS text LANGUAGE sql STABLE STRICT AS $tenancy$${home}$tenancy$` },
    // What routers read: the ring with what is not settled, or what has changed since a snapshot; and what is known of tenants.
    {
      name: "changes",
      body: changes,
      statement: `CREATE OR REPLACE FUNCTION tenancy.changes(since pg_snapshot) RETURNS TABLE (upto text, version bigint, clusters text[], ${claimed}) LANGUAGE sql STABLE AS $tenancy$${changes}$tenancy$`,
    },
    { name: "claims", body: claims, statement: `CREATE OR REPLACE FUNCTION tenancy.claims(wanted text[]) RETURNS TABLE (${claimed}) LANGUAGE sql STABLE AS $tenancy$${claims}$tenancy$` },
    {
      name: "digests",
      body: digests,
      statement: `CREATE OR REPLACE FUNCTION tenancy.digests(names text[]) RETURNS TABLE (bucket integer, records bigint, digest numeric, lost bigint) LANGUAGE sql STABLE AS $tenancy$${digests}$tenancy$`,
    },
    // A share lock needs the right to update, with which anybody could hold up moves and other writers.
    {
      name: "share",
      body: share,
      statement: `CREATE OR REPLACE FUNCTION tenancy.share(buckets integer[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $tenancy$${share}$tenancy$`,
    },
    { name: "admit", body: one, statement: `CREATE OR REPLACE FUNCTION tenancy.admit(wanted text) RETURNS boolean LANGUAGE plpgsql AS $tenancy$${one}$tenancy$` },
    { name: "admit_all", body: all, statement: `CREATE OR REPLACE FUNCTION tenancy.admit_all(wanted text[]) RETURNS void LANGUAGE plpgsql AS $tenancy$${all}$tenancy$` },
    ...[[TRUNCATE_FUNCTION, truncate] as const, ...[...new Set(columns)].sort().map((column) => [triggerFunction("tenancy_insert", column), triggerBody(column)] as const)].map(([name, body]) => ({
      name,
      body,
      statement: `CREATE OR REPLACE FUNCTION tenancy.${quoted(name)}() RETURNS trigger LANGUAGE plpgsql AS $tenancy$${body}$tenancy$`,
    })),
  ];
}

/** The function of one of the triggers of tables with this distribution column. */
export function triggerFunction(trigger: keyof typeof FENCE_TRIGGERS, column: string): string {
  return trigger === "tenancy_truncate" ? TRUNCATE_FUNCTION : `fence_${column}`;
}

/** The rows that each trigger is shown, by the names that {@link triggerBody} has for them. */
const TRANSITIONS: Readonly<Record<keyof typeof FENCE_TRIGGERS, string>> = {
  tenancy_insert: " REFERENCING NEW TABLE AS changed",
  tenancy_update: " REFERENCING OLD TABLE AS previous NEW TABLE AS changed",
  tenancy_delete: " REFERENCING OLD TABLE AS changed",
  tenancy_truncate: "",
};

/** Creates one of the triggers of a table. {@link enableTrigger} has to follow. */
export function createTrigger(table: string, trigger: keyof typeof FENCE_TRIGGERS, column: string): string {
  const when = trigger === "tenancy_truncate" ? "BEFORE" : "AFTER";
  return `CREATE TRIGGER ${trigger} ${when} ${FENCE_TRIGGERS[trigger]} ON ${table}${TRANSITIONS[trigger]} FOR EACH STATEMENT EXECUTE FUNCTION tenancy.${quoted(triggerFunction(trigger, column))}()`;
}

/** Has a trigger fire for sessions whose `session_replication_role` is `replica` as well: those of a move, for whom the triggers and foreign keys of the user have to rest, and who else may set it. */
export function enableTrigger(table: string, trigger: keyof typeof FENCE_TRIGGERS): string {
  return `ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${trigger}`;
}

function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}

/**
 * What a trigger does once a statement: it finds out which tenants were written, and has them admitted. PostgreSQL compiles and plans a trigger's function for each table, which is each shard here, and the functions
 * that it calls once. One tenant is admitted by an expression, which costs less than the query that PERFORM is.
 */
function triggerBody(column: string): string {
  const [id, previous] = [`changed.${quoted(column)}::text`, `previous.${quoted(column)}::text`];
  const written = `(SELECT ${id} FROM changed UNION ALL SELECT ${previous} FROM previous) AS written (id)`;
  return `
DECLARE
  wanted text;
  last text;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    -- Citus lets nobody change a row's tenant, but it does not see who writes into a shard.
    SELECT min(id COLLATE "C"), max(id COLLATE "C") INTO wanted, last FROM ${written};
  ELSE
    SELECT min(${id} COLLATE "C"), max(${id} COLLATE "C") INTO wanted, last FROM changed;
  END IF;
  IF wanted = last THEN
    IF tenancy.admit(wanted) THEN
      RETURN NULL;
    END IF;
  ELSIF wanted IS NOT NULL AND TG_OP = 'UPDATE' THEN
    PERFORM tenancy.admit_all((SELECT array_agg(DISTINCT id) FROM ${written}));
  ELSIF wanted IS NOT NULL THEN
    PERFORM tenancy.admit_all((SELECT array_agg(DISTINCT ${id}) FROM changed));
  END IF;
  RETURN NULL;
END`;
}

/**
 * TRUNCATE is of all tenants of the cluster at once. While one is on its way it is refused: it would empty the one side of the move and not the other. Citus runs the trigger on the node that was given the statement.
 */
function truncateBody({ tenant }: Shards): string {
  return `
DECLARE
  moving text;
BEGIN
  SELECT t.tenant INTO moving FROM ${tenant} t WHERE t.move IS NOT NULL OR t.state <> 'settled' LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING errcode = '55006', message = format('%s cannot be truncated while tenant %s is being moved', TG_TABLE_NAME, moving), hint = 'If nobody moves it any more: npm run tenant -- recover';
  END IF;
  RETURN NULL;
END`;
}

/** Holds the generations of buckets until the transaction ends. */
function shareGenerations({ generation }: Shards): string {
  return `
BEGIN
  PERFORM FROM ${generation} WHERE bucket = ANY (buckets) ORDER BY bucket FOR SHARE;
END`;
}

/**
 * Whether one tenant may be written: true, or an error. The lock comes first, and what is known is read afterwards, by another query, with a snapshot of its own: whoever closes a tenant commits that, and then waits for
 * the locks. Most statements write one tenant; for them there is one query and no more.
 */
function admit({ ring, tenant }: Shards): string {
  const detail = (where: string, epoch: string): string => `detail = json_build_object('tenant', wanted, 'home', ${where}, 'epoch', ${epoch})::text`;
  return `
DECLARE
  known record;
  winner text;
  bound text := current_setting('tenancy.tenant', true);
  mover text := current_setting('tenancy.move', true);
BEGIN
  IF pg_advisory_xact_lock_shared(${LOCK}, ${bucketOf("wanted")}) IS NULL THEN
    NULL;
  END IF;
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM tenancy.share(ARRAY[${bucketOf("wanted")}]);
  END IF;
  IF bound <> '' AND bound <> wanted AND tenancy.canonical(bound) <> wanted THEN
    RAISE EXCEPTION USING errcode = 'TN003', message = format('this transaction is of tenant %s, and the statement writes tenant %s', bound, wanted);
  END IF;
  IF (SELECT ${mayWrite("wanted")} FROM ${ring} r LEFT JOIN ${tenant} t ON t.tenant = wanted) THEN
    RETURN true;
  END IF;
  SELECT r.self, r.clusters, r.next, t.home, t.epoch, t.state INTO known FROM ${ring} r LEFT JOIN ${tenant} t ON t.tenant = wanted;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING errcode = 'TN002', message = 'this cluster does not know yet which tenants are its own', hint = 'Run npm run up.';
  END IF;
  IF mover <> '' THEN
    RAISE EXCEPTION USING errcode = 'TN004', message = format('tenant %s is not moved by %s in cluster %s', wanted, mover, known.self);
  END IF;
  IF known.home IS NULL THEN
    winner := tenancy.winner(wanted, known.clusters);
    IF known.next IS NOT NULL AND tenancy.winner(wanted, known.next) <> winner THEN
      RAISE EXCEPTION USING errcode = 'TN002', message = format('tenant %s is being moved', wanted), ${detail("winner", "0")};
    END IF;
    IF winner <> known.self THEN
      RAISE EXCEPTION USING errcode = 'TN001', message = format('tenant %s lives in cluster %s, not in %s', wanted, winner, known.self), ${detail("winner", "0")};
    END IF;
    RETURN true;
  END IF;
  IF known.home <> known.self THEN
    RAISE EXCEPTION USING errcode = 'TN001', message = format('tenant %s lives in cluster %s, not in %s', wanted, known.home, known.self), ${detail("known.home", "known.epoch")};
  END IF;
  IF known.state = 'closed' THEN
    RAISE EXCEPTION USING errcode = 'TN002', message = format('tenant %s is being moved', wanted), ${detail("known.home", "known.epoch")};
  END IF;
  RETURN true;
END`;
}

/** As {@link admit}, of many tenants: one query for all of them, and the error of one that may not be written. */
function admitAll({ ring, tenant }: Shards): string {
  return `
DECLARE
  buckets integer[];
  refused text;
  bound text := tenancy.canonical(nullif(current_setting('tenancy.tenant', true), ''));
  mover text := current_setting('tenancy.move', true);
BEGIN
  SELECT array_agg(DISTINCT ${bucketOf("id")}) INTO buckets FROM unnest(wanted) AS id;
  PERFORM pg_advisory_xact_lock_shared(${LOCK}, bucket) FROM unnest(buckets) AS bucket;
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM tenancy.share(buckets);
  END IF;
  LOOP
    SELECT id INTO refused
    FROM unnest(wanted) AS id LEFT JOIN ${ring} r ON true LEFT JOIN ${tenant} t ON t.tenant = id
    WHERE bound <> id OR (${mayWrite("id")}) IS NOT TRUE
    LIMIT 1;
    EXIT WHEN NOT FOUND;
    -- Returns where the tenant was opened a moment ago; others may be refused still.
    PERFORM tenancy.admit(refused);
  END LOOP;
END`;
}

/**
 * Whether this node, as it knows, takes writes of a tenant: of a row of the ring `r` and the tenant's record `t`, if it has one. Who calls itself a move writes what that move has to, and nothing else: a record names it,
 * and the tenant lives elsewhere. So a move that wakes up late is refused wherever the tenant has come back, and who has no more rights than an application cannot pass for a move.
 */
function mayWrite(id: string): string {
  return `CASE
    WHEN mover <> '' THEN t.move = mover AND t.home <> r.self AND current_setting('is_superuser') = 'on'
    WHEN t.home IS NULL THEN tenancy.winner(${id}, r.clusters) = r.self AND (r.next IS NULL OR tenancy.winner(${id}, r.next) = r.self)
    ELSE t.home = r.self AND t.state <> 'closed' END`;
}
