import type { Client } from "pg";
import { connect } from "../../../cli/connections";
import { differingPlacements } from "../../../chaos/differingPlacements";
import type { ClusterTarget } from "../../../chaos/target";
import { ORPHANS } from "../../../tenants/orphans";
import { keyOf, type Disagreement, type Found, type Ledger } from "./ledger";
import { ACCOUNTS, TABLES, WRITERS_AT_MOST } from "./schema";

/** Something that is not as it should be: what a {@link Ledger} says, rows in a cluster that is not the home, or copies of a shard that differ. */
export type Finding = Disagreement | { readonly kind: "left behind" | "copies"; readonly sentence: string };

/** Tables of which shards are compared, the partitions in place of their table. */
const WITH_SHARDS = TABLES.flatMap((table) => (table === "moves_events" ? ["moves_events_0", "moves_events_1"] : [table]));

/**
 * Compares what a tenant's clients were told with what its home has, and looks for rows of it everywhere else. Nobody writes the tenant meanwhile.
 *
 * @throws if a cluster does not answer.
 */
export async function compare(clusters: readonly ClusterTarget[], column: string, tenant: string, home: string, ledger: Ledger): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, uri, plan } of clusters) {
    const client = await connect(uri);
    try {
      if (name === home) findings.push(...ledger.compare(await foundOf(client, column, tenant)), ...(await inconsistencies(client, column, tenant)));
      else findings.push(...(await leftBehind(client, name, column, tenant)));
      if (plan.setup.replicationFactor > 1) {
        for (const table of WITH_SHARDS) {
          const digest = `SELECT md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM %s t WHERE ${column} = ${tenant}`;
          for (const { shard, sentence } of await differingPlacements(client, table, digest)) findings.push({ kind: "copies", sentence: `copies of shard ${shard} of ${table} in ${name} differ for tenant ${tenant}: ${sentence}` });
        }
      }
    } finally {
      void client.end().catch(() => undefined);
    }
  }
  return findings;
}

async function foundOf(client: Client, column: string, tenant: string): Promise<Found> {
  const rows = new Map<string, string>();
  const read = async (table: string, id: string): Promise<void> => {
    const { rows: found } = await client.query<{ id: string; body: string }>(`SELECT ${id} AS id, body FROM ${table} WHERE ${column} = $1`, [tenant]);
    for (const row of found) rows.set(keyOf({ table, id: row.id }), row.body);
  };
  await read("moves_entries", "entry_id::text");
  await read("moves_events", "slot || ' ' || event_id");
  const { rows: accounts } = await client.query<{ id: string; hits: string }>(`SELECT account_id::text AS id, hits FROM moves_accounts WHERE ${column} = $1`, [tenant]);
  return { rows, counters: new Map(accounts.map(({ id, hits }) => [id, Number(hits)])) };
}

/** What tables say of one another: balances are the sums of amounts, the trigger counted the entries that are there, and every account is there. */
async function inconsistencies(client: Client, column: string, tenant: string): Promise<Finding[]> {
  const rowsOf = async (text: string): Promise<Record<string, string>[]> => (await client.query<Record<string, string>>(text, [tenant])).rows;
  const accounts = await rowsOf(`SELECT account_id AS id, balance FROM moves_accounts WHERE ${column} = $1`);
  const amounts = await rowsOf(`SELECT account_id AS id, sum(amount)::bigint AS amount FROM moves_entries WHERE ${column} = $1 GROUP BY 1`);
  const counted = await rowsOf(`SELECT writer AS id, entries FROM moves_counts WHERE ${column} = $1`);
  const entries = await rowsOf(`SELECT entry_id % ${WRITERS_AT_MOST} AS id, count(*) AS entries FROM moves_entries WHERE ${column} = $1 GROUP BY 1`);
  const findings: Finding[] = [];
  if (accounts.length !== ACCOUNTS) findings.push({ kind: "lost", sentence: `tenant ${tenant} has ${accounts.length} accounts, and had ${ACCOUNTS} from the beginning` });
  for (const { id, balance } of accounts) {
    const sum = amounts.find((other) => String(other["id"]) === String(id))?.["amount"] ?? "0";
    if (sum !== balance) findings.push({ kind: "torn", sentence: `the balance of account ${String(id)} of tenant ${tenant} is ${String(balance)}, and the amounts of its entries are ${sum}` });
  }
  for (const id of new Set([...counted, ...entries].map((row) => String(row["id"])))) {
    const [by, there] = [counted, entries].map((rows) => rows.find((row) => String(row["id"]) === id)?.["entries"] ?? "0");
    if (by !== there) findings.push({ kind: Number(by) > Number(there) ? "doubled" : "lost", sentence: `the trigger has counted ${by} entries of writer ${id} of tenant ${tenant}, and ${there} are there` });
  }
  return findings;
}

async function leftBehind(client: Client, cluster: string, column: string, tenant: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const table of TABLES) {
    const { rows } = await client.query<{ count: number }>(`SELECT count(*)::int AS count FROM ${table} WHERE ${column} = $1`, [tenant]);
    const count = rows[0]?.count ?? 0;
    if (count > 0) findings.push({ kind: "left behind", sentence: `${cluster} has ${count} rows of tenant ${tenant} in ${table}, and is not its home` });
  }
  return findings;
}

/** Publications of moves that are over and that `recover` has left. */
export async function publicationsLeft(clusters: readonly ClusterTarget[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, uri } of clusters) {
    const client = await connect(uri);
    try {
      const { rows } = await client.query<{ node: string; result: string }>("SELECT nodename AS node, result FROM run_command_on_all_nodes($1) JOIN pg_dist_node USING (nodeid) WHERE result <> '0'", [`SELECT count(*) FROM (${ORPHANS}) AS orphans`]);
      for (const { node, result } of rows) findings.push({ kind: "left behind", sentence: `${node} of ${name} has ${result} publications of moves that are over` });
    } finally {
      void client.end().catch(() => undefined);
    }
  }
  return findings;
}
