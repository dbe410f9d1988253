import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Client, Pool } from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { createTrigger, enableTrigger, FENCE_TRIGGERS } from "../../topology/fence";
import { Failure } from "../failure";
import { say } from "../print";
import { clustersOf, onlyTenantStack } from "../tenant/stacks";
import { percentileOf, tell, type Figure } from "./figures";

export interface BenchFenceOptions {
  readonly rounds: number;
  readonly json: boolean;
}

const ROUND_MS = 3000;
const WARM_MS = 6000;
const CLIENTS = 8;
const BULK_ROWS = 200_000;
const BULK_TENANTS = 10_000;
const SCHEMA = "bench_fence";

/** `npm run bench:fence [-- <stack>]`: what the fence costs, on twin tables with and without it, in turn. Needs an active-active stack that is up, whose first cluster has two workers or more. */
export async function benchFence(words: readonly string[], { rounds, json }: BenchFenceOptions): Promise<void> {
  const stack = onlyTenantStack("bench:fence", words);
  const [{ name: cluster = "", uri = "" } = {}] = await clustersOf(stack);
  const [column] = Object.values(stack.settings.schema.tables);
  if (column === undefined || stack.plan.tenancy === undefined) throw new Failure(`${stack.name} has no fence: set tenantFence to true, with a table in schema.tables, and run npm run up -- ${stack.name}`);
  const client = new Client({ connectionString: uri });
  await client.connect();
  const figures: Figure[] = [];
  try {
    const { rows } = await client.query<{ id: string }>("SELECT n::text AS id FROM generate_series(1, $1::int) n WHERE tenancy.winner(n::text, (SELECT clusters FROM tenancy.ring)) = $2 LIMIT $3", [BULK_TENANTS * 10, cluster, BULK_TENANTS]);
    const tenants = rows.map(({ id }) => id);
    for (const factor of [1, 2]) figures.push(...(await measure(client, uri, factor, column, tenants, rounds)));
  } finally {
    await client.query(`DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`).catch(() => undefined);
    await client.end();
  }
  tell("fence", figures, json);
}

async function measure(client: Client, uri: string, factor: number, column: string, tenants: readonly string[], rounds: number): Promise<Figure[]> {
  await client.query(`DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`);
  await client.query(`CREATE SCHEMA ${SCHEMA}`);
  await client.query(`SET citus.shard_replication_factor = ${factor}`);
  for (const table of ["plain", "fenced"]) {
    await client.query(`CREATE TABLE ${SCHEMA}.${table} (${column} bigint NOT NULL, id bigint NOT NULL, body text NOT NULL, PRIMARY KEY (${column}, id))`);
    await client.query(`SELECT create_distributed_table('${SCHEMA}.${table}', '${column}', colocate_with := '${table === "plain" ? "none" : `${SCHEMA}.plain`}')`);
  }
  await client.query("SET citus.enable_unsafe_triggers = on");
  for (const trigger of Object.keys(FENCE_TRIGGERS) as (keyof typeof FENCE_TRIGGERS)[]) {
    await client.query(createTrigger(`${SCHEMA}.fenced`, trigger, column));
    await client.query(enableTrigger(`${SCHEMA}.fenced`, trigger));
  }
  // Else it would be the closer look that is measured.
  const { rows: slow } = await client.query<{ result: string }>("SELECT result FROM run_command_on_all_nodes(format('SELECT tenancy.plain(%L) IS TRUE', $1::text)) WHERE result <> 't'", [tenants[0]]);
  if (slow.length > 0) throw new Failure("A node looks closer at every write, because its marks were not worked out since ring or records changed. Run npm run up, or npm run tenant -- rebalance");

  const rates: Record<string, number[]> = { plain: [], fenced: [] };
  const loads: Record<string, number[]> = { plain: [], fenced: [] };
  const note = (round: number, values: Readonly<Record<string, readonly number[]>>, unit: string): void =>
    say(`replication factor ${factor}, round ${round} of ${rounds}: ${["plain", "fenced"].map((table) => `${table} ${Math.round(values[table]?.at(-1) ?? 0)}${unit}`).join(", ")}`);
  const pool = new Pool({ connectionString: uri, max: CLIENTS });
  try {
    const ids = { plain: 0, fenced: 0 };
    for (let round = 0; round <= rounds; round += 1) {
      for (const table of round % 2 === 0 ? (["plain", "fenced"] as const) : (["fenced", "plain"] as const)) {
        // The first rounds warm connections, caches and plans on all shards: an application keeps its connections.
        const { rate, next } = await inserts(pool, table, column, tenants, ids[table], round === 0 ? WARM_MS : ROUND_MS);
        ids[table] = next;
        if (round > 0) rates[table]?.push(rate);
      }
      if (round > 0) note(round, rates, "/s");
    }
  } finally {
    await pool.end();
  }
  for (let round = 0; round <= rounds; round += 1) {
    for (const table of round % 2 === 0 ? ["plain", "fenced"] : ["fenced", "plain"]) {
      await client.query(`TRUNCATE ${SCHEMA}.${table}`);
      const load = await bulk(client, table, column, tenants);
      if (round > 0) loads[table]?.push(load);
    }
    if (round > 0) note(round, loads, " ms");
  }
  const middle = (values: Readonly<Record<string, readonly number[]>>, table: string): number => percentileOf(values[table] ?? [], 50);
  return [
    {
      what: `single-row inserts, replication factor ${factor}: lost by the fence`,
      found: (1 - middle(rates, "fenced") / middle(rates, "plain")) * 100,
      unit: "%",
      limit: 10,
      note: `${Math.round(middle(rates, "fenced"))}/s and ${Math.round(middle(rates, "plain"))}/s, ${CLIENTS} clients, medians of ${rounds}`,
    },
    {
      what: `COPY of ${BULK_ROWS.toLocaleString("en-US")} rows of ${tenants.length.toLocaleString("en-US")} tenants, replication factor ${factor}: time with the fence, of that without`,
      found: middle(loads, "fenced") / middle(loads, "plain"),
      unit: "times",
      limit: 1.5,
      note: `${Math.round(middle(loads, "fenced"))} ms and ${Math.round(middle(loads, "plain"))} ms, medians of ${rounds}`,
    },
  ];
}

/** Single-row inserts a second, and the id to go on with. */
async function inserts(pool: Pool, table: string, column: string, tenants: readonly string[], from: number, durationMs: number): Promise<{ rate: number; next: number }> {
  const statement = { name: table, text: `INSERT INTO ${SCHEMA}.${table} (${column}, id, body) VALUES ($1, $2, 'hello world')` };
  const began = performance.now();
  let next = from;
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const client = await pool.connect();
      while (performance.now() - began < durationMs) {
        const id = next++;
        await client.query({ ...statement, values: [tenants[id % tenants.length], id] });
      }
      client.release();
    }),
  );
  return { rate: ((next - from) * 1000) / (performance.now() - began), next };
}

/** Milliseconds that a COPY takes. */
async function bulk(client: Client, table: string, column: string, tenants: readonly string[]): Promise<number> {
  const chunks = Array.from({ length: BULK_ROWS / 1000 }, (_, chunk) => Array.from({ length: 1000 }, (__, row) => `${tenants[(chunk * 1000 + row) % tenants.length]}\t${chunk * 1000 + row}\thello world\n`).join(""));
  const began = performance.now();
  await pipeline(Readable.from(chunks), client.query(copyFrom(`COPY ${SCHEMA}.${table} (${column}, id, body) FROM STDIN`)));
  return performance.now() - began;
}
