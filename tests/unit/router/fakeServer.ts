import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import type { PoolConfig } from "pg";

/** PostgreSQL's numbers of types. */
const TEXT = 25;
const TEXT_ARRAY = 1009;

/** What a statement is answered with. */
export interface Answer {
  readonly rows?: readonly Readonly<Record<string, string>>[];
  readonly command?: string;
  readonly error?: { readonly code: string; readonly message: string; readonly detail?: string; readonly severity?: string };
  /** Milliseconds before the answer. */
  readonly after?: number;
  /** The connection is closed instead. */
  readonly drop?: boolean;
}

/** A tenant as the server's `tenancy.tenant` has it. */
export interface FakeRecord {
  readonly tenant: string;
  readonly home: string;
  readonly epoch: number;
  readonly state: string;
}

/**
 * Speaks as much of PostgreSQL's protocol as the driver needs, and plays a cluster: it has a directory, can be frozen, refuse connections and come back. What the application sends is answered by {@link answer}.
 */
export class FakeServer {
  ring = { version: 1, clusters: ["a", "b"] };
  records: FakeRecord[] = [];
  /** Statements of the application, as they came. */
  readonly statements: string[] = [];
  answer: (text: string) => Answer = () => ({});
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();
  private readonly listening = new Set<Socket>();
  private frozen = false;
  private port = 0;

  async start(): Promise<this> {
    this.server = createServer((socket) => this.accept(socket));
    await new Promise<void>((resolve) => this.server?.listen(this.port, "127.0.0.1", resolve));
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  /** Ends every connection, and refuses others. */
  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => (this.server === undefined ? resolve() : this.server.close(() => resolve())));
    this.server = undefined;
  }

  freeze(frozen: boolean): void {
    this.frozen = frozen;
    if (frozen) return;
    for (const socket of this.sockets) socket.emit("thaw");
  }

  /** Tells who listens. */
  notify(payload: string): void {
    for (const socket of this.listening) socket.write(message("A", int32(1), text("tenancy"), text(payload)));
  }

  get config(): PoolConfig {
    return { host: "127.0.0.1", port: this.port, user: "postgres", database: "postgres", max: 4 };
  }

  private accept(socket: Socket): void {
    this.sockets.add(socket);
    socket.on("close", () => {
      this.sockets.delete(socket);
      this.listening.delete(socket);
    });
    socket.on("error", () => undefined);
    let buffer = Buffer.alloc(0);
    let greeted = false;
    let prepared = "";
    let failed = false;
    let queue = Promise.resolve();
    const take = (): void => {
      while (!this.frozen) {
        const head = greeted ? 5 : 4;
        if (buffer.length < head) return;
        const length = buffer.readInt32BE(head - 4) + head - 4;
        if (buffer.length < length) return;
        const [kind, body] = [greeted ? String.fromCharCode(buffer[0] as number) : "", buffer.subarray(head, length)];
        buffer = buffer.subarray(length);
        if (!greeted) {
          greeted = true;
          socket.write(Buffer.concat([message("R", int32(0)), message("K", int32(1), int32(2)), message("Z", Buffer.from("I"))]));
        } else queue = queue.then(() => handle(kind, body));
      }
    };
    const execute = async (sql: string): Promise<boolean> => {
      const { rows, command = "SELECT 1", error, after, drop } = this.respond(sql, socket);
      if (after !== undefined) await new Promise((resolve) => setTimeout(resolve, after));
      if (drop === true) {
        socket.destroy();
        return false;
      }
      if (error !== undefined) {
        const fields = [["S", error.severity ?? "ERROR"], ["V", error.severity ?? "ERROR"], ["C", error.code], ["M", error.message], ...(error.detail === undefined ? [] : [["D", error.detail]])];
        socket.write(message("E", ...fields.map(([name, value]) => Buffer.concat([Buffer.from(name as string), text(value as string)])), Buffer.from([0])));
        return false;
      }
      const columns = Object.keys(rows?.[0] ?? {});
      const described = columns.map((column) => Buffer.concat([text(column), int32(0), int16(0), int32(column === "clusters" ? TEXT_ARRAY : TEXT), int16(-1), int32(-1), int16(0)]));
      socket.write(message("T", int16(columns.length), ...described));
      for (const row of rows ?? []) socket.write(message("D", int16(columns.length), ...columns.map((column) => Buffer.concat([int32(Buffer.byteLength(row[column] as string)), Buffer.from(row[column] as string)]))));
      socket.write(message("C", text(command)));
      return true;
    };
    const handle = async (kind: string, body: Buffer): Promise<void> => {
      if (kind === "Q") {
        await execute(body.subarray(0, body.length - 1).toString());
        socket.write(message("Z", Buffer.from("I")));
      } else if (kind === "S") {
        failed = false;
        socket.write(message("Z", Buffer.from("I")));
      } else if (failed) return;
      else if (kind === "P") {
        const name = body.indexOf(0);
        prepared = body.subarray(name + 1, body.indexOf(0, name + 1)).toString();
        socket.write(message("1"));
      } else if (kind === "B") socket.write(message("2"));
      else if (kind === "E") failed = !(await execute(prepared));
      else if (kind === "X") socket.end();
    };
    socket.on("data", (chunk: Buffer) => {
      buffer = Buffer.concat([buffer, chunk]);
      take();
    });
    socket.on("thaw", take);
  }

  private respond(sql: string, socket: Socket): Answer {
    if (sql === "SELECT") return { rows: [] };
    if (sql.startsWith("LISTEN")) {
      this.listening.add(socket);
      return { command: "LISTEN" };
    }
    if (sql.includes("AS fingerprint")) return { rows: [{ fingerprint: JSON.stringify([this.ring.version, this.records]) }] };
    if (sql.includes("FROM tenancy.ring")) return { rows: [{ version: String(this.ring.version), clusters: `{${this.ring.clusters.join(",")}}` }] };
    if (sql.includes("FROM tenancy.tenant")) return { rows: this.records.map(({ tenant, home, epoch, state }) => ({ tenant, home, epoch: String(epoch), state })) };
    this.statements.push(sql);
    return this.answer(sql);
  }
}

function message(kind: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(kind), int32(body.length + 4), body]);
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeInt16BE(value);
  return buffer;
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}
