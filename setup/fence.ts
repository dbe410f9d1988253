import { setTimeout as delay } from "node:timers/promises";
import { CREATE_FENCE_TABLES, createTrigger, FENCE_TABLES, FENCE_TRIGGERS, fenceFunctions, triggerFunction } from "../topology/fence";
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
}

/**
 * Brings the fence to the plan: its tables, functions and triggers where there is to be one, no triggers where not. What it remembers stays, so that it can be switched on again.
 *
 * @throws {@link SetupError} if a table is locked until the deadline.
 */
export async function reconcileFence(coordinator: Coordinator, spec: CitusSpec, deadline: Deadline, report: Report): Promise<void> {
  const fenced = spec.fence === true ? Object.entries(spec.schema.tables) : [];
  const triggers = await existingTriggers(coordinator);
  if (fenced.length === 0 && triggers.length === 0) return;
  report.activity = "reconciling the fence";
  if (fenced.length > 0) {
    await ensureTables(coordinator, report);
    await ensureFunctions(coordinator, fenced.map(([, column]) => column), report);
  }
  const { rows: names } = await coordinator.session.query<{ name: string; given: string }>("SELECT name, name::regclass::text AS given FROM unnest($1::text[]) AS name", [fenced.map(([name]) => name)]);
  const wanted = new Map(fenced.map(([name, column]) => [names.find((row) => row.name === name)?.given ?? name, column]));
  for (const { table, name, calls } of triggers) {
    const column = wanted.get(table);
    if (column !== undefined && calls === triggerFunction(column)) continue;
    await locking(coordinator, table, `DROP TRIGGER ${name} ON ${table}`, deadline, report);
    report.did(table, `${name} removed`);
  }
  for (const [table, column] of wanted) {
    const missing = (Object.keys(FENCE_TRIGGERS) as Trigger["name"][]).filter((name) => !triggers.some((trigger) => trigger.table === table && trigger.name === name && trigger.calls === triggerFunction(column)));
    for (const name of missing) await locking(coordinator, table, createTrigger(table, name, column), deadline, report);
    if (missing.length > 0) report.did(table, `fenced by ${column}: writes of tenants whose home is another cluster are refused`);
  }
}

async function existingTriggers(coordinator: Coordinator): Promise<Trigger[]> {
  return coordinator.query<Trigger>(
    `SELECT tgrelid::regclass::text AS "table", tgname AS name, proname AS calls
     FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid JOIN pg_dist_partition ON logicalrelid = tgrelid WHERE tgname = ANY ($1)`,
    [Object.keys(FENCE_TRIGGERS)],
  );
}

async function ensureTables(coordinator: Coordinator, report: Report): Promise<void> {
  const { present } = await coordinator.row<{ present: boolean }>("SELECT to_regclass('tenancy.handover') IS NOT NULL AS present");
  if (present) return;
  await coordinator.transaction(async () => {
    for (const statement of CREATE_FENCE_TABLES) await coordinator.query(statement);
  });
  report.did("tenancy", "created for what this cluster knows of its tenants");
}

async function ensureFunctions(coordinator: Coordinator, columns: readonly string[], report: Report): Promise<void> {
  const shards = await coordinator.query<{ name: string; shard: string }>(
    "SELECT relname AS name, shard_name(logicalrelid, shardid, false) AS shard FROM pg_dist_shard JOIN pg_class ON pg_class.oid = logicalrelid WHERE relnamespace = 'tenancy'::regnamespace",
  );
  const shardOf = Object.fromEntries(shards.map(({ name, shard }) => [name, shard]));
  const missing = FENCE_TABLES.find((table) => shardOf[table] === undefined);
  if (missing !== undefined) throw new SetupError(`tenancy.${missing} is there, but is no reference table. Drop the schema tenancy if nothing in it is needed, and run the update again`);
  const existing = await coordinator.query<{ name: string; body: string }>("SELECT proname AS name, prosrc AS body FROM pg_proc WHERE pronamespace = 'tenancy'::regnamespace");
  for (const { name, body, statement } of fenceFunctions(columns, shardOf as Record<(typeof FENCE_TABLES)[number], string>)) {
    if (existing.some((known) => known.name === name && known.body === body)) continue;
    await coordinator.query(statement);
    report.did(`tenancy.${name}`, "created");
  }
}

/** Runs a statement that needs a table for itself, and tries again while somebody has it. */
async function locking(coordinator: Coordinator, table: string, statement: string, deadline: Deadline, report: Report): Promise<void> {
  for (;;) {
    try {
      await coordinator.transaction(async () => {
        await coordinator.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
        // Citus' warning is of triggers that read or write other tables' shards; these read what each node has a copy of.
        await coordinator.query("SET LOCAL citus.enable_unsafe_triggers = on");
        await coordinator.query(statement);
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
