import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { percentile } from "../../chaos/percentile";
import { connect, connectionUris, coordinatorUris } from "../../cli/connections";
import { Failure } from "../../cli/failure";
import { numberOption } from "../../cli/numberOption";
import { fail, say } from "../../cli/print";
import { PROJECT_DIRECTORY, requireStack } from "../../cli/project";
import { run } from "../../cli/run";
import { readStack } from "../../cli/stack";
import { table } from "../../cli/table";
import { reason } from "../../setup/setupError";
import { PAUSE_MS, SteadyWriters, type Written } from "../steadyWriters";

/** One update that replaces every member of a role, and what clients noticed. */
interface Change {
  readonly role: string;
  readonly tookSeconds: number;
  /** The longest time that one shard took no write. */
  readonly longestSeconds: number;
  readonly errors: number;
  readonly acknowledged: number;
  readonly lost: number;
}

interface Options {
  readonly roles: string;
  readonly times?: string;
  readonly pause?: string;
}

const UPDATE_TIMEOUT_MS = 600_000;
const READ_WITHIN_MS = 30_000;
const READ_AGAIN_MS = 500;
/** A size of `/dev/shm` that no other setting has, one more for each change: a member is replaced for it, and does the same afterwards. */
const FIRST_SHM_MB = 300;
/** Counts what was written, so that a write that is lost shows: what was acknowledged is the least that it can be. */
const WRITE = "INSERT INTO sharding.changes VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET writes = changes.writes + 1";

async function main(name: string, { roles: given, times: count, pause }: Options): Promise<void> {
  const times = numberOption("times", count, { from: 1, to: 1000, whole: true }) ?? 5;
  const pauseMs = numberOption("pause", pause, { from: 1, to: 10_000, whole: true }) ?? PAUSE_MS;
  const roles = given.split(",");
  const unknown = roles.filter((role) => role !== "coordinator" && role !== "worker");
  if (unknown.length > 0) throw new Failure(`--roles has "${unknown.join(", ")}": it must be coordinator, worker, or both with a comma between.`);
  const uris = coordinatorUris(readStack(name), await connectionUris(name)).map(({ uri }) => uri);
  const targets = await Promise.all(uris.map(async (uri) => ({ uri, ids: await prepare(uri) })));
  const changes: Change[] = [];
  for (let number = 0; number < times; number += 1) {
    for (const role of roles) {
      const change = await changeOnce(name, role, FIRST_SHM_MB + number, targets, pauseMs);
      changes.push(change);
      say(`${role}, ${number + 1} of ${times}: ${change.tookSeconds.toFixed(0)} s, a shard without writes for ${change.longestSeconds.toFixed(2)} s at most, ${change.errors} errors; ${change.lost} of ${change.acknowledged} acknowledged writes lost`);
    }
  }
  console.log(JSON.stringify({ stack: name, changes }, undefined, 2));
  say(summary(roles, changes).join("\n"));
  if (changes.some(({ lost }) => lost > 0)) process.exitCode = 1;
}

/** Makes the table that clients write to, and gives an id for each of its shards. */
async function prepare(uri: string): Promise<number[]> {
  const client = await connect(uri);
  try {
    await client.query("CREATE TABLE IF NOT EXISTS sharding.changes (id bigint PRIMARY KEY, writes bigint NOT NULL)");
    const { rows: known } = await client.query("SELECT FROM pg_dist_partition WHERE logicalrelid = 'sharding.changes'::regclass");
    if (known.length === 0) await client.query("SELECT create_distributed_table('sharding.changes', 'id', colocate_with := 'none')");
    await client.query("DELETE FROM sharding.changes");
    const { rows } = await client.query<{ id: number }>("SELECT min(id)::int AS id FROM generate_series(1, 10000) id GROUP BY get_shard_id_for_distribution_column('sharding.changes', id)");
    return rows.map(({ id }) => id);
  } finally {
    void client.end().catch(() => undefined);
  }
}

async function changeOnce(stack: string, role: string, shmMb: number, targets: readonly { uri: string; ids: readonly number[] }[], pauseMs: number): Promise<Change> {
  const before = await Promise.all(targets.map(({ uri }) => written(uri)));
  const writers = targets.map(({ uri, ids }) => new SteadyWriters(uri, WRITE, ids, pauseMs));
  const startedAt = performance.now();
  const { code, stdout, stderr } = await run(process.execPath, ["cli/main.cjs", "up", stack, "--config-path", "-c", `limits.${role}.shm=${shmMb} MB`], { timeoutMs: UPDATE_TIMEOUT_MS, directory: PROJECT_DIRECTORY });
  const tookSeconds = (performance.now() - startedAt) / 1000;
  const found = await Promise.all(writers.map((some) => some.stop()));
  if (code !== 0) throw new Failure(`The update failed (${code}): ${stdout}\n${stderr}`);
  const after = await Promise.all(targets.map(({ uri }) => written(uri)));
  return {
    role,
    tookSeconds,
    longestSeconds: Math.max(...found.map(({ longestMs }) => longestMs)) / 1000,
    errors: sum(found.map(({ errors }) => errors)),
    acknowledged: sum(found.map(({ acknowledged }) => sum([...acknowledged.values()]))),
    lost: sum(found.map((some, index) => lost(some, before[index] as Counts, after[index] as Counts))),
  };
}

type Counts = ReadonlyMap<number, number>;

/** How often each id was written. A session that ends is no end of the series: rows are what it asks for. */
async function written(uri: string): Promise<Counts> {
  for (const until = performance.now() + READ_WITHIN_MS; ; await delay(READ_AGAIN_MS)) {
    try {
      return await readCounts(uri);
    } catch (error) {
      if (performance.now() > until) throw error;
      say(`What was written could not be read: ${reason(error)}; trying again`);
    }
  }
}

async function readCounts(uri: string): Promise<Counts> {
  const client = await connect(uri);
  try {
    const { rows } = await client.query<{ id: string; writes: string }>("SELECT id, writes FROM sharding.changes");
    return new Map(rows.map(({ id, writes }) => [Number(id), Number(writes)]));
  } finally {
    void client.end().catch(() => undefined);
  }
}

/** Acknowledged writes that are not there. What was written without an answer may hide as many as there were errors. */
function lost({ acknowledged }: Written, before: Counts, after: Counts): number {
  return sum([...acknowledged].map(([id, count]) => Math.max(0, count - ((after.get(id) ?? 0) - (before.get(id) ?? 0)))));
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function summary(roles: readonly string[], changes: readonly Change[]): string[] {
  const rows = roles.map((role) => {
    const some = changes.filter((change) => change.role === role);
    const gaps = some.map(({ longestSeconds }) => longestSeconds);
    return [role, String(some.length), ...[50, 95, 100].map((share) => `${percentile(gaps, share).toFixed(2)} s`), `${sum(some.map((change) => change.lost))} of ${sum(some.map(({ acknowledged }) => acknowledged))}`];
  });
  return table([["every one replaced", "updates", "gap, median", "p95", "longest", "acknowledged writes lost"], ...rows]);
}

new Command("npm run series:changes --")
  .description("Changes a limit of every member of a role again and again while clients write to every shard, and measures for how long a shard took no write. The settings stay as the last change left them.")
  .argument("[stack]", "the stack, which is up")
  .option("--roles <names>", "coordinator, worker, or both with a comma between: those that have others beside them", "coordinator,worker")
  .option("--times <count>", "updates of each role", "5")
  .option("--pause <ms>", "how long a client waits after each answer: few milliseconds take all of a small machine's processors", String(PAUSE_MS))
  .action((stack: string | undefined, options: Options) => main(requireStack("series:changes", stack), options))
  .parseAsync()
  .catch((error: unknown) => {
    if (!(error instanceof Failure)) throw error;
    fail(error.message);
    process.exitCode = 1;
  });
