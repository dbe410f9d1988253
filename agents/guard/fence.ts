import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";

const FENCE_TIMEOUT_MS = 2000;

/** The local ports of the TCP connections from the coordinator's network namespace to an address. */
export function connectedPorts(address: string): Promise<ReadonlySet<number>> {
  return new Promise((resolve, reject) => {
    execFile("ss", ["-H", "-t", "-n", "dst", address], { timeout: FENCE_TIMEOUT_MS }, (error, stdout) => {
      if (error === null) resolve(new Set(stdout.split("\n").map((line) => Number(line.trim().split(/\s+/)[3]?.split(":").at(-1)))));
      else reject(new Error(`ss does not list the connections to ${address}: ${error.message}`));
    });
  });
}

/**
 * Breaks every TCP connection from the coordinator's network namespace to an address. A statement that waits for a
 * frozen worker can be ended in no other way: it heeds neither a cancel nor a termination.
 *
 * @returns how many connections were broken.
 */
export function breakConnections(address: string): Promise<number> {
  return new Promise((resolve) => {
    // The kernel refuses some sockets, with an error beside the list of those that it broke.
    execFile("ss", ["-K", "-H", "-t", "-n", "dst", address], { timeout: FENCE_TIMEOUT_MS }, (_, stdout) => resolve(stdout.split("\n").filter((line) => line.trim() !== "").length));
  });
}

/** Whether this kernel breaks connections when it is asked to, which takes CONFIG_INET_DIAG_DESTROY: tries it on one of its own. */
export async function canBreakConnections(): Promise<boolean> {
  const server = createServer((socket) => socket.on("error", () => undefined)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect(port, "127.0.0.1");
  const broken = new Promise<boolean>((resolve) => {
    client.on("error", () => resolve(true));
    setTimeout(() => resolve(false), FENCE_TIMEOUT_MS).unref();
  });
  try {
    await once(client, "connect");
    execFile("ss", ["-K", "-H", "-t", "-n", "dst", "127.0.0.1", "dport", "=", `:${port}`], { timeout: FENCE_TIMEOUT_MS }, () => undefined);
    return await broken;
  } finally {
    client.destroy();
    server.close();
  }
}
