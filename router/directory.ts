import { EventEmitter } from "node:events";
import { Placement } from "./placement";

/** What is known of a tenant that moved, or that stays where the ring would not put it. */
export interface TenantRecord {
  readonly home: string;
  /** Counts the changes of the home. */
  readonly epoch: number;
  /** `closed`: nobody takes its writes for a moment. */
  readonly state: "settled" | "moving" | "closed";
}

/** How hashing spreads tenants. */
export interface Ring {
  readonly version: number;
  readonly clusters: readonly string[];
}

/** Where a tenant lives, as far as is known. */
export interface Location extends TenantRecord {
  readonly tenant: string;
  /** `lookup`: there is a record of it; `hash`: by the ring. */
  readonly by: "lookup" | "hash";
}

/** A tenant's record that changed, or a ring. */
export type Change = ({ readonly tenant: string } & TenantRecord) | { readonly ring: Ring };

/** What the router knows of where tenants live: the newest that any cluster said. */
export class Directory extends EventEmitter<{ change: [Change] }> {
  private readonly records = new Map<string, TenantRecord>();
  private readonly waiting = new Map<string, Set<() => void>>();
  private placement: Placement | undefined;
  private version = 0;

  /** Whether any cluster has said how tenants are spread. */
  get ready(): boolean {
    return this.placement !== undefined;
  }

  /** Where a tenant lives. Needs a directory that is ready. */
  locate(tenant: string): Location {
    const record = this.records.get(tenant);
    if (record !== undefined) return { tenant, by: "lookup", ...record };
    return { tenant, by: "hash", home: (this.placement as Placement).place(tenant), epoch: 0, state: "settled" };
  }

  /** The cluster that a tenant's statements go to: {@link locate} without the rest. */
  homeOf(tenant: string): string {
    const record = this.records.get(tenant);
    return record === undefined ? (this.placement as Placement).place(tenant) : record.home;
  }

  /** How often a tenant's home has changed: {@link locate} without the rest. */
  epochOf(tenant: string): number {
    return this.records.get(tenant)?.epoch ?? 0;
  }

  /** Whether a tenant takes no writes for a moment. */
  isClosed(tenant: string): boolean {
    return this.records.get(tenant)?.state === "closed";
  }

  /**
   * Takes in what a cluster says of a tenant. An older epoch never wins over a newer one, and of one epoch only the home itself knows whether it is closed.
   *
   * @param source the cluster that says it.
   * @returns whether that was news.
   */
  learn(tenant: string, { home, epoch, state }: TenantRecord, source: string): boolean {
    const known = this.records.get(tenant);
    const older = known !== undefined && (epoch < known.epoch || (epoch === known.epoch && (source !== known.home || state === known.state)));
    if (older || (known === undefined && epoch === 0 && state === "settled" && this.placement?.place(tenant) === home)) return false;
    this.records.set(tenant, { home, epoch, state });
    this.emit("change", { tenant, home, epoch, state });
    const waiting = this.waiting.get(tenant);
    this.waiting.delete(tenant);
    for (const wake of waiting ?? []) wake();
    return true;
  }

  /** Takes in how tenants are spread; an older version never wins over a newer one. */
  learnRing({ version, clusters }: Ring): void {
    if (version <= this.version || clusters.length === 0) return;
    this.version = version;
    this.placement = new Placement(clusters);
    this.emit("change", { ring: { version, clusters: this.placement.clusters } });
  }

  /** Resolves when something new is known of a tenant, or after a while. */
  async changed(tenant: string, timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let wake = (): void => undefined;
    await new Promise<void>((resolve) => {
      wake = resolve;
      const waiting = this.waiting.get(tenant) ?? new Set();
      this.waiting.set(tenant, waiting.add(wake));
      timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
    const waiting = this.waiting.get(tenant);
    waiting?.delete(wake);
    if (waiting?.size === 0) this.waiting.delete(tenant);
  }
}
