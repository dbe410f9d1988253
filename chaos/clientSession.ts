import { Client, type QueryResult, type QueryResultRow } from "pg";
import type { ConnectEvent } from "./history";
import { told } from "./outcome";

const CONNECT_TIMEOUT_MS = 2000;
/** Long enough that a statement on a frozen node counts into the gap instead of ending it. */
const QUERY_TIMEOUT_MS = 30_000;

/** An attempt to connect, without the client that made it. */
export type Attempt = Pick<ConnectEvent, "at" | "ms" | "outcome" | "error">;

/** A client's connection, which knows when it is broken. */
export class ClientSession {
  broken = false;

  private constructor(private readonly client: Client) {
    client.on("error", () => (this.broken = true));
    client.on("end", () => (this.broken = true));
  }

  /** Connects once, and tells how that went. Never throws: undefined if it failed. */
  static async connect(uri: string, tell: (attempt: Attempt) => void, now: () => number): Promise<ClientSession | undefined> {
    const client = new Client({
      connectionString: uri,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      application_name: "citus-sharding chaos client",
    });
    const session = new ClientSession(client);
    const at = now();
    const ms = (): number => Math.round((now() - at) * 100) / 100;
    try {
      await client.connect();
      tell({ at, ms: ms(), outcome: "ok" });
      return session;
    } catch (error) {
      tell({ at, ms: ms(), outcome: "refused", error: told(error) });
      session.close();
      return undefined;
    }
  }

  /** Runs a statement, or several without values. @throws the driver's error; the session is broken if that came from the connection, or from no answer. */
  async query<Row extends QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<QueryResult<Row>> {
    return this.client.query<Row>(text, [...values]);
  }

  /** Ends the connection without waiting for the server, which may be frozen. */
  close(): void {
    this.broken = true;
    void this.client.end().catch(() => undefined);
  }
}
