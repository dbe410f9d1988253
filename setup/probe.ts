import { Client } from "pg";
import { reason, SetupError } from "./setupError";

/** A shard that did not take a write. */
export interface FailedShard {
  readonly shardId: string;
  /** Host names of the workers that it is placed on. */
  readonly nodes: readonly string[];
  /** Why, on one line. */
  readonly error: string;
}

/** What a write to every shard came to. */
export interface ProbeResult {
  /** Number of shards, failed ones included. */
  readonly shards: number;
  readonly failed: readonly FailedShard[];
}

/** How long a write may take before its shard counts as failed. */
const WRITE_TIMEOUT_MS = 4000;
/** How long a worker may take to accept a connection before its shards count as failed. */
const CONNECT_TIMEOUT_MS = 2000;
/** Sessions that write when each shard is asked on its own. */
const SESSIONS = 8;

/**
 * Writes one row to every shard, committed, and tells which shards refuse. Takes some 0.1 s; when workers are dead,
 * frozen or cut off, seconds. The writes run in sessions of their own: a worker that hangs does not hang `client`.
 *
 * @param client a superuser's session on the coordinator.
 * @throws if there is no probe table, its type has no value for every shard, or the coordinator goes away.
 */
export async function writeEveryShard(client: Client): Promise<ProbeResult> {
  const shards = await shardsOf(client);
  const silent = await silentNodes(client);
  const error = new Map<Shard, string>();
  for (const shard of shards) {
    const dead = shard.nodes.filter((node) => silent.has(node));
    if (shard.nodes.length === 0) error.set(shard, "no active placement");
    else if (dead.length > 0) error.set(shard, `${dead.join(" and ")} ${dead.length === 1 ? "does" : "do"} not answer the coordinator`);
  }
  const rest = shards.filter((shard) => !error.has(shard));
  // One statement for all shards is fast, and does not say which shard fails: that is asked in the unhappy case only.
  if (rest.length > 0 && (await writeAll(client, rest)) !== undefined) {
    for (const [shard, message] of await writeEach(client, rest)) error.set(shard, message);
  }
  return { shards: shards.length, failed: [...error].map(([{ shardId, nodes }, message]) => ({ shardId, nodes, error: message })) };
}

interface Shard {
  readonly shardId: string;
  /** Host names of its active placements. */
  readonly nodes: readonly string[];
  /** A value of the distribution column that lives in it, as text. */
  readonly key: string;
}

/** Values of a type, as SQL over the number `i`. */
const GENERATORS: Readonly<Record<string, string>> = {
  uuid: "md5(i::text)::uuid",
  date: "'2000-01-01'::date + i",
  timestamp: "'2000-01-01'::timestamp + i * interval '1 hour'",
  timestamptz: "'2000-01-01Z'::timestamptz + i * interval '1 hour'",
};
/** Random values per shard that are looked at first; a shard that none of them falls into is rare. */
const KEYS_PER_SHARD = 12;

/** The shards of the probe's table, each with a key. */
async function shardsOf(client: Client): Promise<Shard[]> {
  const column = await client.query<{ type: string; base: string; shards: number }>(`
    SELECT format_type(atttypid, atttypmod) AS type, base.typname AS base, (SELECT count(*)::int FROM pg_dist_shard WHERE logicalrelid = attrelid) AS shards
    FROM pg_attribute JOIN pg_type type ON type.oid = atttypid JOIN pg_type base ON base.oid = coalesce(nullif(type.typbasetype, 0), type.oid)
    WHERE attrelid = 'sharding.probe'::regclass AND attname = 'key'`);
  const { type, base, shards } = column.rows[0] as { type: string; base: string; shards: number };
  const generator = GENERATORS[base] ?? "i::text";
  for (let values = shards * KEYS_PER_SHARD; ; values *= 4) {
    const { rows } = await client
      .query<Shard & { key: string | null }>(
        `SELECT shardid AS "shardId", key,
           ARRAY(SELECT nodename FROM pg_dist_placement JOIN pg_dist_node USING (groupid)
                 WHERE shardid = s.shardid AND noderole = 'primary' AND isactive ORDER BY nodename) AS nodes
         FROM pg_dist_shard s LEFT JOIN (
           SELECT get_shard_id_for_distribution_column('sharding.probe', value) AS shardid, min(value::text) AS key
           FROM (SELECT (${generator})::${type} AS value FROM generate_series(1, $1::int) AS i) AS generated GROUP BY 1) AS keys USING (shardid)
         WHERE logicalrelid = 'sharding.probe'::regclass ORDER BY shardid`,
        [values],
      )
      .catch((error: unknown) => {
        throw new SetupError(
          `A distribution column of type ${type} has no value for every shard that could be written: ${reason(error)}. Distribute by a number, text, uuid, date or time`,
        );
      });
    if (rows.every(({ key }) => key !== null)) return rows;
  }
}

/** The workers that do not accept a connection from the coordinator, by host name. */
async function silentNodes(client: Client): Promise<Set<string>> {
  // One simple query of several statements: its result is a list of results.
  const results = (await client.query(`
    BEGIN; SET LOCAL citus.node_connection_timeout = ${CONNECT_TIMEOUT_MS};
    SELECT node_name FROM (
      SELECT array_agg(nodename) AS hosts, array_agg(nodeport) AS ports, array_agg('SELECT 1'::text) AS statements
      FROM pg_dist_node WHERE noderole = 'primary' AND isactive AND groupid <> 0) AS workers, master_run_on_worker(hosts, ports, statements, true) WHERE NOT success;
    COMMIT`)) as unknown as { rows: { node_name: string }[] }[];
  return new Set(results[2]?.rows.map(({ node_name }) => node_name));
}

/** Writes to all shards in one transaction; gives the reason if that fails. */
async function writeAll(client: Client, shards: readonly Shard[]): Promise<string | undefined> {
  const session = await openBeside(client);
  return writeKeys(session, shards.map(({ key }) => key)).finally(() => session.end());
}

/** Writes to each shard in a transaction of its own; gives the shards that fail, with the reason. */
async function writeEach(client: Client, shards: readonly Shard[]): Promise<Map<Shard, string>> {
  const errors = new Map<Shard, string>();
  const queue = [...shards];
  const work = async (): Promise<void> => {
    let session = await openBeside(client);
    for (let shard = queue.shift(); shard !== undefined; shard = queue.shift()) {
      const error = await writeKeys(session, [shard.key]);
      if (error === undefined) continue;
      errors.set(shard, error);
      // The session may still hang on a worker, or remember a broken connection to one.
      await session.end();
      session = await openBeside(client);
    }
    await session.end();
  };
  await Promise.all(Array.from({ length: Math.min(SESSIONS, shards.length) }, work));
  return errors;
}

async function writeKeys(session: Client, keys: readonly string[]): Promise<string | undefined> {
  const rows = keys.map((_, index) => `($${index + 1}, now())`).join(", ");
  return session
    .query(`INSERT INTO sharding.probe VALUES ${rows} ON CONFLICT (key) DO UPDATE SET written_at = excluded.written_at`, [...keys])
    .then(() => undefined, reason);
}

/** A session on the same server as another one. Ending it abandons a statement that hangs. */
async function openBeside({ host, port, user, database, password }: Client): Promise<Client> {
  const limits = { query_timeout: WRITE_TIMEOUT_MS, connectionTimeoutMillis: WRITE_TIMEOUT_MS };
  const session = new Client({ host, port, user, database, password, ssl: false, application_name: "citus-sharding probe", ...limits });
  session.on("error", () => undefined);
  await session.connect();
  return session;
}
