import type { Client } from "pg";
import type { FinalEvent, RowCounts } from "./history";
import { counterName } from "./clients";
import { differingPlacements } from "./differingPlacements";
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
  const read = { inserts: new Rows(), first: new Rows(), second: new Rows(), counters: new Map<string, number>(), writers: new Map<string, string>(), differing: new Map<string, string>() };
  const balances: Record<string, { opening: number; sum: number }> = {};
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
        if (cluster.plain !== true) for (const [shard, difference] of await differences(client, own)) read.differing.set(shard, difference);
      },
      READ_TIMEOUT_MS,
    );
  }
  const { inserts, first, second, counters, writers, differing } = read;
  return {
    ...inserts.counts(),
    halves: [first.counts(), second.counts()],
    balances,
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
