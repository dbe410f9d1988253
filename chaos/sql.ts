import { Client } from "pg";

const CONNECT_TIMEOUT_MS = 3000;
/** Enough for a health check of all nodes while one of them does not answer. */
const STATEMENT_TIMEOUT_MS = 15_000;

/**
 * Works in a session of the harness itself. It is not waited for when it ends: a frozen server does not say goodbye.
 *
 * @param timeoutMs how long a statement may take.
 * @throws the driver's error.
 */
export async function inSession<Result>(uri: string, work: (client: Client) => Promise<Result>, timeoutMs = STATEMENT_TIMEOUT_MS): Promise<Result> {
  const client = new Client({ connectionString: uri, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, query_timeout: timeoutMs, application_name: "citus-sharding chaos" });
  client.on("error", () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    void client.end().catch(() => undefined);
  }
}
