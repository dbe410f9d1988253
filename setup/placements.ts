import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "pg";
import { COPY_PROGRESS } from "../topology/copyProgress";
import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import { SPREAD } from "./registry";
import type { Report } from "./report";
import { reason, SetupError } from "./setupError";

/** A worker as placements see it. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/** Colocated shards, one of each table, which go together. */
export interface ShardGroup {
  /** The first table's shard, which stands for all. */
  readonly shardId: string;
  readonly tables: readonly string[];
  /** Whether every table has a primary key or a replica identity, which logical replication asks for. */
  readonly replicable: boolean;
}

/** A shard group to be moved to another worker, or copied there. */
export interface Transfer extends ShardGroup {
  readonly kind: "move" | "copy";
  readonly from: Place;
  readonly to: Place;
}

/** One row for each group of colocated shards. */
const SHARD_GROUPS = `
  SELECT min(s.shardid) AS "shardId", array_agg(s.logicalrelid::text ORDER BY s.shardid) AS tables, colocationid AS "colocationId",
    bool_and(relreplident IN ('f', 'i') OR EXISTS (SELECT FROM pg_index WHERE indrelid = s.logicalrelid AND indisprimary)) AS replicable
  FROM pg_dist_shard s JOIN pg_dist_partition USING (logicalrelid) JOIN pg_class ON pg_class.oid = s.logicalrelid
  WHERE ${SPREAD} GROUP BY colocationid, shardminvalue`;

/** The moves that Citus plans: `drain` empties the workers that take no shards, `rebalance` spreads shards evenly. */
export async function plannedMoves(coordinator: Coordinator, purpose: "drain" | "rebalance"): Promise<Transfer[]> {
  const rows = await coordinator.query<ShardGroup & { from_host: string; from_port: number; to_host: string; to_port: number }>(
    `WITH planned AS (SELECT row_number() OVER () AS position, * FROM get_rebalance_table_shards_plan(drain_only := $1))
     SELECT shard_group.*, sourcename AS from_host, sourceport AS from_port, targetname AS to_host, targetport AS to_port
     FROM planned JOIN (${SHARD_GROUPS}) AS shard_group ON "shardId" = shardid ORDER BY position`,
    [purpose === "drain"],
  );
  return rows.map(({ from_host, from_port, to_host, to_port, ...group }) => ({
    ...group,
    kind: "move",
    from: { host: from_host, port: from_port },
    to: { host: to_host, port: to_port },
  }));
}

/** A shard group with fewer placements than its tables were created with. */
export interface SparseShardGroup extends ShardGroup {
  /** How many placements are missing. */
  readonly missing: number;
  /** Where it is; usable placements only. */
  readonly places: readonly Place[];
}

/** A worker that takes shards, and how many shard groups it has. */
export interface Target extends Place {
  readonly groups: number;
}

/** Copies that give every shard group its placements again, each to the emptiest worker without one. */
export function plannedCopies(sparse: readonly SparseShardGroup[], targets: readonly Target[]): Transfer[] {
  const load = new Map(targets.map((target) => [`${target.host}:${target.port}`, target.groups]));
  const keyOf = ({ host, port }: Place): string => `${host}:${port}`;
  return sparse.flatMap(({ missing, places, ...group }) => {
    const [from] = places;
    if (from === undefined) return [];
    const taken = new Set(places.map(keyOf));
    const free = targets.filter((target) => !taken.has(keyOf(target))).sort((one, other) => (load.get(keyOf(one)) ?? 0) - (load.get(keyOf(other)) ?? 0));
    return free.slice(0, missing).map(({ host, port }): Transfer => {
      load.set(`${host}:${port}`, (load.get(`${host}:${port}`) ?? 0) + 1);
      return { ...group, kind: "copy", from, to: { host, port } };
    });
  });
}

/** Gives shards that have fewer placements than their tables were created with the missing ones. */
export async function replicateShards(coordinator: Coordinator, deadline: Deadline, report: Report): Promise<void> {
  report.activity = "looking for shards with missing placements";
  const sparse = await coordinator.query<SparseShardGroup>(
    `SELECT "shardId", tables, replicable, replicationfactor - cardinality(places) AS missing, to_json(places) AS places
     FROM (${SHARD_GROUPS}) AS shard_group JOIN pg_dist_colocation ON colocationid = "colocationId", LATERAL (
       SELECT ARRAY(SELECT json_build_object('host', nodename, 'port', nodeport) FROM pg_dist_placement JOIN pg_dist_node USING (groupid)
                    WHERE shardid = "shardId" AND noderole = 'primary' AND isactive ORDER BY nodename) AS places) AS placed
     WHERE replicationfactor > 1 AND cardinality(places) < replicationfactor ORDER BY "shardId"`,
  );
  if (sparse.length === 0) return;
  const targets = await coordinator.query<Target>(
    `SELECT nodename AS host, nodeport AS port, (
       SELECT count(*)::int FROM (${SHARD_GROUPS}) AS shard_group JOIN pg_dist_placement p ON shardid = "shardId" WHERE p.groupid = n.groupid) AS groups
     FROM pg_dist_node n WHERE noderole = 'primary' AND isactive AND shouldhaveshards ORDER BY nodename`,
  );
  await transfer(coordinator, "replication", plannedCopies(sparse, targets), deadline, report);
}

/** How many transfers run at once: each takes one of `max_logical_replication_workers`, 4 by default, on its target. */
const TRANSFERS_AT_ONCE = 4;
/** How many lines of progress are printed at most. */
const PROGRESS_LINES = 8;
/** How often a transfer is tried, and how long it waits in between, while what an earlier one left behind is being dropped. */
const TRIES = 40;
const RETRY_MS = 250;
/** How often workers are asked how far the transfers have got. */
const LOOK_MS = 5000;

/**
 * Moves and copies shards while they are written to, by logical replication: writes to a shard wait at the end only, up
 * to a second. A table without a primary key cannot be replicated so: its shards go one at a time, and writes wait meanwhile.
 *
 * @throws {@link SetupError} that names the shard and the workers; what was transferred before stays so.
 */
export async function transfer(coordinator: Coordinator, purpose: string, transfers: readonly Transfer[], deadline: Deadline, report: Report): Promise<void> {
  if (transfers.length === 0) return;
  deadline.renew();
  // Citus moves no shard while a worker lacks a reference table.
  await coordinator.query("SELECT replicate_reference_tables('block_writes')");
  const unfit = new Set(transfers.filter(({ replicable }) => !replicable).flatMap(({ tables }) => tables));
  if (unfit.size > 0) report.found(purpose, `a table among ${[...unfit].join(", ")} has no primary key: writes to a shard wait while it is copied`);
  // Where two placements of one shard have to move, it is one after the other.
  const lanes = [...new Set(transfers.map(({ shardId }) => shardId))].map((shard) => transfers.filter(({ shardId }) => shardId === shard));
  const started = performance.now();
  let done = 0;
  const count = (): void => {
    done += 1;
    deadline.renew();
    const lines = (transferred: number): number => Math.floor((transferred * PROGRESS_LINES) / transfers.length);
    if (lines(done) > lines(done - 1)) report.did(purpose, `${done} of ${transfers.length} shards, ${((performance.now() - started) / 1000).toFixed(1)} s`);
  };
  const work = async (): Promise<void> => {
    const session = await coordinator.open();
    try {
      for (let lane = lanes.shift(); lane !== undefined; lane = lanes.shift()) {
        for (const each of lane) {
          report.activity = `${purpose}, shard ${each.shardId} from ${each.from.host} to ${each.to.host}`;
          await transferOne(session, each);
          count();
        }
      }
    } catch (error) {
      lanes.length = 0;
      throw new SetupError(`${purpose} stopped: ${reason(error)}. Mend that and run the update again`);
    } finally {
      await session.end().catch(() => undefined);
    }
  };
  const observer = await coordinator.open();
  const watching = new AbortController();
  void renewWhileBytesMove(observer, deadline, watching.signal);
  const results = await Promise.allSettled(Array.from({ length: Math.min(unfit.size > 0 ? 1 : TRANSFERS_AT_ONCE, lanes.length) }, work));
  watching.abort();
  // Not waited for: a worker that is frozen holds up what it was asked.
  void observer.end().catch(() => undefined);
  const failure = results.find((result) => result.status === "rejected");
  if (failure !== undefined) throw failure.reason;
}

/** Begins the deadline anew whenever a copy on some worker has got further: a large shard takes as long as it takes. */
async function renewWhileBytesMove(observer: Client, deadline: Deadline, signal: AbortSignal): Promise<void> {
  let seen = "";
  while (!signal.aborted) {
    await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
    const { rows } = await observer
      .query<{ steps: string | null }>("SELECT string_agg(nodename || ': ' || result, '; ' ORDER BY nodename) AS steps FROM run_command_on_workers($1) WHERE success", [COPY_PROGRESS])
      .catch(() => ({ rows: [] }));
    const steps = rows[0]?.steps ?? seen;
    if (steps !== seen) deadline.renew();
    seen = steps;
  }
}

async function transferOne(session: Client, { kind, shardId, tables, replicable, from, to }: Transfer): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      const mode = replicable ? "force_logical" : "block_writes";
      await session.query(`SELECT citus_${kind}_shard_placement($1, $2, $3, $4, $5, $6)`, [shardId, from.host, from.port, to.host, to.port, mode]);
      return;
    } catch (error) {
      // Another session still drops what an earlier transfer of the shard has left behind.
      if (tries === TRIES || !reason(error).includes("could not be cleaned up")) {
        throw new Error(`shard ${shardId} of ${tables.join(", ")} could not go from ${from.host} to ${to.host}: ${reason(error)}`, { cause: error });
      }
      await delay(RETRY_MS);
    }
  }
}
