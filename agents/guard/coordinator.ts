import type { Client } from "pg";
import { LEAVING_LOCK_CLASS, TAKING_OUT_LOCK } from "../../topology/locks";
import { APPLICATION_NAME } from "./session";

/** A worker as the coordinator has it registered. */
export interface RegisteredWorker {
  readonly groupId: number;
  readonly host: string;
  readonly port: number;
  readonly active: boolean;
  /** An update is about to take it out of service. */
  readonly leaving: boolean;
}

/** What the coordinator tells of itself and of its workers. */
export interface Registry {
  /** Whether it is a standby: another member of its group is the coordinator then. */
  readonly recovering: boolean;
  /** Empty while Citus is not set up. */
  readonly workers: readonly RegisteredWorker[];
}

const UNDEFINED_TABLE = "42P01";

/** Asks the coordinator for its workers. */
export async function readRegistry(client: Client): Promise<Registry> {
  const { rows } = await client
    .query<Registry>(
      `SELECT pg_is_in_recovery() AS recovering, (
         SELECT coalesce(json_agg(json_build_object('groupId', groupid, 'host', nodename, 'port', nodeport, 'active', isactive, 'leaving', EXISTS (
             SELECT FROM pg_locks JOIN pg_database d ON d.oid = database
             WHERE locktype = 'advisory' AND datname = current_database() AND classid = ${LEAVING_LOCK_CLASS} AND objid = groupid AND objsubid = 2 AND granted
           )) ORDER BY nodename, nodeport), '[]')
         FROM pg_dist_node WHERE groupid <> 0 AND noderole = 'primary') AS workers`,
    )
    .catch((error: unknown) => {
      if ((error as { code?: string }).code === UNDEFINED_TABLE) return { rows: [] };
      throw error;
    });
  return rows[0] ?? { recovering: false, workers: [] };
}

/** The active placements of each shard that has any. */
const PLACED = `
  SELECT s.shardid, d.colocationid, s.shardminvalue, s.logicalrelid, count(n.groupid)::int AS placed, min(n.groupid) AS "group"
  FROM pg_dist_shard s JOIN pg_dist_partition d USING (logicalrelid) LEFT JOIN (
    pg_dist_placement p JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary' AND n.isactive) ON p.shardid = s.shardid
  WHERE d.partmethod = 'h' GROUP BY 1, 2, 3, 4`;

/** How many shards have their only usable placement on a worker; an inactive node's placements have missed writes and do not count. */
export async function onlyCopies(client: Client, groupId: number): Promise<number> {
  const { rows } = await client.query<{ shards: number }>(`SELECT count(*)::int AS shards FROM (${PLACED}) AS placed WHERE placed = 1 AND "group" = $1`, [groupId]);
  return rows[0]?.shards ?? 0;
}

/** Colocated tables of which shards lack placements that there are workers for. */
export interface SparseTables {
  /** One of the tables, which stands for all. */
  readonly table: string;
  /** Placements that each shard should have. */
  readonly factor: number;
  /** Shards of the table that lack one. */
  readonly missing: number;
}

/** The tables of which shards lack placements, one of each group of colocated ones. */
export async function sparseTables(client: Client): Promise<SparseTables[]> {
  const { rows } = await client.query<SparseTables>(
    `SELECT min(logicalrelid::text) AS table, factor, count(DISTINCT shardminvalue)::int AS missing
     FROM (${PLACED}) AS placed JOIN pg_dist_colocation USING (colocationid), LATERAL (
       SELECT least(replicationfactor, count(*))::int AS factor FROM pg_dist_node WHERE noderole = 'primary' AND isactive AND shouldhaveshards) AS takers
     WHERE replicationfactor > 1 AND placed < factor AND placed > 0 GROUP BY colocationid, factor ORDER BY 1`,
  );
  return rows;
}

/**
 * Says to set-ups that a worker is being taken out of service, for as long as connections to it are broken; the end of the session says the opposite, too.
 */
export async function announceTakingOut(client: Client): Promise<void> {
  await client.query(`SELECT pg_advisory_lock(${TAKING_OUT_LOCK})`);
}

/** Ends what {@link announceTakingOut} said. */
export async function endTakingOut(client: Client): Promise<void> {
  await client.query(`SELECT pg_advisory_unlock(${TAKING_OUT_LOCK})`);
}

/**
 * Takes a worker out of service on all nodes; its placements miss writes from now on.
 *
 * @returns when that was so, by the coordinator's clock.
 * @throws the server's error, if it holds the only copy of a shard, for example.
 */
export async function disable(client: Client, { host, port }: RegisteredWorker): Promise<string> {
  // Synchronously: otherwise the first worker by name is refused, and the others learn of it late.
  const { rows } = await client.query<{ at: string }>("SELECT citus_disable_node($1, $2, true), clock_timestamp()::text AS at", [host, port]);
  return rows[0]?.at ?? "";
}

/**
 * Ends writes that began in the `windowMs` before a worker was disabled, and still run: they were planned with the
 * worker, and wait for it.
 *
 * @returns how many.
 */
export async function endEarlierWrites(client: Client, disabledAt: string, windowMs: number): Promise<number> {
  const { rows } = await client.query<{ ended: number }>(
    `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))::int AS ended FROM pg_stat_activity AS session
     WHERE backend_type = 'client backend' AND state = 'active' AND application_name <> $1
       AND query_start BETWEEN $2::timestamptz - $3 * interval '1 millisecond' AND $2::timestamptz
       AND EXISTS (SELECT FROM pg_locks JOIN pg_dist_partition ON logicalrelid = relation WHERE pg_locks.pid = session.pid AND mode = 'RowExclusiveLock' AND granted)`,
    [APPLICATION_NAME, disabledAt, windowMs],
  );
  return rows[0]?.ended ?? 0;
}
