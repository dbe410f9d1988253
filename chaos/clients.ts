import type { ClientSession } from "./clientSession";
import type { Outcome } from "./history";
import { outcomeOf, told } from "./outcome";
import type { Recorder } from "./recorder";
import type { Shard } from "./tables";

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
        await session.query("INSERT INTO chaos.inserts (key, id) VALUES ($1, $2)", [key, id]);
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

/** Adds 1 to a counter by reading and writing it in one transaction. */
export function countingClient(client: number, shard: Shard, recorder: Recorder): Work {
  const { key, cluster } = shard;
  return {
    uri: cluster.uri,
    endpoint: "leader",
    async request(session) {
      const at = recorder.now();
      const end = (outcome: Outcome, more: { before?: number; after?: number; error?: string }): void =>
        recorder.record({ type: "increment", client, shard: shard.name, counter: counterName(shard), at, ms: recorder.since(at), outcome, ...more });
      let committing = false;
      try {
        await session.query("BEGIN");
        const values = await (cluster.plan.setup.replicationFactor === 1 ? readAndWrite(session, key) : writeAndRead(session, key));
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

async function readAndWrite(session: ClientSession, key: string): Promise<{ before: number; after: number }> {
  const { rows } = await session.query<{ value: string }>("SELECT value FROM chaos.counters WHERE key = $1 FOR UPDATE", [key]);
  const before = counterValue(rows);
  await session.query("UPDATE chaos.counters SET value = $2 WHERE key = $1", [key, before + 1]);
  return { before, after: before + 1 };
}

/** The same in one statement: Citus refuses FOR UPDATE on a table whose shards have more than one placement. */
async function writeAndRead(session: ClientSession, key: string): Promise<{ before: number; after: number }> {
  const { rows } = await session.query<{ value: string }>("UPDATE chaos.counters SET value = value + 1 WHERE key = $1 RETURNING value", [key]);
  const after = counterValue(rows);
  return { before: after - 1, after };
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
      const end = (outcome: Outcome, more: { value?: number; error?: string }): void =>
        recorder.record({ type: "read", client, shard: shard.name, counter: counterName(shard), endpoint, at, ms: recorder.since(at), outcome, ...more });
      try {
        const { rows } = await session.query<{ value: string }>("SELECT value FROM chaos.counters WHERE key = $1", [shard.key]);
        end("ok", { value: counterValue(rows) });
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

function counterValue(rows: readonly { value: string }[]): number {
  const [row] = rows;
  if (row === undefined) throw new Error("the counter is not there");
  return Number(row.value);
}
