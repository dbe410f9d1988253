import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";

const CONNECT_TIMEOUT_MS = 2000;
const STATEMENT_TIMEOUT_MS = 10_000;
/** Between an answer and the next write of a client, unless it is told otherwise. */
export const PAUSE_MS = 10;
/** Before it connects anew. */
const AFTER_ERROR_MS = 20;

/** What clients found. */
export interface Written {
  /** The longest time that one of them was without an acknowledgement, in milliseconds. */
  readonly longestMs: number;
  /** Writes that were acknowledged, of each id. */
  readonly acknowledged: ReadonlyMap<number, number>;
  /** Statements and connections that failed. */
  readonly errors: number;
}

/** Clients that go on writing whatever happens, one for each id, and remember for how long they were without an acknowledgement. */
export class SteadyWriters {
  private longestMs = 0;
  private errors = 0;
  private stopped = false;
  private readonly acknowledged = new Map<number, number>();
  private readonly done: Promise<unknown>;

  /** @param statement takes the id as `$1`, and can be repeated. */
  constructor(
    private readonly uri: string,
    private readonly statement: string,
    ids: readonly number[],
    private readonly pauseMs = PAUSE_MS,
  ) {
    this.done = Promise.all(ids.map((id) => this.write(id)));
  }

  async stop(): Promise<Written> {
    this.stopped = true;
    await this.done;
    return { longestMs: this.longestMs, acknowledged: this.acknowledged, errors: this.errors };
  }

  private async write(id: number): Promise<void> {
    let client: Client | undefined;
    let acknowledgedAt = performance.now();
    const note = (): void => void (this.longestMs = Math.max(this.longestMs, performance.now() - acknowledgedAt));
    while (!this.stopped) {
      try {
        client ??= await connected(this.uri);
        await client.query(this.statement, [id]);
        note();
        acknowledgedAt = performance.now();
        this.acknowledged.set(id, (this.acknowledged.get(id) ?? 0) + 1);
        await delay(this.pauseMs);
      } catch {
        this.errors += 1;
        void client?.end().catch(() => undefined);
        client = undefined;
        await delay(AFTER_ERROR_MS);
      }
    }
    note();
    await client?.end().catch(() => undefined);
  }
}

async function connected(uri: string): Promise<Client> {
  const client = new Client({ connectionString: uri, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, query_timeout: STATEMENT_TIMEOUT_MS });
  client.on("error", () => undefined); // The next statement reports it.
  await client.connect();
  return client;
}
