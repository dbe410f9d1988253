import { EventEmitter } from "node:events";
import { Client, type ClientConfig } from "pg";
import type { Directory, TenantRecord } from "./directory";
import { ConfigurationError } from "./errors";

/** How often a cluster is asked whether it is there, and how long it may take to answer. */
const PROBE_INTERVAL_MS = 250;
const PROBE_TIMEOUT_MS = 500;

/** Every so many probes the directory is compared as well: a notification that was lost costs seconds, not for ever. */
const PROBES_PER_COMPARISON = 8;

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 250;

const FINGERPRINT = "SELECT concat_ws(' ', (SELECT version FROM tenancy.ring), count(*), sum(epoch), count(*) FILTER (WHERE state = 'closed')) AS fingerprint FROM tenancy.tenant";

/**
 * The router's own connection to a cluster. It hears of tenants that move, and notices when the cluster is gone or frozen: `up` and `down` tell.
 */
export class Link extends EventEmitter<{ up: []; down: [Error] }> {
  private client: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private retryMs = FIRST_RETRY_MS;
  private fingerprint = "";
  private probes = 0;
  private ended = false;
  private reachable = false;

  constructor(
    private readonly cluster: string,
    private readonly config: ClientConfig,
    private readonly directory: Directory,
    /** When the cluster last answered a statement of the application, by `performance.now()`. */
    private readonly answeredAt: () => number,
  ) {
    super();
  }

  /** Whether the cluster answers. */
  get up(): boolean {
    return this.reachable;
  }

  /**
   * Connects for the first time. @throws what went wrong; it goes on trying in the background, unless the cluster has no directory.
   */
  async start(): Promise<void> {
    try {
      await this.connect();
    } catch (error) {
      if (error instanceof ConfigurationError) this.ended = true;
      else this.retry();
      throw error;
    }
  }

  /** Runs a statement beside the application's: a cancellation. Its outcome does not matter. */
  aside(text: string, values: readonly unknown[]): void {
    void this.client?.query(text, [...values]).catch(() => undefined);
  }

  end(): void {
    this.ended = true;
    this.reachable = false;
    clearTimeout(this.timer);
    this.drop();
  }

  private async connect(): Promise<void> {
    const client = new Client({ ...this.config, application_name: "citus-sharding router", query_timeout: 5000 });
    this.client = client;
    client.on("error", (error) => this.lose(client, error));
    client.on("end", () => this.lose(client, new Error("the connection was closed")));
    client.on("notification", ({ payload }) => void this.hear(client, payload ?? ""));
    await client.connect();
    try {
      // Before the directory is read: what changes in between is heard.
      await client.query("LISTEN tenancy");
      await this.load(client);
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code !== "42P01" && code !== "3F000" && code !== "42501") throw error;
      throw new ConfigurationError(`Cluster ${this.cluster} has no directory of tenants that ${this.config.user ?? "this user"} may read: it needs the fence (tenantFence: true, npm run up), and the right database`, error);
    }
    this.retryMs = FIRST_RETRY_MS;
    this.reachable = true;
    this.emit("up");
    this.schedule(client);
  }

  private schedule(client: Client): void {
    this.timer = setTimeout(() => void this.probe(client), PROBE_INTERVAL_MS);
    this.timer.unref();
  }

  private async probe(client: Client): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const wait = (since: number): void => {
        timer = setTimeout(() => {
          // A cluster that answers others is busy, not gone; and this process may have stood still itself, and not read the answer yet.
          if (this.answeredAt() > since || performance.now() - since > 2 * PROBE_TIMEOUT_MS) wait(performance.now());
          else reject(new Error(`no answer for ${PROBE_TIMEOUT_MS} ms`));
        }, PROBE_TIMEOUT_MS);
      };
      wait(performance.now());
    });
    try {
      this.probes += 1;
      if (this.probes % PROBES_PER_COMPARISON > 0) await Promise.race([client.query("SELECT"), late]);
      else if ((await Promise.race([fingerprintOf(client), late])) !== this.fingerprint) await this.load(client);
      this.schedule(client);
    } catch (error) {
      this.lose(client, error as Error);
    } finally {
      clearTimeout(timer);
    }
  }

  private async hear(client: Client, payload: string): Promise<void> {
    try {
      const { tenant, home, epoch, state } = JSON.parse(payload) as Partial<TenantRecord> & { tenant?: string };
      if (tenant !== undefined && home !== undefined && epoch !== undefined && state !== undefined) this.directory.learn(tenant, { home, epoch, state }, this.cluster);
      else await this.load(client);
    } catch (error) {
      this.lose(client, error as Error);
    }
  }

  private async load(client: Client): Promise<void> {
    this.fingerprint = await fingerprintOf(client);
    const { rows: rings } = await client.query<{ version: string; clusters: string[] }>("SELECT version, clusters FROM tenancy.ring");
    for (const { version, clusters } of rings) this.directory.learnRing({ version: Number(version), clusters });
    const { rows } = await client.query<{ tenant: string; home: string; epoch: string; state: TenantRecord["state"] }>("SELECT tenant, home, epoch, state FROM tenancy.tenant");
    for (const { tenant, home, epoch, state } of rows) this.directory.learn(tenant, { home, epoch: Number(epoch), state }, this.cluster);
  }

  private lose(client: Client, error: Error): void {
    if (this.client !== client || this.ended) return;
    this.drop();
    clearTimeout(this.timer);
    if (this.reachable) {
      this.reachable = false;
      this.emit("down", error);
    }
    this.retry();
  }

  private retry(): void {
    if (this.ended) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.connect().catch(() => {
        this.drop();
        this.retry();
      });
    }, this.retryMs);
    this.timer.unref();
    this.retryMs = Math.min(LAST_RETRY_MS, this.retryMs * 2);
  }

  private drop(): void {
    const client = this.client;
    this.client = undefined;
    if (client !== undefined) destroy(client);
  }
}

async function fingerprintOf(client: Client): Promise<string> {
  const { rows } = await client.query<{ fingerprint: string }>(FINGERPRINT);
  return rows[0]?.fingerprint ?? "";
}

/** Drops a connection without a goodbye: a frozen server would not answer it. */
export function destroy(client: Client): void {
  (client as unknown as { connection: { stream: { destroy: () => void } } }).connection.stream.destroy();
}
