import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { Presets, SingleBar } from "cli-progress";
import type { ClientBase } from "pg";
import { from as copyFrom } from "pg-copy-streams";
import colors from "picocolors";
import { refusalOf } from "../router/index";
import { reason } from "../setup/setupError";
import { connectionUris, coordinatorUris, type ConnectionUris } from "./connections";
import { directoryOf, openDirectly, placed, type DemoCluster, type DemoSession, type Directory, type Part } from "./demoHomes";
import { demoRooms, demoTables, FIRST_ID, ROOMS, type DemoTable } from "./demoRows";
import { Failure } from "./failure";
import { duration, listed, say, warn } from "./print";
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

/** What one cluster has of the demo. */
interface ClusterShare {
  readonly cluster: string;
  /** Rooms that live in it. */
  readonly rooms: number;
  readonly workers: readonly WorkerShare[];
}

/** What the demo did. */
export interface DemoResult {
  readonly stack: string;
  /** How long the load took, finding each room's home and the commit included; the removal of an earlier demo's rows is not in it. */
  readonly loadMs: number;
  /** Rows that were loaded, by table. */
  readonly rows: Readonly<Record<string, number>>;
  readonly clusters: readonly ClusterShare[];
}

const LAST_ID = FIRST_ID + ROOMS - 1;
const ROWS_PER_CHUNK = 1000;
/** How often the demo begins anew because a room moved to another cluster meanwhile. */
const ATTEMPTS = 5;
const MOVE_PAUSE_MS = 300;

/**
 * `npm run demo -- <stack>`: loads the demo's rows, each room's into the cluster that it lives in, and shows where they are. It can be
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
  const directory = await directoryOf(stack, coordinators);
  try {
    const { parts, loadMs } = await replaceRows(name, directory, coordinators);
    const tables = demoTables(demoRooms());
    const names = tables.map(({ table: of }) => of);
    const clusters = await Promise.all(
      parts.map(async (part) => ({ cluster: part.cluster, rooms: part.rooms.length, workers: await inSession(name, part, () => openDirectly(part), (client) => shares(client, names)) })),
    );
    return { stack: name, loadMs: Math.round(loadMs), rows: Object.fromEntries(tables.map(({ table: of, rows }) => [of, rows.length])), clusters };
  } finally {
    await directory.end();
  }
}

/** Replaces the rows of an earlier demo. A room that moves meanwhile makes it begin anew: a cluster that is not its home refuses its rows. @throws {@link Failure} */
async function replaceRows(stack: string, directory: Directory, coordinators: readonly DemoCluster[]): Promise<{ parts: Part[]; loadMs: number }> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const before = await placed(directory, coordinators);
      await all(before.filter(hasRooms).map((part) => inSession(stack, part, () => directory.open(part), (client) => removeRows(client, part))));
      const startedAt = performance.now();
      const parts = await placed(directory, coordinators);
      await load(stack, parts.filter(hasRooms), directory);
      return { parts, loadMs: performance.now() - startedAt };
    } catch (error) {
      if (refusalOf(error) === undefined) throw error;
      if (attempt === ATTEMPTS) throw new Failure(`The demo did not reach its end: ${reason(error)}. Rooms of it are being moved: run it again when that is over.`);
      await delay(MOVE_PAUSE_MS);
    }
  }
}

/** Waits for all, also when one fails: the demo may begin anew, and nothing of the last attempt may be under way then. @throws what the first of them threw. */
async function all(works: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(works);
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function hasRooms({ rooms }: Part): boolean {
  return rooms.length > 0;
}

/** Removes the rows of the rooms that live in a cluster. It would refuse the removal of others, which a demo without a fence may have left. */
async function removeRows(client: ClientBase, { cluster, rooms }: Part): Promise<void> {
  for (const { table: name } of demoTables([])) await client.query(`DELETE FROM ${name} WHERE room_id = ANY ($1::bigint[])`, [rooms]);
  const { rows } = await client.query<{ rooms: number }>("SELECT count(*)::int AS rooms FROM rooms WHERE room_id BETWEEN $1 AND $2", [FIRST_ID, LAST_ID]);
  const [left] = rows;
  if (left !== undefined && left.rooms > 0) warn(`${cluster} keeps ${left.rooms} rooms of an earlier demo that live elsewhere now: they were loaded before tenants had homes, and are counted below.`);
}

/** Loads all clusters at once, each in one transaction. */
async function load(stack: string, parts: readonly Part[], directory: Directory): Promise<void> {
  const loads = parts.map((part) => ({ part, tables: demoTables(part.rooms) }));
  const total = loads.reduce((sum, { tables }) => sum + tables.reduce((rows, part) => rows + part.rows.length, 0), 0);
  const bar = new SingleBar({ format: "  {bar} {percentage}%  {value} of {total} rows", stream: process.stderr, hideCursor: true, clearOnComplete: true }, Presets.shades_grey);
  if (process.stderr.isTTY) bar.start(total, 0);
  try {
    await all(
      loads.map(({ part, tables }) =>
        inSession(stack, part, () => directory.open(part), async (client) => {
          await client.query("BEGIN");
          for (const rows of tables) await copy(client, rows, (count) => bar.increment(count));
          await client.query("COMMIT");
        }),
      ),
    );
  } finally {
    bar.stop();
  }
}

async function copy(client: ClientBase, { table: name, columns, rows }: DemoTable, loaded: (rows: number) => void): Promise<void> {
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
async function shares(client: ClientBase, tables: readonly string[]): Promise<WorkerShare[]> {
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

/** Works in a session on a coordinator; what goes wrong is told with the cluster's name and a way on. A refusal by a cluster that is not the home of a room is thrown as it came. */
async function inSession<Result>(stack: string, { cluster }: Part, open: () => Promise<DemoSession>, work: (client: ClientBase) => Promise<Result>): Promise<Result> {
  let session;
  let failed = true;
  try {
    session = await open();
    // One connection a worker instead of one a shard: at this size opening connections is what takes the time (0.6 s instead of 2.4 s).
    await session.client.query("SET citus.multi_shard_modify_mode = 'sequential'; SET citus.max_adaptive_executor_pool_size = 1");
    const result = await work(session.client);
    failed = false;
    return result;
  } catch (error) {
    if (refusalOf(error) !== undefined) throw error;
    const code = (error as { code?: string }).code;
    const way =
      code === "42P01" || code === "42703"
        ? "the demo needs the tables of assets/sql/schema.sql, and schema.file is another one"
        : `npm run status -- ${stack} tells which node is not well`;
    throw new Failure(`The demo did not reach its end on ${cluster}: ${reason(error)}; ${way}.`);
  } finally {
    session?.close(failed);
  }
}

function render({ loadMs, rows, clusters }: DemoResult): string {
  const names = Object.keys(rows);
  const number = (value: number): string => value.toLocaleString("en-US");
  const body = clusters.flatMap(({ cluster, workers }) =>
    workers.map(({ worker, placements, rows: counts }) => [cluster, worker, number(placements), ...names.map((name) => number(counts[name] ?? 0))]),
  );
  const homes = clusters.map(({ cluster, rooms }) => `${number(rooms)} live in ${cluster}`);
  const loaded = names.map((name) => `${number(rows[name] ?? 0)} ${name}`).join(", ");
  return [
    `${colors.green("✓")} Loaded ${loaded} in ${duration(loadMs)}.${homes.length > 1 ? ` Of the rooms ${listed(homes)}.` : ""}`,
    "",
    ...table([["cluster", "worker", "placements", ...names], ...body], (cell, row) => (row === 0 ? colors.dim(cell) : cell)),
  ].join("\n");
}
