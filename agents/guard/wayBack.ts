import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "pg";
import { leaveToCleanup } from "../../topology/citusCleanup";
import { COPY_PROGRESS } from "../../topology/copyProgress";
import { ARM_NODES } from "../../topology/fence";
import { SET_UP_LOCK } from "../../topology/locks";
import { recoverOn } from "../../topology/recovery";
import { sparseTables, type RegisteredWorker, type SparseTables } from "./coordinator";
import { abandon, openCoordinator, reason } from "./session";

/** Something else changes the cluster: the way back waits for it. */
export class Busy extends Error {}

/** A copy stood still, and was given up: what it had copied of a shard that was not done is copied again. */
export class Stalled extends Error {}

/** What the way back tells while it is under way. */
export interface Progress {
  /** A step is done. */
  did(what: string): void;
  /** Shards that are copied, of those that lacked a placement. */
  copied(done: number, total: number): void;
}

/** A shard's table on a worker. */
interface ShardTable {
  readonly shardId: string;
  readonly name: string;
  readonly group: number;
}

/**
 * The tables that workers held before they were activated, by group and name. The activation forgets them, so that a table which is dropped from then on
 * leaves its shards there. Whoever calls {@link bringBack} keeps it from one attempt to the next.
 */
export type FormerTables = Map<string, ShardTable>;

const CONNECT_TIMEOUT_MS = 2000;
const WATCH_MS = 200;
/** Bytes of a shard, with those colocated with it, up to which writes may wait for its copy: some 0.3 s. */
const BLOCKING_BYTES = 32 * 1024 ** 2;
/** How long a copy may stand still, without a byte that moves, unless it is set, in milliseconds. */
export const STALL_MS = 600_000;
/** The same while writes wait for the copy: a lock that is not had soon is given up. */
const BLOCKING_STALL_MS = 10_000;
/** How often workers are asked how far a copy has got. */
const LOOK_MS = 1000;

/**
 * Takes workers back into service and gives every shard its placements again. Nothing of it is lost or doubled when it
 * fails in between: it is begun again.
 *
 * @param stallMs how long a copy may stand still.
 * @param former what workers held that earlier attempts activated; empty once all is done.
 * @throws {@link Busy} if a set-up of the cluster runs; {@link Stalled} if a copy stands still; the server's error, if a step fails.
 */
export async function bringBack(workers: readonly RegisteredWorker[], progress: Progress, stallMs: number, former: FormerTables): Promise<void> {
  const session = await openCoordinator(CONNECT_TIMEOUT_MS, ["lock_timeout=2s", "statement_timeout=30s"]);
  try {
    // A set-up restarts, activates and copies on purpose; it takes the same lock.
    const { rows } = await session.query<{ alone: boolean }>(`SELECT pg_try_advisory_lock(${SET_UP_LOCK}) AS alone`);
    if (rows[0]?.alone !== true) throw new Busy("a set-up of the cluster is running");
    for (const { host, port, groupId } of workers) {
      // A transaction that was prepared on a worker before it went keeps locks that its activation, and the copies after it, would wait for.
      await timed(progress, `finished what was prepared on ${host}`, () => finishPrepared(session, groupId));
      for (const table of await shardTables(session, groupId)) former.set(`${table.group} ${table.name}`, table);
      await timed(progress, `activated ${host}`, () => session.query("SELECT citus_activate_node($1, $2)", [host, port]));
    }
    await session.query("SELECT replicate_reference_tables('block_writes')");
    await session.query("SET statement_timeout = 0");
    for (const tables of await sparseTables(session)) await copy(session, tables, progress, stallMs);
    await session.query("RESET statement_timeout");
    const [left] = await sparseTables(session);
    if (left !== undefined) throw new Error(`${left.missing} shards of ${left.table} still have fewer than ${left.factor} placements`);
    await armFence(session);
    const superseded = await leaveSuperseded(session);
    if (superseded > 0) progress.did(`left ${superseded} tables of shards that are on other workers now to Citus' cleanup`);
    const dropped = await leaveDropped(session, former);
    if (dropped > 0) progress.did(`left ${dropped} tables of shards that were dropped meanwhile to Citus' cleanup`);
    former.clear();
  } finally {
    abandon(session);
  }
}

async function finishPrepared(session: Client, groupId: number): Promise<void> {
  const { rows } = await session.query<{ problem: string }>(recoverOn(groupId));
  if (rows[0] !== undefined) throw new Error(rows[0].problem);
}

/** Works out the fence's marks for the copies of ring and records that the workers have got. Where that fails, each write there is looked at closer until the next set-up, and nothing else. */
async function armFence(session: Client): Promise<void> {
  const { rows } = await session.query<{ fenced: boolean }>("SELECT to_regprocedure('tenancy.arm()') IS NOT NULL AS fenced");
  if (rows[0]?.fenced !== true) return;
  for (const statement of ARM_NODES) await session.query("SELECT FROM run_command_on_all_nodes($1)", [statement]);
}

/** The tables of shards, by their names, on the node where it runs: whatever ends like one. */
const LIKE_SHARDS = "SELECT coalesce(json_agg(format('%I.%I', nspname, relname)), '[]') FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p') AND relname ~ '_[0-9]{1,18}$'";

/**
 * Leaves tables to Citus' cleanup that shards have on workers without a placement of them: those of a worker that was away, whose shards were copied to
 * another one meanwhile. What is being copied or moved has a record of its own from before its table is there until its placement is, so that names
 * are asked for first, and records and placements in a later statement.
 *
 * @returns how many there were.
 */
async function leaveSuperseded(session: Client): Promise<number> {
  const found = await session.query<{ group: number; names: string }>(
    "SELECT groupid AS \"group\", result AS names FROM run_command_on_workers($1) JOIN pg_dist_node USING (nodename, nodeport) WHERE success",
    [LIKE_SHARDS],
  );
  const names = found.rows.flatMap(({ group, names: own }) => (JSON.parse(own) as string[]).map((name) => ({ group, name })));
  const { rowCount } = await session.query(
    leaveToCleanup(
      "name",
      '"group"',
      `json_to_recordset($1) AS found ("group" int, name text)
         JOIN pg_dist_shard s ON s.shardid = substring(name FROM '_([0-9]{1,18})"?$')::bigint AND name = shard_name(logicalrelid, shardid, false)
         JOIN pg_dist_partition d USING (logicalrelid)
       WHERE d.partmethod = 'h' AND NOT EXISTS (SELECT FROM pg_dist_placement p WHERE p.shardid = s.shardid AND groupid = "group")
         AND NOT EXISTS (SELECT FROM pg_dist_cleanup WHERE object_name = name AND node_group_id = "group")`,
    ),
    [JSON.stringify(names)],
  );
  return rowCount ?? 0;
}

/** The tables of shards that a worker has by the coordinator's metadata. */
async function shardTables(session: Client, groupId: number): Promise<ShardTable[]> {
  const { rows } = await session.query<ShardTable>(
    `SELECT shardid::text AS "shardId", shard_name(logicalrelid, shardid, false) AS name, groupid AS "group"
     FROM pg_dist_placement JOIN pg_dist_shard USING (shardid) JOIN pg_dist_partition USING (logicalrelid) WHERE partmethod = 'h' AND groupid = $1`,
    [groupId],
  );
  return rows;
}

/** Leaves tables to Citus' cleanup that workers held before their activation, and whose shards are known to nobody any more. @returns how many. */
async function leaveDropped(session: Client, former: FormerTables): Promise<number> {
  const { rowCount } = await session.query(
    leaveToCleanup("name", '"group"', `json_to_recordset($1) AS former ("shardId" bigint, name text, "group" int) WHERE NOT EXISTS (SELECT FROM pg_dist_shard WHERE shardid = "shardId")`),
    [JSON.stringify([...former.values()])],
  );
  return rowCount ?? 0;
}

/** Gives every shard of a table, and those colocated with it, the placements that it lacks. */
async function copy(session: Client, { table, factor, missing }: SparseTables, progress: Progress, stallMs: number): Promise<void> {
  const mode = await transferMode(session, table);
  const limitMs = mode === "block_writes" ? Math.min(BLOCKING_STALL_MS, stallMs) : stallMs;
  progress.copied(0, missing);
  const observer = await openCoordinator(CONNECT_TIMEOUT_MS, ["statement_timeout=5s"]);
  try {
    let copying = true;
    const watch = async (): Promise<void> => {
      const { rows } = await session.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      const statement = session.query("SELECT replicate_table_shards($1::text::regclass, $2, shard_transfer_mode := $3::citus.shard_transfer_mode)", [table, factor, mode]).finally(() => (copying = false));
      // Its failure is taken where it is awaited.
      statement.catch(() => undefined);
      let left = missing;
      let seen = "";
      let movedAt = performance.now();
      let lookedAt = -Infinity;
      while (copying) {
        await Promise.race([delay(WATCH_MS), statement.catch(() => undefined)]);
        const now = (await sparseTables(observer)).find((sparse) => sparse.table === table)?.missing ?? 0;
        if (now !== left) movedAt = performance.now();
        left = now;
        if (copying && performance.now() - lookedAt > LOOK_MS) {
          const steps = await copyProgress(observer);
          if (steps !== undefined && steps !== seen) movedAt = performance.now();
          seen = steps ?? seen;
          lookedAt = performance.now();
        }
        progress.copied(missing - left, missing);
        if (copying && performance.now() - movedAt > limitMs) {
          await observer.query("SELECT pg_cancel_backend($1::int)", [rows[0]?.pid]);
          await statement.catch((error: unknown) => {
            throw new Stalled(`the copy of ${table} stood still for ${limitMs / 1000} s with ${left} of ${missing} shards to go: ${reason(error)}`);
          });
        }
      }
      await statement;
    };
    await timed(progress, `copied ${missing} shards of ${table} and its colocated tables (${mode})`, watch);
  } finally {
    abandon(observer);
  }
}

/** Where the copies on all workers have got to; undefined if one of them cannot be asked. */
async function copyProgress(observer: Client): Promise<string | undefined> {
  const { rows } = await observer
    .query<{ steps: string }>("SELECT string_agg(nodename || ': ' || result, '; ' ORDER BY nodename) AS steps FROM run_command_on_workers($1) WHERE success", [COPY_PROGRESS])
    .catch(() => ({ rows: [] }));
  return rows[0]?.steps;
}

/** Small shards are copied fast while their writes wait; large ones by logical replication, which asks for primary keys. */
async function transferMode(session: Client, table: string): Promise<"block_writes" | "force_logical"> {
  const { rows } = await session.query<{ large: boolean; replicable: boolean }>(
    `SELECT (SELECT coalesce(max(bytes), 0) > $2 FROM (
         SELECT sum(shard_size) AS bytes FROM citus_shards JOIN pg_dist_shard USING (shardid)
         WHERE colocation_id = own.colocationid GROUP BY shardminvalue, nodename, nodeport) AS sizes) AS large,
       (SELECT bool_and(relreplident IN ('f', 'i') OR EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary))
         FROM pg_dist_partition d JOIN pg_class ON pg_class.oid = d.logicalrelid WHERE d.colocationid = own.colocationid) AS replicable
     FROM pg_dist_partition own WHERE logicalrelid = $1::text::regclass`,
    [table, BLOCKING_BYTES],
  );
  return rows[0]?.large === true && rows[0].replicable ? "force_logical" : "block_writes";
}

async function timed(progress: Progress, what: string, step: () => Promise<unknown>): Promise<void> {
  const startedAt = performance.now();
  await step();
  progress.did(`${what} in ${((performance.now() - startedAt) / 1000).toFixed(2)} s`);
}
