import { Pool } from "pg";
import { outcomeOf, told } from "../chaos/outcome";
import { CONNECTIONS, QUERY_TIMEOUT_MS, READ, REMOVE, STATEMENT_TIMEOUT_MS, USED, WRITE, type Answer, type Application } from "./application";

const CONNECT_TIMEOUT_MS = 2000;

/** An application on one cluster: a pool of `pg` on the port that leads to the leader. */
export class PooledApplication implements Application {
  private readonly pool: Pool;

  constructor(
    private readonly cluster: string,
    uri: string,
  ) {
    this.pool = new Pool({
      connectionString: uri,
      max: CONNECTIONS,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      keepAlive: true,
      application_name: "citus-sharding blast",
    });
    // A connection that breaks leaves the pool by itself if nobody uses it; whoever uses it is told by the statement.
    this.pool.on("error", () => undefined);
    this.pool.on("connect", (client) => void client.on("error", () => undefined));
  }

  homeOf(): Promise<string> {
    return Promise.resolve(this.cluster);
  }

  async write(room: number, key: string): Promise<Answer> {
    let client;
    try {
      client = await this.pool.connect();
    } catch (error) {
      // Nothing was sent.
      return { outcome: "refused", error: told(error) };
    }
    try {
      await client.query(WRITE, [room, key]);
      client.release();
      return { outcome: "ok" };
    } catch (error) {
      // The connection may lead to a server that leads no more.
      client.release(true);
      return { outcome: outcomeOf(error), error: told(error) };
    }
  }

  async remove(room: number): Promise<void> {
    await this.pool.query(REMOVE, [room]);
  }

  async used(first: number, last: number): Promise<number[]> {
    const { rows } = await this.pool.query<{ room: string }>(USED, [first, last]);
    return rows.map(({ room }) => Number(room));
  }

  async read(first: number, last: number): Promise<Record<string, number>> {
    const { rows } = await this.pool.query<{ key: string; rows: number }>(READ, [first, last]);
    return Object.fromEntries(rows.map(({ key, rows: count }) => [key, count]));
  }

  async end(): Promise<void> {
    await this.pool.end();
  }
}
