import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Proxy } from "../../series/moves/proxy";

let server: Server;
let proxy: Proxy;
let port: number;

beforeEach(async () => {
  server = createServer((socket) => void socket.on("error", () => undefined).pipe(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  const opened = await Proxy.open({ name: "a", uri: `postgresql://me:secret@127.0.0.1:${address.port}/mine`, nodes: { "worker:5432": address } });
  proxy = opened.proxy;
  expect(opened.through.uri).toMatch(/^postgresql:\/\/me:secret@127\.0\.0\.1:\d+\/mine$/);
  port = opened.through.nodes["worker:5432"]?.port as number;
});
afterEach(() => {
  proxy.close();
  server.close();
});

async function opened(): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

/** A connection that is reset tells an error before it is closed. */
function closed(socket: Socket): Promise<"broke"> {
  return new Promise((resolve) => socket.once("close", () => resolve("broke")));
}

function received(socket: Socket): Promise<string> {
  return new Promise((resolve) => socket.once("data", (data) => resolve(String(data))));
}

async function echo(socket: Socket, text: string, timeoutMs = 2000): Promise<string | undefined> {
  socket.write(text);
  return Promise.race([received(socket), delay(timeoutMs, undefined)]);
}

test("passes on what is sent, in order, also where it begins to be late", async () => {
  const socket = await opened();
  expect(await echo(socket, "one")).toBe("one");
  proxy.fail("delay");
  const beganAt = performance.now();
  expect(await echo(socket, "two", 5000)).toBe("two");
  expect(performance.now() - beganAt).toBeGreaterThan(200);
  socket.destroy();
});

test("cuts: connections break, and new ones break at once", async () => {
  const socket = await opened();
  expect(await echo(socket, "one")).toBe("one");
  const ended = closed(socket);
  proxy.fail("cut");
  expect(await ended).toBe("broke");
  const late = connect(port, "127.0.0.1");
  late.on("error", () => undefined);
  expect(await closed(late)).toBe("broke");
  proxy.mend(false);
  expect(await echo(await opened(), "again")).toBe("again");
});

test.each([false, true])("a black hole swallows; mended with forgetting %s", async (forgotten) => {
  const socket = await opened();
  expect(await echo(socket, "one")).toBe("one");
  proxy.fail("black hole");
  const answer = received(socket);
  expect(await echo(socket, "two", 300)).toBeUndefined();
  const ended = closed(socket);
  proxy.mend(forgotten);
  expect(await Promise.race([answer, ended])).toBe(forgotten ? "broke" : "two");
  socket.destroy();
});
