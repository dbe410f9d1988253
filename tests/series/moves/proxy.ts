import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { ClusterAccess } from "../../../tenants/clusterAccess";
import type { Trouble } from "./faults";

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Each way of a connection is later by so much where the network is slow, in milliseconds. */
const DELAY_MS = 120;

/** The network between a mover and a cluster: a port of this machine for each of the cluster's addresses, whose connections can be cut, held up or delayed. */
export class Proxy {
  private readonly servers: Server[] = [];
  private readonly links = new Set<Link>();
  private trouble: Trouble | undefined;

  private constructor(private readonly cluster: ClusterAccess) {}

  /** Opens the ports. @returns the proxy, and the cluster as it is reached through it. */
  static async open(cluster: ClusterAccess): Promise<{ proxy: Proxy; through: ClusterAccess }> {
    const proxy = new Proxy(cluster);
    const uri = new URL(cluster.uri);
    const { host, port } = await proxy.listen({ host: uri.hostname, port: Number(uri.port) });
    Object.assign(uri, { hostname: host, port: String(port) });
    const nodes = await Promise.all(Object.entries(cluster.nodes).map(async ([name, address]) => [name, await proxy.listen(address)] as const));
    return { proxy, through: { name: cluster.name, uri: uri.href, nodes: Object.fromEntries(nodes) } };
  }

  get name(): string {
    return this.cluster.name;
  }

  /** Lets the network fail: `cut`, connections are reset and refused; `black hole`, nothing arrives and nobody is told; `delay`, everything arrives later. */
  fail(trouble: Trouble): void {
    this.trouble = trouble;
    if (trouble === "cut") for (const link of this.links) link.end();
    if (trouble === "black hole") for (const link of this.links) link.hold(true);
  }

  /** Mends it. @param forgotten whether connections that were held up are lost; else what was sent arrives. */
  mend(forgotten: boolean): void {
    this.trouble = undefined;
    for (const link of this.links) {
      if (forgotten) link.end();
      else link.hold(false);
    }
  }

  close(): void {
    for (const server of this.servers) server.close();
    for (const link of this.links) link.end();
  }

  private async listen(target: Address): Promise<Address> {
    const server = createServer((client) => {
      if (this.trouble === "cut") return void client.resetAndDestroy();
      const link: Link = new Link(client, connect(target.port, target.host), () => (this.trouble === "delay" ? DELAY_MS : 0), () => this.links.delete(link));
      this.links.add(link);
      if (this.trouble === "black hole") link.hold(true);
    });
    this.servers.push(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  }
}

/** One connection. */
class Link {
  private held = false;
  private ended = false;

  constructor(
    private readonly client: Socket,
    private readonly server: Socket,
    delayMs: () => number,
    private readonly gone: () => void,
  ) {
    this.pipe(client, server, delayMs);
    this.pipe(server, client, delayMs);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => this.end());
    }
  }

  /** Holds back what either side sends, and that it went away, or lets it go on. */
  hold(held: boolean): void {
    this.held = held;
    for (const socket of [this.client, this.server]) {
      if (held) socket.pause();
      else socket.resume();
    }
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    for (const socket of [this.client, this.server]) socket.resetAndDestroy();
    this.gone();
  }

  private pipe(from: Socket, to: Socket, delayMs: () => number): void {
    let last = 0;
    // In order, whatever the delay was before.
    const later = (deliver: () => void): void => {
      last = Math.max(last, performance.now() + delayMs());
      const rest = last - performance.now();
      if (rest <= 0) deliver();
      else setTimeout(deliver, rest);
    };
    from.on("data", (chunk: Buffer) =>
      later(() => {
        if (!to.writable || to.write(chunk)) return;
        from.pause();
        to.once("drain", () => !this.held && from.resume());
      }),
    );
    from.on("close", () => later(() => this.end()));
    from.on("end", () => later(() => to.end()));
  }
}
