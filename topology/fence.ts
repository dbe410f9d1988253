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

/** Held, shared, by whoever changes ring or records, until that is committed, and exclusively by who works the marks out anew. The second is held for the moment in which one mark is set. */
const MARKS_LOCK = 7780;
const MARK_LOCK = 7781;

/**
 * The marks: bits in the lower half of the values of sequences, each for the tenants of a bucket. One is set where a tenant of these may be refused though its hash says that it lives here. The upper half says which ring, and
 * which copies of ring and records, the bits are of. A sequence is read as it is at that moment, whatever snapshot a transaction has, and without a query.
 */
const MARKS_EACH = 32;
const MARK_SEQUENCES = BUCKETS / MARKS_EACH;
const UPPER_HALF = -4294967296;
const UNKNOWN = -1;

/** The tables of the schema `tenancy` that every node has a copy of. */
export const FENCE_TABLES = ["ring", "tenant", "generation"] as const;

/** The names of the triggers on each fenced table, by what they watch. */
export const FENCE_TRIGGERS = { tenancy_insert: "INSERT", tenancy_update: "UPDATE", tenancy_delete: "DELETE", tenancy_truncate: "TRUNCATE" } as const;

/** The function of the triggers that watch TRUNCATE, which is of no column. */
const TRUNCATE_FUNCTION = "fence";

/** The functions of fences of before, which statement triggers called. */
export const SUPERSEDED_FUNCTIONS = "^(admit_all|fence_.*)$";

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

/** Creates the sequences of the marks. Citus brings to every node, also to one that comes later, what the function needs that lists them; there they say nothing yet. */
export const CREATE_MARKS: readonly string[] = [
  ...sequences().map((name) => `CREATE SEQUENCE ${name} MINVALUE ${-(2n ** 63n)} START 0`),
  `CREATE FUNCTION tenancy.marks(${sequences().map((name, index) => `s${index} regclass DEFAULT '${name}'::regclass`).join(", ")}) RETURNS regclass[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $tenancy$SELECT ARRAY[${sequences().map((_, index) => `s${index}`).join(", ")}]$tenancy$`,
  // Until a ring is there, every write is looked at closer.
  "CREATE FUNCTION tenancy.plain(id text) RETURNS boolean LANGUAGE plpgsql STABLE AS $tenancy$BEGIN RETURN false; END$tenancy$",
  `GRANT SELECT ON ${sequences().map((name) => `SEQUENCE ${name}`).join(", ").replaceAll(", SEQUENCE", ",")} TO public`,
];

/** What has every node watch its own copies of ring and records, and work out its marks, one after the other; each gives one value, `t` where it was done. */
export const ARM_NODES: readonly string[] = ["SELECT tenancy.watch()", "SELECT tenancy.arm()"];

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
  return createHash("sha256").update(JSON.stringify([CREATE_FENCE_TABLES, CREATE_HORIZON, CREATE_CHANGES, CREATE_REGIONS, CREATE_MIGRATIONS, CREATE_MARKS, functions, triggers])).digest("hex").slice(0, 12);
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
  const [share, one, truncate, marking] = [shareGenerations(shards), admit(shards), truncateBody(shards), mark(shards)];
  const plpgsql = (name: string, signature: string, body: string): FenceFunction => ({ name, body, statement: `CREATE OR REPLACE FUNCTION tenancy.${quoted(name)}${signature} LANGUAGE plpgsql AS $tenancy$${body}$tenancy$` });
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
    plpgsql("admit", "(wanted text) RETURNS boolean", one),
    plpgsql(TRUNCATE_FUNCTION, "() RETURNS trigger", truncate),
    ...[...new Set(columns)].sort().flatMap((column) => ROW_TRIGGERS.map((trigger) => plpgsql(triggerFunction(trigger, column), "() RETURNS trigger", triggerBody(trigger, column)))),
    { name: "mark", body: marking, statement: `CREATE OR REPLACE FUNCTION tenancy.mark() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $tenancy$${marking}$tenancy$` },
    plpgsql("unmark", "() RETURNS trigger", FORGET_MARKS),
    plpgsql("watch", "() RETURNS boolean", watch(shards)),
    plpgsql("arm", "() RETURNS boolean", arm(shards)),
    plpgsql("quicken", "() RETURNS boolean", quicken(shards)),
  ];
}

/** The triggers that see each row that is written. Partitions have them from their table, also those that come later. */
export const ROW_TRIGGERS = ["tenancy_insert", "tenancy_update", "tenancy_delete"] as const;

/** The function of one of the triggers of tables with this distribution column. */
export function triggerFunction(trigger: keyof typeof FENCE_TRIGGERS, column: string): string {
  return trigger === "tenancy_truncate" ? TRUNCATE_FUNCTION : `${trigger.replace("tenancy_", "")}_${column}`;
}

/**
 * Creates one of the triggers of a table. {@link enableTrigger} has to follow. What needs no closer look is passed by its condition, which asks no table: no event is kept of that row, and no trigger is called.
 */
export function createTrigger(table: string, trigger: keyof typeof FENCE_TRIGGERS, column: string): string {
  const [is, was] = [`NEW.${quoted(column)}`, `OLD.${quoted(column)}`];
  const plain = (id: string): string => `tenancy.plain(${id}::text) IS NOT TRUE`;
  const [time, each] = {
    tenancy_insert: ["AFTER", `FOR EACH ROW WHEN (${plain(is)})`],
    // Citus lets nobody change a row's tenant, but it does not see who writes into a shard.
    tenancy_update: ["AFTER", `FOR EACH ROW WHEN (${was} IS DISTINCT FROM ${is} OR ${plain(is)})`],
    tenancy_delete: ["AFTER", `FOR EACH ROW WHEN (${plain(was)})`],
    tenancy_truncate: ["BEFORE", "FOR EACH STATEMENT"],
  }[trigger] as [string, string];
  return `CREATE TRIGGER ${trigger} ${time} ${FENCE_TRIGGERS[trigger]} ON ${table} ${each} EXECUTE FUNCTION tenancy.${quoted(triggerFunction(trigger, column))}()`;
}

/** Has a trigger fire for sessions whose `session_replication_role` is `replica` as well: those of a move, for whom the triggers and foreign keys of the user have to rest, and who else may set it. */
export function enableTrigger(table: string, trigger: keyof typeof FENCE_TRIGGERS): string {
  return `ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${trigger}`;
}

function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}

function sequences(): string[] {
  return Array.from({ length: MARK_SEQUENCES }, (_, index) => `tenancy.marks_${index}`);
}

/** What a trigger does with a row that its condition did not pass. */
function triggerBody(trigger: (typeof ROW_TRIGGERS)[number], column: string): string {
  const [is, was] = [`NEW.${quoted(column)}`, `OLD.${quoted(column)}`];
  // An expression costs less than the query that PERFORM is.
  const admitted = (id: string): string => `IF tenancy.admit(${id}::text) THEN NULL; END IF;`;
  const both = `${admitted(is)}
  IF ${was} IS DISTINCT FROM ${is} THEN
    ${admitted(was)}
  END IF;`;
  return `
BEGIN
  ${{ tenancy_insert: admitted(is), tenancy_update: both, tenancy_delete: admitted(was) }[trigger]}
  RETURN NULL;
END`;
}

/**
 * Which ring, and which copies of ring and records, marks are of: a node whose copies Citus made anew was away, and its marks do not know of what it missed. Constant while a plan is valid, which it is as long as the two
 * tables are there.
 */
function tag({ ring, tenant }: Shards, version: string): string {
  return `(hashint8extended('${tenant}'::regclass::oid::bigint << 32 | '${ring}'::regclass::oid::bigint, ${version}) & ${UPPER_HALF})`;
}

/**
 * The condition that needs no closer look, with the ring in it, as {@link quicken} writes it: true where the tenant's hash says that it lives here, its mark is not set, and the session is nothing special. The lock comes
 * first, which only CASE is sure of. Not volatile, though it takes a lock: a volatile function gets a snapshot for each expression, and nothing here reads by one.
 */
function plainBody(shards: Shards): string {
  const list = sequences().map((name) => `'${name}'::regclass`).join(",");
  return `
BEGIN
  RETURN CASE WHEN pg_advisory_xact_lock_shared(${LOCK}, ${bucketOf("id")}) IS NULL THEN false ELSE
    pg_sequence_last_value((ARRAY[${list}])[${placeOf("id")} + 1]) & (${UPPER_HALF} | ${markOf("id")}) = ${tag(shards, "%1$s")}
    AND %2$s
    AND (current_setting('tenancy.tenant', true) IN ('', id)) IS NOT FALSE AND (current_setting('tenancy.move', true) = '') IS NOT FALSE AND current_setting('transaction_isolation') = 'read committed' END;
END`;
}

function markOf(text: string): string {
  return `(1::bigint << (hashtextextended(${text}, 0) & ${MARKS_EACH - 1})::integer)`;
}

/** Which of the sequences a tenant's mark is in, from 0. */
function placeOf(text: string): string {
  return `(hashtextextended(${text}, 0) >> ${Math.log2(MARKS_EACH)} & ${MARK_SEQUENCES - 1})::integer`;
}

/** Whether a record refuses a tenant that its hash gives to this cluster. Of a row of the ring `r`. */
function refuses(record: string): string {
  return `(${record}.state = 'closed' OR (${record}.home <> r.self AND tenancy.winner(${record}.tenant, r.clusters) = r.self))`;
}

/** Statements in PL/pgSQL that have a node's marks for themselves. The lock is the session's, and goes with them and not with the transaction, also where they fail. */
function aloneWithMarks(statements: string): string {
  return `  PERFORM pg_advisory_lock(${MARK_LOCK}, 0);
  BEGIN
${statements}
  EXCEPTION WHEN OTHERS OR query_canceled THEN
    PERFORM pg_advisory_unlock(${MARK_LOCK}, 0);
    RAISE;
  END;
  PERFORM pg_advisory_unlock(${MARK_LOCK}, 0);`;
}

/**
 * Sets the mark of a record that is being written, whoever writes it, in a node's own copy: at once, before it is committed, and for good if it is not. A mark too many costs a closer look. The lock of who changes marks
 * goes with the statement and not with the transaction, so that writers of records do not wait for each other. It has its owner's rights: who places tenants may write records, and must not be able to take a mark away.
 */
function mark({ ring, tenant }: Shards): string {
  return `
DECLARE
  marks regclass;
  known bigint;
BEGIN
  -- A row of somebody's own table could bring functions of its own, which would have the owner's rights.
  IF TG_RELID <> '${tenant}'::regclass THEN
    RAISE EXCEPTION USING errcode = '42501', message = 'tenancy.mark() is a trigger of tenancy.tenant and of no other table';
  END IF;
  marks := (tenancy.marks())[${placeOf("NEW.tenant")} + 1];
  PERFORM pg_advisory_xact_lock_shared(${MARKS_LOCK}, 0);
  -- An old snapshot may show another ring.
  IF current_setting('transaction_isolation') = 'read committed' AND NOT EXISTS (SELECT FROM ${ring} r WHERE ${refuses("NEW")}) THEN
    RETURN NULL;
  END IF;
${aloneWithMarks(`    known := pg_sequence_last_value(marks);
    IF known & ${markOf("NEW.tenant")} = 0 THEN
      PERFORM setval(marks, known | ${markOf("NEW.tenant")});
    END IF;`)}
  RETURN NULL;
END`;
}

/** Has a node take every mark for set, because its ring is being changed. */
const FORGET_MARKS = `
BEGIN
  PERFORM pg_advisory_xact_lock_shared(${MARKS_LOCK}, 0);
${aloneWithMarks(`    PERFORM setval(marks, ${UNKNOWN}) FROM unnest(tenancy.marks()) AS marks;`)}
  RETURN NULL;
END`;

/** The triggers on a node's own copies of ring and records, which Citus allows on no reference table. */
const WATCHERS = {
  tenant: { name: "tenancy_mark", events: "AFTER INSERT OR UPDATE", each: "ROW", calls: "mark" },
  ring: { name: "tenancy_unmark", events: "AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE", each: "STATEMENT", calls: "unmark" },
} as const;

/** Whether a node's own copy is watched. */
function watched(table: keyof typeof WATCHERS, shards: Shards): string {
  const { name, calls } = WATCHERS[table];
  return `EXISTS (SELECT FROM pg_trigger WHERE tgrelid = '${shards[table]}'::regclass AND tgname = '${name}' AND tgenabled = 'A' AND tgfoid = 'tenancy.${calls}()'::regprocedure)`;
}

/** Has a node watch its own copies. It is committed before the node may rely on it. */
function watch(shards: Shards): string {
  const create = (table: keyof typeof WATCHERS): string => {
    const { name, events, each, calls } = WATCHERS[table];
    return `IF NOT ${watched(table, shards)} THEN
    CREATE OR REPLACE TRIGGER ${name} ${events} ON ${shards[table]} FOR EACH ${each} EXECUTE FUNCTION tenancy.${calls}();
    ALTER TABLE ${shards[table]} ENABLE ALWAYS TRIGGER ${name};
  END IF;`;
  };
  return `
DECLARE
  narrow regclass;
BEGIN
  PERFORM set_config('citus.enable_ddl_propagation', 'off', true), set_config('lock_timeout', '2s', true);
  ${create("tenant")}
  ${create("ring")}
  -- Citus gives each node a range of its own. After the tables, in the order in which who writes a record needs them.
  FOR narrow IN SELECT seqrelid::regclass FROM pg_sequence WHERE seqrelid = ANY (tenancy.marks()) AND (seqmin <> ${-(2n ** 63n)} OR seqmax <> ${2n ** 63n - 1n}) LOOP
    EXECUTE format('ALTER SEQUENCE %s MINVALUE ${-(2n ** 63n)} MAXVALUE ${2n ** 63n - 1n}', narrow);
  END LOOP;
  RETURN true;
END`;
}

/** The marks that a node's records ask for, by sequence, as SQL. Of a row of the ring `r`. @param which of the records `t`. */
function marksFor({ tenant }: Shards, which: string): string {
  return `ARRAY(
    SELECT coalesce(bit_or(mark), 0) FROM generate_series(0, ${MARK_SEQUENCES - 1}) AS place
      LEFT JOIN (SELECT ${placeOf("t.tenant")} AS place, ${markOf("t.tenant")} AS mark FROM ${tenant} t WHERE ${refuses("t")} AND ${which}) AS marked USING (place)
    GROUP BY place ORDER BY place)`;
}

/**
 * Works out a node's marks. Who writes a record waits for this, and may have closed a tenant: so all records are read before, and under the lock only those that were written since.
 *
 * @returns false where somebody has been writing ring or records for a while, or the ring is being changed.
 */
function arm(shards: Shards): string {
  return `
DECLARE
  before record;
  since record;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' OR NOT ${watched("tenant", shards)} OR NOT ${watched("ring", shards)} THEN
    RETURN false;
  END IF;
  SELECT r.version, pg_current_snapshot() AS snapshot, ${marksFor(shards, "true")} AS marks INTO before FROM ${shards.ring} r WHERE r.next IS NULL;
  PERFORM set_config('lock_timeout', '200ms', true);
  BEGIN
    PERFORM pg_advisory_xact_lock(${MARKS_LOCK}, 0);
  EXCEPTION WHEN lock_not_available THEN
    RETURN false;
  END;
  -- Nobody is writing a record that is not seen from here on.
  SELECT r.version, ${marksFor(shards, "t.changed >= pg_snapshot_xmin(before.snapshot)")} AS marks INTO since FROM ${shards.ring} r WHERE r.next IS NULL AND r.version = before.version;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM setval(marks, ${tag(shards, "since.version")} | seen | seen_since) FROM unnest(tenancy.marks(), before.marks, since.marks) AS known (marks, seen, seen_since);
  RETURN true;
END`;
}

/** Writes the ring into the condition, on the coordinator; Citus brings it to all nodes. It holds where a node's marks are of that ring. */
function quicken(shards: Shards): string {
  return `
DECLARE
  known record;
  body text;
BEGIN
  -- A cluster may be in the ring several times, as a, a#1, a#2.
  SELECT min(r.version) AS version,
    string_agg(format('hashtextextended(id, %L::bigint)', hashtextextended(name, 0)), ',') FILTER (WHERE split_part(name, '#', 1) = r.self) AS own,
    string_agg(format('hashtextextended(id, %L::bigint)', hashtextextended(name, 0)), ',') FILTER (WHERE split_part(name, '#', 1) <> r.self) AS others
  INTO known FROM ${shards.ring} r, unnest(r.clusters) AS name WHERE r.next IS NULL;
  IF known.own IS NULL THEN
    RETURN false;
  END IF;
  body := format($plain$${plainBody(shards)}$plain$, known.version, CASE WHEN known.others IS NULL THEN 'true' ELSE format('greatest(%s) > greatest(%s)', known.own, known.others) END);
  IF NOT EXISTS (SELECT FROM pg_proc WHERE oid = 'tenancy.plain(text)'::regprocedure AND prosrc = body) THEN
    EXECUTE format('CREATE OR REPLACE FUNCTION tenancy.plain(id text) RETURNS boolean LANGUAGE plpgsql STABLE AS %L', body);
  END IF;
  RETURN true;
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
 * the locks.
 *
 * Who copies rows with the rights of a superuser, as a mover does, is asked once in a transaction for all rows of a tenant that follow one another: the lock is held from then on. Anybody may say that they were admitted, so
 * that nobody else is believed. Changes that Citus carries over to another copy of a shard were admitted where they were made.
 */
function admit({ ring, tenant }: Shards): string {
  const detail = (where: string, epoch: string): string => `detail = json_build_object('tenant', wanted, 'home', ${where}, 'epoch', ${epoch})::text`;
  return `
DECLARE
  known record;
  winner text;
  bound text := current_setting('tenancy.tenant', true);
  mover text := current_setting('tenancy.move', true);
  asked text := concat(mover, ' ', wanted);
BEGIN
  IF bound <> '' AND bound <> wanted AND tenancy.canonical(bound) <> wanted THEN
    RAISE EXCEPTION USING errcode = 'TN003', message = format('this transaction is of tenant %s, and the statement writes tenant %s', bound, wanted);
  END IF;
  -- Before it is asked who writes: movers copy as replicas do, and that takes longer than a row.
  IF current_setting('tenancy.admitted', true) = asked AND current_setting('is_superuser') = 'on' THEN
    RETURN true;
  END IF;
  IF current_setting('session_replication_role') = 'replica' AND (SELECT backend_type LIKE 'logical replication%' FROM pg_stat_get_activity(pg_backend_pid())) THEN
    RETURN true;
  END IF;
  IF pg_advisory_xact_lock_shared(${LOCK}, ${bucketOf("wanted")}) IS NULL THEN
    NULL;
  END IF;
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM tenancy.share(ARRAY[${bucketOf("wanted")}]);
  END IF;
  IF (SELECT ${mayWrite("wanted")} FROM ${ring} r LEFT JOIN ${tenant} t ON t.tenant = wanted) THEN
    IF current_setting('is_superuser') = 'on' AND set_config('tenancy.admitted', asked, true) IS NULL THEN
      NULL;
    END IF;
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
