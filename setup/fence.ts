import { setTimeout as delay } from "node:timers/promises";
import { CREATE_CHANGES, CREATE_FENCE_TABLES, CREATE_HORIZON, CREATE_REGIONS, createTrigger, enableTrigger, FENCE_TABLES, FENCE_TRIGGERS, fenceFunctions, triggerFunction } from "../topology/fence";
import { CREATE_MIGRATIONS } from "../topology/migrations";
import type { CitusSpec } from "../topology/plan";
import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import type { Report } from "./report";
import { reason, SetupError } from "./setupError";

/** How long a trigger waits for a table's lock: meanwhile every later query of the table waits behind it. */
const LOCK_TIMEOUT_MS = 2000;
const LOCK_NOT_AVAILABLE = "55P03";

/** A trigger of the fence as it is. */
interface Trigger {
  readonly table: string;
  readonly name: keyof typeof FENCE_TRIGGERS;
  /** The function that it calls, without its schema. */
  readonly calls: string;
  /** Whether it is shown the rows as they were and as they are. */
  readonly both: boolean;
  /** Whether it fires whatever `session_replication_role` is. */
  readonly always: boolean;
}

/** A table that is to be fenced. */
interface Fenced {
  readonly table: string;
  readonly column: string;
  /** The column's type with its schema, as it is written in SQL. */
  readonly type: string;
}

/**
 * Brings the fence to the plan: its tables, functions and triggers where there is to be one, no triggers where not. What it remembers stays, so that it can be switched on again.
 *
 * @throws {@link SetupError} if a table is locked until the deadline.
 */
export async function reconcileFence(coordinator: Coordinator, spec: CitusSpec, deadline: Deadline, report: Report): Promise<void> {
  const planned = spec.fence === true ? Object.entries(spec.schema.tables) : [];
  const triggers = await existingTriggers(coordinator);
  if (planned.length === 0 && triggers.length === 0) return;
  report.activity = "reconciling the fence";
  const fenced = await tablesToFence(coordinator, planned);
  const [first] = fenced;
  if (first !== undefined) {
    await ensureTables(coordinator, report);
    await ensureFunctions(coordinator, fenced.map(({ column }) => column), first.type, report);
  }
  for (const { table, name } of triggers.filter((trigger) => !fenced.some(({ table }) => table === trigger.table))) {
    await locking(coordinator, table, [`DROP TRIGGER ${name} ON ${table}`], deadline, report);
    report.did(table, `${name} removed`);
  }
  for (const { table, column } of fenced) {
    const statements = (Object.keys(FENCE_TRIGGERS) as Trigger["name"][]).flatMap((name) => {
      const known = triggers.find((trigger) => trigger.table === table && trigger.name === name);
      const alike = known !== undefined && known.calls === triggerFunction(name, column) && known.both === (name === "tenancy_update");
      if (alike && known.always) return [];
      return [...(known !== undefined && !alike ? [`DROP TRIGGER ${name} ON ${table}`] : []), ...(alike ? [] : [createTrigger(table, name, column)]), enableTrigger(table, name)];
    });
    if (statements.length === 0) continue;
    // Together, so that the table is not without its fence in between.
    await locking(coordinator, table, statements, deadline, report);
    report.did(table, `fenced by ${column}: writes of tenants whose home is another cluster are refused`);
  }
}

/** The tables of the plan and their partitions: who writes into a partition by its name passes the triggers of the table. */
async function tablesToFence(coordinator: Coordinator, planned: readonly (readonly [string, string])[]): Promise<Fenced[]> {
  return coordinator.query<Fenced>(
    `SELECT c.oid::regclass::text AS "table", attname AS "column", format('%I.%I', typnamespace::regnamespace, typname) AS type
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS planned (name, "column", position)
       CROSS JOIN LATERAL (SELECT to_regclass(quote_ident(name))::oid AS oid UNION SELECT relid FROM pg_partition_tree(to_regclass(quote_ident(name)))) AS c
       JOIN pg_dist_partition ON logicalrelid = c.oid JOIN pg_attribute ON attrelid = c.oid AND attname = "column" JOIN pg_type t ON t.oid = atttypid
     ORDER BY position, 1`,
    [planned.map(([name]) => name), planned.map(([, column]) => column)],
  );
}

async function existingTriggers(coordinator: Coordinator): Promise<Trigger[]> {
  return coordinator.query<Trigger>(
    `SELECT tgrelid::regclass::text AS "table", tgname AS name, proname AS calls, tgoldtable IS NOT NULL AND tgnewtable IS NOT NULL AS "both", tgenabled = 'A' AS always
     FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid JOIN pg_dist_partition ON logicalrelid = tgrelid WHERE tgname = ANY ($1)`,
    [Object.keys(FENCE_TRIGGERS)],
  );
}

async function ensureTables(coordinator: Coordinator, report: Report): Promise<void> {
  const parts = [CREATE_FENCE_TABLES, CREATE_HORIZON, CREATE_CHANGES, CREATE_REGIONS, CREATE_MIGRATIONS];
  const { there } = await coordinator.row<{ there: boolean[] }>(
    `SELECT ARRAY[to_regclass('tenancy.handover') IS NOT NULL, to_regclass('tenancy.horizon') IS NOT NULL, EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('tenancy.tenant') AND attname = 'changed'),
       EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('tenancy.ring') AND attname = 'regions'),
       to_regclass('tenancy.migration') IS NOT NULL] AS there`,
  );
  const missing = parts.filter((_, part) => there[part] !== true);
  if (missing.length === 0) return;
  await coordinator.transaction(async () => {
    for (const statement of missing.flat()) await coordinator.query(statement);
  });
  report.did("tenancy", "created for what this cluster knows of its tenants");
}

async function ensureFunctions(coordinator: Coordinator, columns: readonly string[], type: string, report: Report): Promise<void> {
  const shards = await coordinator.query<{ name: string; shard: string }>(
    "SELECT relname AS name, shard_name(logicalrelid, shardid, false) AS shard FROM pg_dist_shard JOIN pg_class ON pg_class.oid = logicalrelid WHERE relnamespace = 'tenancy'::regnamespace",
  );
  const shardOf = Object.fromEntries(shards.map(({ name, shard }) => [name, shard]));
  const missing = FENCE_TABLES.find((table) => shardOf[table] === undefined);
  if (missing !== undefined) throw new SetupError(`tenancy.${missing} is there, but is no reference table. Drop the schema tenancy if nothing in it is needed, and run the update again`);
  const existing = await coordinator.query<{ name: string; body: string }>("SELECT proname AS name, prosrc AS body FROM pg_proc WHERE pronamespace = 'tenancy'::regnamespace");
  for (const { name, body, statement } of fenceFunctions(columns, type, shardOf as Record<(typeof FENCE_TABLES)[number], string>)) {
    if (existing.some((known) => known.name === name && known.body === body)) continue;
    await coordinator.query(statement);
    report.did(`tenancy.${name}`, "created");
  }
  // The right that writers needed before tenancy.share lent it to them.
  const { lent } = await coordinator.row<{ lent: boolean }>(
    "SELECT EXISTS (SELECT FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = 'tenancy.generation'::regclass AND grantee = 0 AND privilege_type = 'UPDATE') AS lent",
  );
  if (!lent) return;
  await coordinator.query("REVOKE UPDATE ON tenancy.generation FROM public");
  report.did("tenancy.generation", "nobody but its owner may change it any more");
}

/** Runs statements that need a table for themselves in one transaction, and tries again while somebody has it. */
async function locking(coordinator: Coordinator, table: string, statements: readonly string[], deadline: Deadline, report: Report): Promise<void> {
  for (;;) {
    try {
      await coordinator.transaction(async () => {
        await coordinator.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
        // Citus' warning is of triggers that read or write other tables' shards; these read what each node has a copy of.
        await coordinator.query("SET LOCAL citus.enable_unsafe_triggers = on");
        for (const statement of statements) await coordinator.query(statement);
      });
      return;
    } catch (error) {
      const locked = (error as { code?: string }).code === LOCK_NOT_AVAILABLE;
      if (!locked) throw new SetupError(`${table} cannot be fenced: ${reason(error)}. Mend that, or set tenantFence to false, and run the update again`);
      if (deadline.remainingMs < 2 * LOCK_TIMEOUT_MS) throw new SetupError(`${table} is held by another transaction. End it and run the update again`);
      report.activity = `waiting for a transaction that holds ${table}`;
      await delay(LOCK_TIMEOUT_MS);
    }
  }
}
