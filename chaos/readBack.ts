import type { Client } from "pg";
import type { FinalEvent, RowCounts } from "./history";
import { counterName } from "./clients";
import { differingPlacements } from "./differingPlacements";
import { referenceRow } from "./referenceClient";
import { CHANGED_PREFIX, changedTable } from "./schemaClient";
import { inSession } from "./sql";
import { ACCOUNTS, OPENING_BALANCE, type Shard } from "./tables";
import type { ClusterTarget } from "./target";

/** Long enough to read a few million rows. */
const READ_TIMEOUT_MS = 300_000;

/** What tells placements apart: the number of rows, and a sum over a hash of each row, whatever their order. */
const DIGESTS: Readonly<Record<string, string>> = {
  "chaos.inserts": digest("rows", "key", "client", "number"),
  "chaos.counters": digest("counters", "key", "value", "writer"),
  "chaos.accounts": digest("accounts", "key", "account", "balance"),
  "chaos.halves": digest("halves", "key", "client", "number", "half", "amount"),
};

function digest(what: string, ...columns: string[]): string {
  return `SELECT count(*) || ' ${what}, digest ' || coalesce(sum(hashtextextended(concat_ws(' ', ${columns.join(", ")}), 0)), 0) FROM %s`;
}

/** Reads everything back: the rows through the coordinators, and a digest of every placement. @throws the driver's error. */
export async function readBack(clusters: readonly ClusterTarget[], shards: readonly Shard[]): Promise<Omit<FinalEvent, "type" | "at">> {
  const read = { inserts: new Rows(), first: new Rows(), second: new Rows(), counters: new Map<string, number>(), writers: new Map<string, string>(), references: new Map<string, number>(), differing: new Map<string, string>() };
  const balances: Record<string, { opening: number; sum: number }> = {};
  const schemas: Record<string, Record<string, string>> = {};
  const placements: Record<string, number[]> = {};
  const orphans: string[] = [];
  for (const cluster of clusters) {
    const own = shards.filter((shard) => shard.cluster === cluster);
    await inSession(
      cluster.uri,
      async (client) => {
        await read.inserts.read(client, "chaos.inserts");
        await read.first.read(client, "chaos.halves WHERE half = 1");
        await read.second.read(client, "chaos.halves WHERE half = 2");
        const balance = await client.query<{ sum: string }>("SELECT sum(balance) FROM chaos.accounts");
        balances[cluster.name] = { opening: own.length * ACCOUNTS * OPENING_BALANCE, sum: Number(balance.rows[0]?.sum ?? 0) };
        const counted = await client.query<{ key: string; value: string; writer: string }>("SELECT key, value, writer FROM chaos.counters");
        for (const { key, value, writer } of counted.rows) {
          read.counters.set(counterName({ cluster, key }), Number(value));
          read.writers.set(counterName({ cluster, key }), writer);
        }
        if (cluster.plain === true) return;
        for (const [shard, difference] of await differences(client, own)) read.differing.set(shard, difference);
        const settings = await client.query<{ key: string; value: string }>("SELECT key, value FROM chaos.settings");
        for (const { key, value } of settings.rows) read.references.set(referenceRow(cluster, key), Number(value));
        const difference = await differingCopies(client);
        if (difference !== undefined) read.differing.set(`${cluster.name}/chaos.settings`, difference);
        for (const [table, places] of Object.entries(await changedTables(client))) schemas[changedTable(cluster, table)] = places;
        for (const { id, name } of own) placements[name] = await groupsOf(client, id);
        orphans.push(...(await orphaned(client)));
      },
      READ_TIMEOUT_MS,
    );
  }
  const { inserts, first, second, counters, writers, references, differing } = read;
  return {
    ...inserts.counts(),
    halves: [first.counts(), second.counts()],
    balances,
    references: Object.fromEntries(references),
    schemas,
    placements,
    orphans,
    counters: Object.fromEntries(counters),
    writers: Object.fromEntries(writers),
    differing: Object.fromEntries(differing),
  };
}

/** Rows with a client's number and the client's count, read as runs. */
class Rows {
  private readonly rows: Record<string, number> = {};
  private readonly runs: Record<string, [number, number][]> = {};

  /** @param from a table and perhaps a condition. */
  async read(client: Client, from: string): Promise<void> {
    // Not inlined: Citus computes windows over whole tables on the coordinator only when it has their rows there.
    const counted = `WITH counted AS MATERIALIZED (SELECT client, number, count(*)::int AS rows FROM ${from} GROUP BY client, number)`;
    const doubled = await client.query<{ key: string; rows: number }>(`${counted} SELECT client || '-' || number AS key, rows FROM counted WHERE rows > 1`);
    for (const { key, rows } of doubled.rows) this.rows[key] = rows;
    const runs = await client.query<{ client: number; from: string; to: string }>(
      `${counted} SELECT client, min(number) AS "from", max(number) AS "to"
       FROM (SELECT client, number, number - row_number() OVER (PARTITION BY client ORDER BY number) AS run FROM counted WHERE rows = 1) AS numbered GROUP BY client, run ORDER BY 1, 2`,
    );
    for (const { client: number, from, to } of runs.rows) (this.runs[number] ??= []).push([Number(from), Number(to)]);
  }

  counts(): RowCounts {
    return { rows: this.rows, runs: this.runs };
  }
}

/** Shards whose placements do not hold the same, by name, with what each holds. */
async function differences(client: Client, shards: readonly Shard[]): Promise<[string, string][]> {
  const found = new Map<string, string[]>();
  for (const [table, digest] of Object.entries(DIGESTS)) {
    for (const { shard, sentence } of await differingPlacements(client, table, digest, "chaos.inserts")) {
      const name = shards.find(({ id }) => id === shard)?.name ?? shard;
      found.set(name, [...(found.get(name) ?? []), sentence]);
    }
  }
  return [...found].map(([shard, parts]) => [shard, parts.join("; ")]);
}

/** What the copies of the reference table hold, if that is not the same. */
async function differingCopies(client: Client): Promise<string | undefined> {
  const { rows } = await client.query<{ node: string; result: string }>("SELECT nodename AS node, result FROM run_command_on_placements('chaos.settings', $1) ORDER BY 1", [digest("rows", "key", "value")]);
  return rows.every(({ result }) => result === rows[0]?.result) ? undefined : rows.map(({ node, result }) => `${node} has ${result}`).join(", ");
}

/** The columns that each node has of each table that was changed, and each of its placements. */
async function changedTables(client: Client): Promise<Record<string, Record<string, string>>> {
  const columns = `SELECT coalesce(json_object_agg(relname, columns), '{}') FROM (
    SELECT relname, string_agg(attname, ',' ORDER BY attnum) AS columns FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'chaos') AND relkind = 'r' AND relname LIKE '${CHANGED_PREFIX}%' AND attnum > 0 AND NOT attisdropped GROUP BY relname) AS found`;
  const nodes = await everyNode(client, columns);
  const tables = new Map<string, Record<string, string>>();
  const named = (relation: string): [table: string, shard: string | undefined] => {
    const [, table = relation, shard] = /^(.+_\d+)_(\d+)$/.exec(relation) ?? [];
    return [table, shard];
  };
  const found = nodes.map(({ node, result }) => ({ node, relations: JSON.parse(result) as Record<string, string> }));
  for (const { relations } of found) for (const relation of Object.keys(relations)) tables.set(named(relation)[0], {});
  for (const [table, places] of tables) {
    for (const { node, relations } of found) {
      places[node] = relations[table] ?? "";
      for (const [relation, own] of Object.entries(relations)) if (relation !== table && named(relation)[0] === table) places[`${relation} on ${node}`] = own;
    }
  }
  return Object.fromEntries(tables);
}

/** The workers that have a placement of a shard, by their groups. */
async function groupsOf(client: Client, shard: string): Promise<number[]> {
  const { rows } = await client.query<{ group: number }>(`SELECT groupid AS "group" FROM pg_dist_placement WHERE shardid = $1 ORDER BY 1`, [shard]);
  return rows.map(({ group }) => group);
}

/** Tables of shards on nodes that have no placement of them, and that nothing is going to remove. */
async function orphaned(client: Client): Promise<string[]> {
  const known = await client.query<{ place: string }>(
    `SELECT shardid || ' ' || nodename AS place FROM pg_dist_placement JOIN pg_dist_node USING (groupid) WHERE noderole = 'primary'
     UNION SELECT substring(object_name FROM '_(\\d+)$') || ' ' || nodename FROM pg_dist_cleanup JOIN pg_dist_node ON node_group_id = groupid WHERE noderole = 'primary'`,
  );
  const places = new Set(known.rows.map(({ place }) => place));
  const shards = `SELECT coalesce(json_agg(relname), '[]') FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'chaos') AND relkind = 'r' AND relname ~ '_\\d{5,}$'`;
  return (await everyNode(client, shards)).flatMap(({ node, result }) =>
    (JSON.parse(result) as string[]).flatMap((relation) => (places.has(`${/\d+$/.exec(relation)?.[0] ?? ""} ${node}`) ? [] : [`${relation} on ${node}`])),
  );
}

/** What every node answers to a query of one text. @throws if one does not answer. */
async function everyNode(client: Client, query: string): Promise<{ node: string; result: string }[]> {
  const { rows } = await client.query<{ node: string; success: boolean; result: string }>("SELECT nodename AS node, success, result FROM run_command_on_all_nodes($1) JOIN pg_dist_node USING (nodeid)", [query]);
  const silent = rows.find(({ success }) => !success);
  if (silent !== undefined) throw new Error(`${silent.node} does not answer: ${silent.result}`);
  return rows;
}
