import { Client, type ClientConfig } from "pg";

const SESSION_SETTINGS = [
  "citus.node_connection_timeout=1s",
  // A guard that ends leaves no statement running behind it.
  "client_connection_check_interval=500ms",
  "client_min_messages=warning",
];

/** What the sessions of the guard are called in pg_stat_activity. */
export const APPLICATION_NAME = "citus-sharding guard";

/**
 * Opens a session; user, database and password are in the environment, as libpq has them.
 *
 * @param settings parameters of the session, such as `lock_timeout=1s`.
 * @throws the driver's error if that fails or takes longer than `timeoutMs`.
 */
export async function openSession(host: string, port: number, timeoutMs: number, settings: readonly string[] = [], more: ClientConfig = {}): Promise<Client> {
  const client = new Client({
    host,
    port,
    ssl: false,
    application_name: APPLICATION_NAME,
    connectionTimeoutMillis: timeoutMs,
    ...(settings.length > 0 && { options: settings.map((setting) => `-c ${setting}`).join(" ") }),
    ...more,
  });
  // A session that breaks makes its next statement fail; without a listener it would end the process.
  client.on("error", () => undefined);
  try {
    await client.connect();
  } catch (error) {
    abandon(client);
    throw error;
  }
  return client;
}

/** Opens a session on the coordinator, whose network namespace is the guard's. */
export function openCoordinator(timeoutMs: number, settings: readonly string[], queryTimeoutMs?: number): Promise<Client> {
  return openSession("127.0.0.1", 5432, timeoutMs, [...SESSION_SETTINGS, ...settings], queryTimeoutMs === undefined ? {} : { query_timeout: queryTimeoutMs });
}

/** Drops a session without a goodbye: the server may be frozen, and its socket would stay. */
export function abandon(client: Client): void {
  (client as unknown as { connection: { stream: { destroy: () => void } } }).connection.stream.destroy();
}

/** What went wrong, on one line without a full stop. */
export function reason(error: unknown): string {
  const { message = "", code = "", detail = "" } = (error ?? {}) as Partial<Record<"message" | "code" | "detail", string>>;
  return [message === "" ? code : message, detail].filter((part) => part !== "").map((part) => part.replace(/\s+/g, " ").replace(/\.$/, "")).join("; ") || String(error);
}
