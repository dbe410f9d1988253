import type { ClientSession } from "./clientSession";
import type { Outcome } from "./history";
import { outcomeOf, told } from "./outcome";
import type { Random } from "./random";
import type { Recorder } from "./recorder";
import { ACCOUNTS, type Shard } from "./tables";
import { transact } from "./transact";

const LARGEST_AMOUNT = 100;

/** What a client does, again and again. */
export interface Work {
  readonly uri: string;
  readonly endpoint: "leader" | "standbys";
  /** Makes one request and records how it ended. Never throws; true if all went well. */
  readonly request: (session: ClientSession) => Promise<boolean>;
}

/**
 * Inserts a row with an id of its own, each in its own transaction, and never asks for an id again. `acknowledge` is told
 * when an acknowledged insert was sent.
 */
export function insertingClient(client: number, { name: shard, key, cluster }: Shard, recorder: Recorder, acknowledge: (shard: string, at: number) => void): Work {
  let count = 0;
  return {
    uri: cluster.uri,
    endpoint: "leader",
    async request(session) {
      count += 1;
      const id = `${client}-${count}`;
      const at = recorder.now();
      const end = (outcome: Outcome, error?: string): void =>
        recorder.record({ type: "insert", client, shard, key: id, at, ms: recorder.since(at), outcome, ...(error !== undefined && { error }) });
      try {
        await session.query("INSERT INTO chaos.inserts (key, client, number) VALUES ($1, $2, $3)", [key, client, count]);
        end("ok");
        acknowledge(shard, at);
        return true;
      } catch (error) {
        end(outcomeOf(error), told(error));
        return false;
      }
    },
  };
}

/** Adds 1 to a counter by reading and writing it in one transaction, and leaves its name in it. */
export function countingClient(client: number, shard: Shard, recorder: Recorder): Work {
  const { key, cluster } = shard;
  let count = 0;
  return {
    uri: cluster.uri,
    endpoint: "leader",
    async request(session) {
      count += 1;
      const id = `${client}-${count}`;
      const at = recorder.now();
      const end = (outcome: Outcome, more: Partial<Step> & { error?: string }): void =>
        recorder.record({ type: "increment", client, shard: shard.name, counter: counterName(shard), id, at, ms: recorder.since(at), outcome, ...more });
      let committing = false;
      try {
        await session.query("BEGIN");
        const values = await (cluster.plan.setup.replicationFactor === 1 ? readAndWrite(session, key, id) : writeAndRead(session, key, id));
        committing = true;
        // A transaction that the server has given up answers COMMIT with ROLLBACK, and no error.
        const { command } = await session.query("COMMIT");
        if (command === "COMMIT") end("ok", values);
        else end("refused", { error: `COMMIT was answered by ${command}` });
        return command === "COMMIT";
      } catch (error) {
        // Nothing is done without a COMMIT; once it is sent, an error says nothing for certain.
        end(committing ? "unknown" : "refused", { error: told(error) });
        return false;
      }
    },
  };
}

/** What an increment read, and what it wrote. */
interface Step {
  readonly before: number;
  readonly after: number;
  readonly writer: string;
}

async function readAndWrite(session: ClientSession, key: string, id: string): Promise<Step> {
  const { rows } = await session.query<CounterRow>("SELECT value, writer FROM chaos.counters WHERE key = $1 FOR UPDATE", [key]);
  const { value: before, writer } = counterIn(rows);
  await session.query("UPDATE chaos.counters SET value = $2, writer = $3, previous = $4 WHERE key = $1", [key, before + 1, id, writer]);
  return { before, after: before + 1, writer };
}

/** The same in one statement: Citus refuses FOR UPDATE on a table whose shards have more than one placement. */
async function writeAndRead(session: ClientSession, key: string, id: string): Promise<Step> {
  const { rows } = await session.query<CounterRow>("UPDATE chaos.counters SET value = value + 1, writer = $2, previous = writer WHERE key = $1 RETURNING value, previous AS writer", [key, id]);
  const { value: after, writer } = counterIn(rows);
  return { before: after - 1, after, writer };
}

/**
 * Moves amounts between accounts of two shards, a pair of them by chance each time, and inserts a row with the transfer's
 * key in both, in one transaction. The shard with the lower key comes first, always, so that no two wait for each other.
 *
 * @param pairs the shards, the one with the lower key first; not empty.
 */
export function transferringClient(client: number, pairs: readonly (readonly [Shard, Shard])[], random: Random, recorder: Recorder, acknowledge: (shard: string, at: number) => void): Work {
  const [anyPair] = pairs;
  if (anyPair === undefined) throw new Error("a transferring client needs two shards");
  let count = 0;
  return {
    uri: anyPair[0].cluster.uri,
    endpoint: "leader",
    async request(session) {
      count += 1;
      const [first, second] = random.pick(pairs) ?? anyPair;
      const amount = random.between(-LARGEST_AMOUNT, LARGEST_AMOUNT);
      const half = ({ key }: Shard, which: 1 | 2, change: number): string =>
        `UPDATE chaos.accounts SET balance = balance + ${change} WHERE key = ${key} AND account = ${random.between(1, ACCOUNTS)}; ` +
        `INSERT INTO chaos.halves (key, client, number, half, amount) VALUES (${key}, ${client}, ${count}, ${which}, ${change})`;
      const at = recorder.now();
      const end = (outcome: Outcome, error?: string): void =>
        recorder.record({ type: "transfer", client, key: `${client}-${count}`, shards: [first.name, second.name], at, ms: recorder.since(at), outcome, ...(error !== undefined && { error }) });
      const { outcome, error } = await transact(session, [`${half(first, 1, -amount)}; ${half(second, 2, amount)}`]);
      end(outcome, error);
      if (outcome === "ok") for (const { name } of [first, second]) acknowledge(name, at);
      return outcome === "ok";
    },
  };
}

/**
 * Pairs of shards for transfers, the one with the lower key first: of two workers where there are several, so that a
 * transfer is committed in two phases.
 */
export function transferPairs(shards: readonly Shard[]): [Shard, Shard][] {
  const sorted = [...shards].sort((a, b) => Number(a.key) - Number(b.key));
  const all = sorted.flatMap((first, index) => sorted.slice(index + 1).filter(({ cluster }) => cluster === first.cluster).map((second): [Shard, Shard] => [first, second]));
  const apart = all.filter(([first, second]) => first.group !== second.group);
  return apart.length > 0 ? apart : all;
}

/** Reads the counters of shards in turn. */
export function readingClient(client: number, shards: readonly Shard[], endpoint: "leader" | "standbys", recorder: Recorder): Work {
  const [first] = shards;
  if (first === undefined) throw new Error("a reading client needs a shard with a counter");
  const { uri, standbysUri = uri } = first.cluster;
  let count = 0;
  return {
    uri: endpoint === "leader" ? uri : standbysUri,
    endpoint,
    async request(session) {
      const shard = shards[count++ % shards.length] ?? first;
      const at = recorder.now();
      const end = (outcome: Outcome, more: { value?: number; writer?: string; error?: string }): void =>
        recorder.record({ type: "read", client, shard: shard.name, counter: counterName(shard), endpoint, at, ms: recorder.since(at), outcome, ...more });
      try {
        const { rows } = await session.query<CounterRow>("SELECT value, writer FROM chaos.counters WHERE key = $1", [shard.key]);
        end("ok", counterIn(rows));
        return true;
      } catch (error) {
        end(outcomeOf(error), { error: told(error) });
        return false;
      }
    },
  };
}

/** The name of a shard's counter in the history. */
export function counterName({ cluster, key }: Pick<Shard, "cluster" | "key">): string {
  return `${cluster.name}:${key}`;
}

interface CounterRow {
  readonly value: string;
  readonly writer: string;
}

function counterIn(rows: readonly CounterRow[]): { value: number; writer: string } {
  const [row] = rows;
  if (row === undefined) throw new Error("the counter is not there");
  return { value: Number(row.value), writer: row.writer };
}
