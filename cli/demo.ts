import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Presets, SingleBar } from "cli-progress";
import type { Client } from "pg";
import { from as copyFrom } from "pg-copy-streams";
import colors from "picocolors";
import { reason } from "../setup/setupError";
import { connect, connectionUris, coordinatorUris, type ConnectionUris } from "./connections";
import { demoTables, FIRST_ID, ROOMS, type DemoTable } from "./demoRows";
import { Failure } from "./failure";
import { duration, say } from "./print";
import { readStack, type Stack } from "./stack";
import { table } from "./table";

/** What one worker has of the demo. */
interface WorkerShare {
  readonly worker: string;
  /** Placements of the three tables' shards. */
  readonly placements: number;
  /** Rows of the demo by table; with a replication factor above 1 each counts on every worker that has it. */
  readonly rows: Readonly<Record<string, number>>;
}

/** What the demo did. */
export interface DemoResult {
  readonly stack: string;
  /** How long the load took, connections and commit included; the removal of an earlier demo's rows is not in it. */
  readonly loadMs: number;
  /** Rows that were loaded, by table. */
  readonly rows: Readonly<Record<string, number>>;
  readonly clusters: readonly { readonly cluster: string; readonly workers: readonly WorkerShare[] }[];
}

const LAST_ID = FIRST_ID + ROOMS - 1;
const LOAD_TIMEOUT_MS = 120_000;
const ROWS_PER_CHUNK = 1000;

/**
 * `npm run demo -- <stack>`: loads the demo's rows, spread over the stack's clusters, and shows where they are. It can be
 * repeated: rows of its own range of ids are replaced, and no others are touched.
 */
export async function demo(name: string, json: boolean): Promise<void> {
  const stack = readStack(name);
  const uris = await connectionUris(name);
  say(`Rows of the demo have room ids from ${FIRST_ID} to ${LAST_ID}. Those of an earlier demo are replaced; no others are touched.`);
  const result = await loadDemo(stack, uris);
  console.log(json ? JSON.stringify(result, undefined, 2) : render(result));
}

/** Loads the demo's rows into a stack that is up, in place of those of an earlier demo. */
export async function loadDemo(stack: Stack, uris: ConnectionUris): Promise<DemoResult> {
  const { name } = stack;
  const coordinators = coordinatorUris(stack, uris);
  const parts = coordinators.map(({ cluster, uri }, index) => ({ cluster, uri, tables: demoTables(index, coordinators.length) }));
  await Promise.all(parts.map(({ cluster, uri, tables }) => inSession(name, cluster, uri, (client) => removeRows(client, tables))));
  const rows = countRows(parts.flatMap(({ tables }) => tables));
  const loadMs = await load(name, parts, Object.values(rows).reduce((sum, count) => sum + count, 0));
  const clusters = await Promise.all(
    parts.map(async ({ cluster, uri, tables }) => ({ cluster, workers: await inSession(name, cluster, uri, (client) => shares(client, tables.map((part) => part.table))) })),
  );
  return { stack: name, loadMs: Math.round(loadMs), rows, clusters };
}

async function removeRows(client: Client, tables: readonly DemoTable[]): Promise<void> {
  for (const part of tables) await client.query(`DELETE FROM ${part.table} WHERE room_id BETWEEN $1 AND $2`, [FIRST_ID, LAST_ID]);
}

/** Loads all clusters at once, each in one transaction; the time that it took. */
async function load(stack: string, parts: readonly { cluster: string; uri: string; tables: readonly DemoTable[] }[], total: number): Promise<number> {
  const bar = new SingleBar({ format: "  {bar} {percentage}%  {value} of {total} rows", stream: process.stderr, hideCursor: true, clearOnComplete: true }, Presets.shades_grey);
  if (process.stderr.isTTY) bar.start(total, 0);
  const startedAt = performance.now();
  try {
    await Promise.all(
      parts.map(({ cluster, uri, tables }) =>
        inSession(stack, cluster, uri, async (client) => {
          await client.query("BEGIN");
          for (const part of tables) await copy(client, part, (count) => bar.increment(count));
          await client.query("COMMIT");
        }),
      ),
    );
    return performance.now() - startedAt;
  } finally {
    bar.stop();
  }
}

async function copy(client: Client, { table: name, columns, rows }: DemoTable, loaded: (rows: number) => void): Promise<void> {
  const chunks = Array.from({ length: Math.ceil(rows.length / ROWS_PER_CHUNK) }, (_, index) => rows.slice(index * ROWS_PER_CHUNK, (index + 1) * ROWS_PER_CHUNK));
  const text = new Transform({
    writableObjectMode: true,
    transform(chunk: readonly string[], _, done) {
      loaded(chunk.length);
      done(null, chunk.join(""));
    },
  });
  await pipeline(Readable.from(chunks), text, client.query(copyFrom(`COPY ${name} (${columns.join(", ")}) FROM STDIN`)));
}

/**
 * Where the demo's rows are: what a read of them finds, by the shard that each belongs to, on the workers that have the
 * shard. Counting on each placement by itself (run_command_on_placements) would take a hundred times as long.
 */
async function shares(client: Client, tables: readonly string[]): Promise<WorkerShare[]> {
  const workers = new Map<string, { placements: number; rows: Record<string, number> }>();
  for (const name of tables) {
    const { rows } = await client.query<{ worker: string; placements: number; rows: number }>(
      `WITH rooms AS MATERIALIZED (SELECT room_id, count(*) AS rows FROM ${name} WHERE room_id BETWEEN $2 AND $3 GROUP BY room_id),
         filled AS (SELECT get_shard_id_for_distribution_column($1::text::regclass, room_id) AS shardid, sum(rows) AS rows FROM rooms GROUP BY 1)
       SELECT nodename AS worker, count(*)::int AS placements, coalesce(sum(rows), 0)::int AS rows
       FROM pg_dist_shard JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid) LEFT JOIN filled USING (shardid)
       WHERE logicalrelid = $1::text::regclass AND noderole = 'primary' GROUP BY nodename ORDER BY nodename`,
      [name, FIRST_ID, LAST_ID],
    );
    for (const { worker, placements, rows: count } of rows) {
      const share = workers.get(worker) ?? { placements: 0, rows: {} };
      workers.set(worker, { placements: share.placements + placements, rows: { ...share.rows, [name]: count } });
    }
  }
  return [...workers].map(([worker, share]) => ({ worker, ...share }));
}

/** Works in a session on a coordinator; what goes wrong is told with the cluster's name and a way on. */
async function inSession<Result>(stack: string, cluster: string, uri: string, work: (client: Client) => Promise<Result>): Promise<Result> {
  let client;
  try {
    client = await connect(uri, LOAD_TIMEOUT_MS);
    // One connection a worker instead of one a shard: at this size opening connections is what takes the time (0.6 s instead of 2.4 s).
    await client.query("SET citus.multi_shard_modify_mode = 'sequential'; SET citus.max_adaptive_executor_pool_size = 1");
    return await work(client);
  } catch (error) {
    const code = (error as { code?: string }).code;
    const way =
      code === "42P01" || code === "42703"
        ? "the demo needs the tables of assets/sql/schema.sql, and schema.file is another one"
        : `npm run status -- ${stack} tells which node is not well`;
    throw new Failure(`The demo did not reach its end on ${cluster}: ${reason(error)}; ${way}.`);
  } finally {
    void client?.end().catch(() => undefined);
  }
}

function countRows(tables: readonly DemoTable[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { table: name, rows } of tables) counts[name] = (counts[name] ?? 0) + rows.length;
  return counts;
}

function render({ loadMs, rows, clusters }: DemoResult): string {
  const names = Object.keys(rows);
  const number = (value: number): string => value.toLocaleString("en-US");
  const body = clusters.flatMap(({ cluster, workers }) =>
    workers.map(({ worker, placements, rows: counts }) => [cluster, worker, number(placements), ...names.map((name) => number(counts[name] ?? 0))]),
  );
  const loaded = names.map((name) => `${number(rows[name] ?? 0)} ${name}`).join(", ");
  return [
    `${colors.green("✓")} Loaded ${loaded} in ${duration(loadMs)}.`,
    "",
    ...table([["cluster", "worker", "placements", ...names], ...body], (cell, row) => (row === 0 ? colors.dim(cell) : cell)),
  ].join("\n");
}
