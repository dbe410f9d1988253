import { setTimeout as delay } from "node:timers/promises";
import { workerCount, type ClusterTarget, type Target } from "./target";
import { inSession } from "./sql";

/** A shard that is written to. */
export interface Shard {
  /** Its name in the history, `<cluster>/<number of the shard>`. */
  readonly name: string;
  readonly cluster: ClusterTarget;
  /** Citus's number of the shard of `chaos.inserts`. */
  readonly id: string;
  /** A value of the distribution column that lives in it. */
  readonly key: string;
  /** Whether clients count in it, too. */
  readonly counted: boolean;
}

/** A counter lives in every second shard. */
const SHARDS_PER_COUNTER = 2;
const SHARDS_PER_WORKER = 2;
/** Values that are looked at, per shard, to find one in each; that none falls into a shard is as good as impossible. */
const VALUES_PER_SHARD = 64;
const DDL_TIMEOUT_MS = 60_000;
const DROP_ATTEMPTS = 5;
const DROP_PAUSE_MS = 2000;

/**
 * Creates the harness's own schema in a cluster, empty, with two shards for each worker. What an earlier run has left is
 * dropped. `chaos.inserts` has no unique constraint, so that a row that was written twice is there twice.
 */
export function createTables({ plan }: Target, cluster: ClusterTarget): Promise<Shard[]> {
  const shardCount = SHARDS_PER_WORKER * workerCount(plan, cluster.plan);
  return inSession(
    cluster.uri,
    async (client) => {
      await client.query("DROP SCHEMA IF EXISTS chaos CASCADE");
      await client.query("CREATE SCHEMA chaos");
      await client.query(`SET citus.shard_replication_factor = ${cluster.plan.setup.replicationFactor}`);
      await client.query("CREATE TABLE chaos.inserts (key bigint NOT NULL, id text NOT NULL, written_at timestamptz NOT NULL DEFAULT clock_timestamp())");
      await client.query("CREATE TABLE chaos.counters (key bigint PRIMARY KEY, value bigint NOT NULL)");
      await client.query("SELECT create_distributed_table('chaos.inserts', 'key', colocate_with := 'none', shard_count := $1)", [shardCount]);
      await client.query("SELECT create_distributed_table('chaos.counters', 'key', colocate_with := 'chaos.inserts')");
      const { rows } = await client.query<{ id: string; key: string }>(
        `SELECT get_shard_id_for_distribution_column('chaos.inserts', i) AS id, min(i) AS key FROM generate_series(1, $1::bigint) AS i GROUP BY 1 ORDER BY 1`,
        [VALUES_PER_SHARD * shardCount],
      );
      const shards = rows.map(({ id, key }, index) => ({ name: `${cluster.name}/${id}`, cluster, id, key, counted: index % SHARDS_PER_COUNTER === 0 }));
      for (const { key } of shards.filter(({ counted }) => counted)) await client.query("INSERT INTO chaos.counters VALUES ($1, 0)", [key]);
      return shards;
    },
    DDL_TIMEOUT_MS,
  );
}

/** Drops the harness's schema from a cluster, again and again if it must: the last fault may just have moved the leader. @throws the last attempt's error. */
export async function dropTables(cluster: ClusterTarget): Promise<void> {
  const drop = (): Promise<unknown> => inSession(cluster.uri, (client) => client.query("DROP SCHEMA IF EXISTS chaos CASCADE"), DDL_TIMEOUT_MS);
  for (let attempt = 1; attempt < DROP_ATTEMPTS; attempt += 1) {
    try {
      return void (await drop());
    } catch {
      await delay(DROP_PAUSE_MS);
    }
  }
  await drop();
}

/** The names of the shards that have a placement on a node, by the node's host name. */
export async function shardsOn(shards: readonly Shard[], cluster: ClusterTarget, node: string): Promise<string[]> {
  const { rows } = await inSession(cluster.uri, (client) =>
    client.query<{ id: string }>(
      `SELECT shardid AS id FROM pg_dist_shard JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid)
       WHERE logicalrelid = 'chaos.inserts'::regclass AND nodename = $1`,
      [node],
    ),
  );
  const ids = new Set(rows.map(({ id }) => id));
  return shards.filter((shard) => shard.cluster === cluster && ids.has(shard.id)).map(({ name }) => name);
}
