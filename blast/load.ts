import { setMaxListeners } from "node:events";
import { nap } from "../chaos/nap";
import type { Random } from "../chaos/random";
import type { Recorder } from "../chaos/recorder";
import type { Application } from "./application";
import { pauseMs, retryMs, tenantName, type Tenant } from "./tenants";

/** A client for each tenant, which writes a message, waits for the answer, pauses and writes the next one. */
export class Load {
  private readonly stopping = new AbortController();
  /** Begins every key, so that a late row of an earlier run is not taken for one of this. */
  private readonly run = Date.now().toString(36);
  private running: readonly Promise<void>[] = [];
  /** When the last acknowledged write of each tenant was sent. */
  private readonly acknowledged = new Map<string, number>();

  constructor(
    private readonly application: Pick<Application, "write">,
    private readonly tenants: readonly Tenant[],
    private readonly recorder: Pick<Recorder, "now" | "since" | "record">,
    private readonly random: Random,
  ) {}

  start(): void {
    // Every client waits for it.
    setMaxListeners(0, this.stopping.signal);
    const pause = pauseMs(this.tenants.length);
    // Spread over a pause, so that tenants do not write all at once.
    this.running = this.tenants.map((tenant, index) => this.write(index + 1, tenant, pause, (pause * index) / this.tenants.length));
  }

  /** Tenants that have not acknowledged a write which was sent after a moment of the run. */
  silentSince(at: number): string[] {
    return this.tenants.map(tenantName).filter((name) => (this.acknowledged.get(name) ?? -1) <= at);
  }

  /** Stops the clients, and waits for the answers that are still due. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running);
  }

  private async write(client: number, tenant: Tenant, pause: number, firstPause: number): Promise<void> {
    const { signal } = this.stopping;
    const shard = tenantName(tenant);
    let errors = 0;
    await nap(firstPause, signal);
    for (let count = 1; !signal.aborted; count += 1) {
      const key = `${this.run}-${client}-${count}`;
      const at = this.recorder.now();
      const { outcome, error } = await this.application.write(tenant.id, key);
      this.recorder.record({ type: "insert", client, shard, key, at, ms: this.recorder.since(at), outcome, ...(error !== undefined && { error }) });
      if (outcome === "ok") this.acknowledged.set(shard, at);
      errors = outcome === "ok" ? 0 : errors + 1;
      // Tenants that a fault has stopped and let go again all at once would stay in step without chance.
      await nap(errors === 0 ? pause * (0.5 + this.random.next()) : retryMs(errors), signal);
    }
  }
}
