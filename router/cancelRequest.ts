import { connect } from "node:net";
import type { PoolClient } from "pg";

/** What a connection says that wants nothing but to have another one's statement cancelled. */
const CANCEL = 80_877_102;

/** How long that may take. */
const TIMEOUT_MS = 500;

/**
 * Asks to have a connection's statement cancelled as the protocol has it, which a pooler passes on to whatever server runs it. There is no answer; it resolves once that has been done, and does not fail.
 *
 * Only where the connection is not encrypted: this one is not, and the key that it sends would let others cancel.
 */
export async function requestCancel(client: PoolClient): Promise<void> {
  if (client.ssl) return;
  const { host, port, processID, secretKey } = client as unknown as { host: string; port: number; processID: number; secretKey: number };
  const message = Buffer.alloc(16);
  for (const [index, value] of [message.length, CANCEL, processID, secretKey].entries()) message.writeInt32BE(value, 4 * index);
  const socket = host.startsWith("/") ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host);
  await new Promise<void>((resolve) => {
    socket.once("close", () => resolve()).once("error", () => undefined).setTimeout(TIMEOUT_MS, () => socket.destroy());
    socket.end(message).resume();
  });
}
