import type { Client } from "pg";
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
  /** Citus's group of the worker that it began on, of the first of its placements; 0 without Citus. */
  readonly group: number;
}

/** Accounts of each shard, from 1, and what each of them has to begin with. */
export const ACCOUNTS = 64;
export const OPENING_BALANCE = 1000;

/** A counter lives in every second shard. */
const SHARDS_PER_COUNTER = 2;
const SHARDS_PER_WORKER = 2;
/** Values that are looked at, per shard, to find one in each; that none falls into a shard is as good as impossible. */
const VALUES_PER_SHARD = 64;
/** What is taken for shards of a group without Citus: enough that clients seldom wait for one another. */
const PLAIN_KEYS = 4;
const DDL_TIMEOUT_MS = 60_000;
const DROP_ATTEMPTS = 5;
const DROP_PAUSE_MS = 2000;

/** The tables, whose distribution column is `key`; all but the first are colocated with it. */
const TABLES: Readonly<Record<string, string>> = {
  "chaos.inserts": "key bigint NOT NULL, client integer NOT NULL, number bigint NOT NULL, written_at timestamptz NOT NULL DEFAULT clock_timestamp()",
  "chaos.counters": "key bigint PRIMARY KEY, value bigint NOT NULL, writer text NOT NULL DEFAULT '', previous text NOT NULL DEFAULT ''",
  "chaos.accounts": "key bigint NOT NULL, account integer NOT NULL, balance bigint NOT NULL, PRIMARY KEY (key, account)",
  "chaos.halves": "key bigint NOT NULL, client integer NOT NULL, number bigint NOT NULL, half smallint NOT NULL, amount bigint NOT NULL",
};

/**
 * Creates the harness's own schema in a cluster, empty, with two shards for each worker. What an earlier run has left is
 * dropped. `chaos.inserts` and `chaos.halves` have no unique constraint, so that a row that was written twice is there twice.
 */
export function createTables({ plan }: Target, cluster: ClusterTarget): Promise<Shard[]> {
  const shardCount = SHARDS_PER_WORKER * workerCount(plan, cluster.plan);
  return inSession(
    cluster.uri,
    async (client) => {
      await client.query("DROP SCHEMA IF EXISTS chaos CASCADE");
      await client.query("CREATE SCHEMA chaos");
      if (cluster.plain !== true) await client.query(`SET citus.shard_replication_factor = ${cluster.plan.setup.replicationFactor}`);
      for (const [table, columns] of Object.entries(TABLES)) {
        await client.query(`CREATE TABLE ${table} (${columns})`);
        if (cluster.plain === true) continue;
        if (table === "chaos.inserts") await client.query("SELECT create_distributed_table($1, 'key', colocate_with := 'none', shard_count := $2)", [table, shardCount]);
        else await client.query("SELECT create_distributed_table($1, 'key', colocate_with := 'chaos.inserts')", [table]);
      }
      if (cluster.plain !== true) {
        await client.query("CREATE TABLE chaos.settings (key text PRIMARY KEY, value bigint NOT NULL, previous bigint)");
        await client.query("SELECT create_reference_table('chaos.settings')");
        // Shards with one placement move by logical replication, which has to tell rows apart.
        if (cluster.plan.setup.replicationFactor === 1) for (const table of ["chaos.inserts", "chaos.halves"]) await client.query(`ALTER TABLE ${table} REPLICA IDENTITY FULL`);
      }
      const found = cluster.plain === true ? Array.from({ length: PLAIN_KEYS }, (_, index) => ({ id: String(index + 1), key: String(index + 1), group: 0 })) : await citusShards(client, shardCount);
      const shards = found.map(({ id, key, group }, index) => ({ name: `${cluster.name}/${id}`, cluster, id, key, counted: index % SHARDS_PER_COUNTER === 0, group }));
      for (const { key } of shards.filter(({ counted }) => counted)) await client.query("INSERT INTO chaos.counters VALUES ($1, 0)", [key]);
      for (const { key } of shards) await client.query("INSERT INTO chaos.accounts SELECT $1, account, $3 FROM generate_series(1, $2::int) AS account", [key, ACCOUNTS, OPENING_BALANCE]);
      return shards;
    },
    DDL_TIMEOUT_MS,
  );
}

/** The shards of `chaos.inserts`, each with a value of the distribution column that lives in it. */
async function citusShards(client: Client, shardCount: number): Promise<{ id: string; key: string; group: number }[]> {
  const { rows } = await client.query<{ id: string; key: string; group: number }>(
    `SELECT shardid AS id, key, (SELECT min(groupid) FROM pg_dist_placement WHERE pg_dist_placement.shardid = keys.shardid) AS "group"
     FROM (SELECT get_shard_id_for_distribution_column('chaos.inserts', i) AS shardid, min(i) AS key FROM generate_series(1, $1::bigint) AS i GROUP BY 1) AS keys ORDER BY 1`,
    [VALUES_PER_SHARD * shardCount],
  );
  return rows;
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
  if (cluster.plain === true) return shards.filter((shard) => shard.cluster === cluster).map(({ name }) => name);
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
