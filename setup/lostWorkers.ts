import { escapeLiteral } from "pg";
import type { NodeAddress } from "../topology/plan";
import type { Coordinator } from "./coordinator";
import { describeLost, lostShards, type LostShard } from "./lostShards";
import type { LiveNode } from "./readiness";
import { findWorker, registeredWorkers, type RegisteredWorker } from "./registry";
import type { Report } from "./report";
import { reason, SetupError } from "./setupError";

/** A worker of the plan that is registered, and came back without its data. */
interface LostWorker {
  readonly node: NodeAddress;
  readonly registered: RegisteredWorker;
}

/**
 * Takes workers back that came up with an empty data directory, because their volume was removed. Shards with another
 * placement lose the one there, and are copied anew when placements are counted; shards without one are lost: where the
 * loss is accepted they are created empty.
 *
 * @param acceptLoss containers of the workers whose only copies may be given up.
 * @throws {@link SetupError} that names the worker and what is lost, if that is not accepted.
 */
export async function healLostWorkers(coordinator: Coordinator, workers: readonly LiveNode[], acceptLoss: ReadonlySet<string>, report: Report): Promise<void> {
  report.activity = "looking for workers that lost their data";
  const registered = await registeredWorkers(coordinator);
  const lost = workers.flatMap(({ node, state: { groupId } }): LostWorker[] => {
    const worker = findWorker(registered, node);
    // A disabled worker that is empty is activated like any other: nothing there is counted on.
    if (worker === undefined || !worker.active || worker.groupId === groupId) return [];
    if (groupId === 0) return [{ node, registered: worker }];
    throw new SetupError(
      `${node.container} holds the data of another worker (group ${groupId} instead of ${worker.groupId}): its volume was exchanged. Give each worker its own volume again`,
    );
  });
  if (lost.length === 0) return;
  const groupIds = lost.map((worker) => worker.registered.groupId);
  const shards = await lostShards(coordinator, groupIds);
  refuseLoss(lost, shards, acceptLoss);

  report.activity = `taking back ${lost.map(({ node }) => node.container).join(", ")}`;
  await coordinator.transaction(async () => {
    await coordinator.query("DELETE FROM pg_dist_placement WHERE groupid = ANY ($1) AND NOT shardid = ANY ($2)", [groupIds, shards.map(({ shardId }) => shardId)]);
    await coordinator.query("SELECT start_metadata_sync_to_all_nodes()");
  });
  // A transaction that was prepared before the loss keeps locks that the copies would wait for.
  await coordinator.query("SELECT recover_prepared_transactions()");
  for (const { node } of lost) report.did(node.container, "came back empty; registered again");
  // Foreign keys of the shards point to reference tables, which have copies elsewhere.
  await coordinator.query("SELECT replicate_reference_tables('block_writes')");
  for (const worker of lost) await createEmpty(coordinator, worker, shards, report);
}

function refuseLoss(lost: readonly LostWorker[], shards: readonly LostShard[], acceptLoss: ReadonlySet<string>): void {
  const accepted = new Set(lost.filter(({ node }) => acceptLoss.has(node.container)).map((worker) => worker.registered.groupId));
  const refused = shards.filter(({ groupIds }) => !groupIds.some((groupId) => accepted.has(groupId)));
  if (refused.length === 0) return;
  const names = lost.filter((worker) => refused.some(({ groupIds }) => groupIds.includes(worker.registered.groupId))).map(({ node }) => node.container);
  throw new SetupError(
    `${names.join(", ")} came back with an empty data directory and held the only copy of ${describeLost(refused)}. ` +
      `Restore the volume from a backup and run the update again, or accept that these rows are gone: npm run up -- <stack> --accept-loss ${names.join(",")}`,
  );
}

/** Creates lost shards of a worker again, empty, with the indexes and constraints of their tables. */
async function createEmpty(coordinator: Coordinator, { node, registered }: LostWorker, shards: readonly LostShard[], report: Report): Promise<void> {
  const mine = shards.filter(({ groupIds }) => groupIds.includes(registered.groupId));
  if (mine.length === 0) return;
  const commands = await coordinator.query<{ call: string; values: string[] }>(SHARD_COMMANDS, [mine.map(({ shardId }) => shardId)]);
  const calls = commands.map(({ call, values }) => `PERFORM ${call}(${values.map((value) => escapeLiteral(value)).join(", ")});`);
  const body = `BEGIN PERFORM set_config('citus.enable_ddl_propagation', 'off', true); ${calls.join(" ")} END`;
  const [answer] = await coordinator.onNodes([node], `DO ${escapeLiteral(body)}`);
  if (answer?.ok !== true) throw new SetupError(`${node.container}: the lost shards could not be created again: ${reason(answer?.result)}`);
  report.did(node.container, `${describeLost(mine)} created again, empty: their rows are lost, as accepted`);
}

/**
 * The calls that create shards ($1) on the node where they run, in order: tables with their indexes and constraints, then
 * foreign keys. Shards get their values from the table that they belong to, so identities and sequences are taken out.
 */
const SHARD_COMMANDS = `
  WITH shard AS (
    SELECT s.shardid, s.shardminvalue, s.logicalrelid, c.relname, n.nspname, d.colocationid
    FROM pg_dist_shard s JOIN pg_dist_partition d USING (logicalrelid) JOIN pg_class c ON c.oid = s.logicalrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE s.shardid = ANY ($1)
  ), command AS (
    SELECT 1 AS step, shardid, ordinality, 'worker_apply_shard_ddl_command' AS call, ARRAY[shardid::text, nspname, ddl] AS values
    FROM shard, master_get_table_ddl_events(format('%I.%I', nspname, relname)) WITH ORDINALITY AS event (ddl, ordinality)
    UNION ALL
    SELECT 2, shardid, attnum, 'worker_apply_shard_ddl_command',
      ARRAY[shardid::text, nspname,
        format('ALTER TABLE %I.%I ALTER COLUMN %I %s', nspname, relname, attname, CASE attidentity WHEN '' THEN 'DROP DEFAULT' ELSE 'DROP IDENTITY' END)]
    FROM shard JOIN pg_attribute ON attrelid = logicalrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0 AND NOT attisdropped AND (attidentity <> '' OR pg_get_expr(adbin, adrelid) LIKE 'nextval(%')
    UNION ALL
    SELECT 3, shard.shardid, f.oid, 'worker_apply_inter_shard_ddl_command',
      ARRAY[shard.shardid::text, nspname, other.shardid::text,
        (SELECT nspname FROM pg_class r JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE r.oid = f.confrelid),
        format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', nspname, relname, conname, pg_get_constraintdef(f.oid))]
    FROM shard JOIN pg_constraint f ON f.conrelid = logicalrelid AND f.contype = 'f' JOIN pg_dist_shard other ON other.logicalrelid = f.confrelid
      AND (other.shardminvalue = shard.shardminvalue OR other.shardminvalue IS NULL)
  )
  SELECT call, values FROM command ORDER BY step, shardid, ordinality`;
