import type { Client } from "pg";
import type { FinalEvent } from "./history";
import { counterName } from "./clients";
import { differingPlacements } from "./differingPlacements";
import { inSession } from "./sql";
import type { Shard } from "./tables";
import type { ClusterTarget } from "./target";

/** Long enough to read a few million rows. */
const READ_TIMEOUT_MS = 300_000;

/** What tells placements apart: the number of rows, and a sum over a hash of each row, whatever their order. */
const DIGESTS: Readonly<Record<string, string>> = {
  "chaos.inserts": "SELECT count(*) || ' rows, digest ' || coalesce(sum(hashtextextended(key || ' ' || id, 0)), 0) FROM %s",
  "chaos.counters": "SELECT count(*) || ' counters, digest ' || coalesce(sum(hashtextextended(key || ' ' || value, 0)), 0) FROM %s",
};

/** Reads everything back: the rows through the coordinators, and a digest of every placement. @throws the driver's error. */
export async function readBack(clusters: readonly ClusterTarget[], shards: readonly Shard[]): Promise<Omit<FinalEvent, "type" | "at">> {
  const read = { rows: new Map<string, number>(), counters: new Map<string, number>(), differing: new Map<string, string>() };
  for (const cluster of clusters) {
    const own = shards.filter((shard) => shard.cluster === cluster);
    await inSession(
      cluster.uri,
      async (client) => {
        const inserted = await client.query<{ id: string; rows: number }>("SELECT id, count(*)::int AS rows FROM chaos.inserts GROUP BY id");
        for (const { id, rows } of inserted.rows) read.rows.set(id, rows);
        const counted = await client.query<{ key: string; value: string }>("SELECT key, value FROM chaos.counters");
        for (const { key, value } of counted.rows) read.counters.set(counterName({ cluster, key }), Number(value));
        for (const [shard, difference] of await differences(client, own)) read.differing.set(shard, difference);
      },
      READ_TIMEOUT_MS,
    );
  }
  return { rows: Object.fromEntries(read.rows), counters: Object.fromEntries(read.counters), differing: Object.fromEntries(read.differing) };
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
