import { setTimeout as delay } from "node:timers/promises";
import type { Cluster } from "./cluster";
import type { Departure, Directory } from "./directory";

/** Sessions that are made ready for a tenant, at the most. */
const SESSIONS = 4;
/** How often, while a tenant is on its way: a pool closes what nobody has used for ten seconds, unless it is told otherwise. */
const AGAIN_MS = 5000;

/** Has sessions ready in clusters that tenants are moving to. */
export class Arrivals {
  private readonly ended = new AbortController();
  /** Clusters that tenants were told of to leave for, in this turn of the event loop. */
  private readonly targets = new Set<string>();

  constructor(
    private readonly directory: Directory,
    private readonly clusters: ReadonlyMap<string, Cluster>,
  ) {
    directory.on("departure", (departure) => this.expect(departure));
  }

  end(): void {
    this.ended.abort();
  }

  private expect(departure: Departure): void {
    const { target } = departure;
    // Tenants that leave together leave for the same workers: one stands for all of them.
    if (this.targets.has(target)) return;
    this.targets.add(target);
    queueMicrotask(() => {
      this.targets.delete(target);
      void this.accompany(departure);
    });
  }

  private async accompany({ tenant, home, target }: Departure): Promise<void> {
    const { signal } = this.ended;
    while (!signal.aborted && this.directory.targetOf(tenant) === target) {
      const used = this.clusters.get(home)?.counts.open ?? 0;
      await this.clusters.get(target)?.warm(tenant, Math.min(used, SESSIONS), signal);
      // Without the signal, which of many tenants each would listen to: Node.js 20 warns of that.
      await delay(AGAIN_MS, undefined, { ref: false });
    }
  }
}
