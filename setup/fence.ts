import { CREATE_CHANGES, CREATE_FENCE_TABLES, CREATE_HORIZON, CREATE_MARKS, CREATE_REGIONS, createTrigger, enableTrigger, FENCE_TABLES, FENCE_TRIGGERS, fenceFunctions, ROW_TRIGGERS, SUPERSEDED_FUNCTIONS, triggerFunction } from "../topology/fence";
import { CREATE_MIGRATIONS } from "../topology/migrations";
import type { CitusSpec } from "../topology/plan";
import { alterTable } from "./alterTable";
import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import { quickenFence } from "./quickenFence";
import type { Report } from "./report";
import { SetupError } from "./setupError";
import { tablesOfTenants } from "./tablesOfTenants";

/** A trigger of the fence as it is. */
interface Trigger {
  readonly table: string;
  readonly name: keyof typeof FENCE_TRIGGERS;
  /** The function that it calls, without its schema. */
  readonly calls: string;
  /** Whether it fires whatever `session_replication_role` is. */
  readonly always: boolean;
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
  const fenced = await tablesOfTenants(coordinator, planned);
  const [first] = fenced;
  if (first !== undefined) {
    await ensureTables(coordinator, report);
    await ensureFunctions(coordinator, fenced.map(({ column }) => column), first.type, report);
  }
  for (const { table, name } of triggers.filter((trigger) => !fenced.some(({ table }) => table === trigger.table))) {
    await alterTriggers(coordinator, table, [`DROP TRIGGER ${name} ON ${table}`], deadline, report);
    report.did(table, `${name} removed`);
  }
  for (const { table, column } of fenced.filter(({ table, root }) => table === root)) {
    // Of a row its partitions have the triggers from it, also those that come later.
    const wanted = fenced
      .filter(({ root }) => root === table)
      .flatMap((part) => (Object.keys(FENCE_TRIGGERS) as Trigger["name"][]).map((name) => ({ table: part.table, name, inherited: part.table !== table && ROW_TRIGGERS.some((row) => row === name) })));
    const changes = wanted.map(({ table: part, name, inherited }) => {
      const known = triggers.find((trigger) => trigger.table === part && trigger.name === name);
      const alike = !inherited && known !== undefined && known.calls === triggerFunction(name, column);
      return {
        dropped: known !== undefined && !alike ? [`DROP TRIGGER ${name} ON ${part}`] : [],
        created: inherited || (alike && known.always) ? [] : [...(alike ? [] : [createTrigger(part, name, column)]), enableTrigger(part, name)],
      };
    });
    // Together, so that the table is not without its fence in between; what a partition had of its own is in the way of what it gets.
    const statements = [...changes.flatMap(({ dropped }) => dropped), ...changes.flatMap(({ created }) => created)];
    if (statements.length === 0) continue;
    await alterTriggers(coordinator, table, statements, deadline, report);
    report.did(table, `fenced by ${column}: writes of tenants whose home is another cluster are refused`);
  }
  await dropSuperseded(coordinator, report);
  if (first !== undefined) await quickenFence(coordinator);
}

/** What only triggers of an older version called. */
async function dropSuperseded(coordinator: Coordinator, report: Report): Promise<void> {
  const unused = await coordinator.query<{ name: string }>(
    `SELECT p.oid::regprocedure::text AS name FROM pg_proc p WHERE pronamespace = 'tenancy'::regnamespace AND proname ~ $1 AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = p.oid)`,
    [SUPERSEDED_FUNCTIONS],
  );
  for (const { name } of unused) {
    await coordinator.query(`DROP FUNCTION ${name}`);
    report.did(name, "removed");
  }
}

/** The fence's triggers, but for those that a partition has from its table. */
async function existingTriggers(coordinator: Coordinator): Promise<Trigger[]> {
  return coordinator.query<Trigger>(
    `SELECT tgrelid::regclass::text AS "table", tgname AS name, proname AS calls, tgenabled = 'A' AS always
     FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid JOIN pg_dist_partition ON logicalrelid = tgrelid WHERE tgname = ANY ($1) AND tgparentid = 0`,
    [Object.keys(FENCE_TRIGGERS)],
  );
}

async function ensureTables(coordinator: Coordinator, report: Report): Promise<void> {
  const parts = [CREATE_FENCE_TABLES, CREATE_HORIZON, CREATE_CHANGES, CREATE_REGIONS, CREATE_MIGRATIONS, CREATE_MARKS];
  const { there } = await coordinator.row<{ there: boolean[] }>(
    `SELECT ARRAY[to_regclass('tenancy.handover') IS NOT NULL, to_regclass('tenancy.horizon') IS NOT NULL, EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('tenancy.tenant') AND attname = 'changed'),
       EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('tenancy.ring') AND attname = 'regions'),
       to_regclass('tenancy.migration') IS NOT NULL, to_regclass('tenancy.marks_0') IS NOT NULL] AS there`,
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

/** Changes a table's triggers. */
function alterTriggers(coordinator: Coordinator, table: string, statements: readonly string[], deadline: Deadline, report: Report): Promise<void> {
  // Citus' warning is of triggers that read or write other tables' shards; these read what each node has a copy of.
  return alterTable(coordinator, { table, statements: ["SET LOCAL citus.enable_unsafe_triggers = on", ...statements], otherwise: "set tenantFence to false" }, deadline, report);
}
