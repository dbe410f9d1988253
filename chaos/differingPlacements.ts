import type { Client } from "pg";

/** What the placements of a shard hold, if that is not the same. */
export interface Difference {
  /** Citus's number of the shard. */
  readonly shard: string;
  readonly sentence: string;
}

/**
 * The shards of a table whose placements do not hold the same.
 *
 * @param digest a query of one text that tells what a placement holds, whatever the order of its rows; Citus puts the placement's name for %s.
 * @param named the table whose shards' numbers are given: of colocated tables the shards with one range have one name. @default the table itself
 */
export async function differingPlacements(client: Client, table: string, digest: string, named = table): Promise<Difference[]> {
  const { rows } = await client.query<{ shard: string; answers: { node: string; result: string; success: boolean }[] }>(
    `SELECT named.shardid AS shard, json_agg(json_build_object('node', nodename, 'result', result, 'success', success) ORDER BY nodename) AS answers
     FROM run_command_on_placements($1, $2) AS answered JOIN pg_dist_shard own ON own.shardid = answered.shardid
       JOIN pg_dist_shard named ON named.logicalrelid = $3::regclass AND named.shardminvalue = own.shardminvalue
     GROUP BY named.shardid`,
    [table, digest, named],
  );
  return rows
    .filter(({ answers }) => answers.some(({ success, result }) => !success || result !== answers[0]?.result))
    .map(({ shard, answers }) => ({ shard: String(shard), sentence: answers.map(({ node, result }) => `${node} has ${result}`).join(", ") }));
}
