import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "../../cli/connections";

/** Rows in one question of those that are still there. */
const ROWS_A_QUESTION = 5000;
/** A session that waits for a dead server is given up. */
const GIVE_UP_MS = 5000;
/** How long rows are asked for again where a session ends on the way, and the pause in between. */
const ASK_AGAIN_MS = 30_000;
const PAUSE_MS = 500;
/** The highest that there are random whole numbers to. */
const HIGHEST_ID = 2 ** 48 - 1;

/** A row that was acknowledged, and the coordinator that did it. */
interface Acknowledged {
  readonly uri: string;
  readonly id: number;
}

/** Clients that insert single rows into a distributed table of their own without pause, and remember what they were told. */
export class Writers {
  private stopping = false;
  private readonly acknowledged: Acknowledged[] = [];
  private running: readonly Promise<void>[] = [];

  private constructor(private readonly uris: readonly string[]) {}

  /** Makes the table that they write to, where it is not there. */
  static async prepare(uris: readonly string[]): Promise<void> {
    for (const uri of uris) {
      const client = await connect(uri);
      try {
        await client.query("CREATE TABLE IF NOT EXISTS sharding.boots (id bigint PRIMARY KEY)");
        const { rows } = await client.query("SELECT FROM pg_dist_partition WHERE logicalrelid = 'sharding.boots'::regclass");
        if (rows.length === 0) await client.query("SELECT create_distributed_table('sharding.boots', 'id', colocate_with := 'none')");
      } finally {
        void client.end().catch(() => undefined);
      }
    }
  }

  /** Begins to write with so many sessions on each coordinator. */
  static open(uris: readonly string[], sessions: number): Writers {
    const writers = new Writers(uris);
    writers.running = uris.flatMap((uri) => Array.from({ length: sessions }, () => writers.write(uri)));
    return writers;
  }

  /** Ends the clients, most of which have ended with the engine; gives what was acknowledged. */
  async stop(): Promise<readonly Acknowledged[]> {
    this.stopping = true;
    await Promise.all(this.running);
    return this.acknowledged;
  }

  /** How many of acknowledged rows are not there. A stack that was just booted may end a session: it is asked again. */
  async missing(acknowledged: readonly Acknowledged[]): Promise<number> {
    let missing = 0;
    for (const uri of this.uris) {
      const ids = acknowledged.filter((row) => row.uri === uri).map(({ id }) => id);
      for (const endsAt = performance.now() + ASK_AGAIN_MS; ; await delay(PAUSE_MS)) {
        const found = await present(uri, ids).catch((error: unknown) => {
          if (performance.now() > endsAt) throw error;
        });
        if (found === undefined) continue;
        missing += ids.length - found;
        break;
      }
    }
    return missing;
  }

  private async write(uri: string): Promise<void> {
    const client = await connect(uri, GIVE_UP_MS).catch(() => undefined);
    if (client === undefined) return;
    try {
      while (!this.stopping) {
        const id = randomInt(HIGHEST_ID);
        await client.query("INSERT INTO sharding.boots VALUES ($1)", [id]);
        this.acknowledged.push({ uri, id });
      }
    } catch {
      // The server is gone, as it was meant to be: whether its last row is there is unknown.
    } finally {
      void client.end().catch(() => undefined);
    }
  }
}

/** How many of these rows are there. */
async function present(uri: string, ids: readonly number[]): Promise<number> {
  const client = await connect(uri);
  try {
    let present = 0;
    for (let from = 0; from < ids.length; from += ROWS_A_QUESTION) {
      const { rows } = await client.query<{ count: number }>("SELECT count(*)::int AS count FROM sharding.boots WHERE id = ANY($1::bigint[])", [ids.slice(from, from + ROWS_A_QUESTION)]);
      present += rows[0]?.count ?? 0;
    }
    return present;
  } finally {
    void client.end().catch(() => undefined);
  }
}
