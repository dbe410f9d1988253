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

/** What one cluster says. */
class Claims {
  ring: Ring | undefined;
  readonly records = new Map<string, TenantRecord>();
  /** While its records are read anew: the tenants that it still has one of. */
  seen: Set<string> | undefined;
  private epochs = 0;
  private closed = 0;

  set(tenant: string, record: TenantRecord): void {
    this.delete(tenant);
    this.records.set(tenant, record);
    this.epochs += record.epoch;
    if (record.state === "closed") this.closed += 1;
  }

  delete(tenant: string): void {
    const known = this.records.get(tenant);
    if (known === undefined) return;
    this.records.delete(tenant);
    this.epochs -= known.epoch;
    if (known.state === "closed") this.closed -= 1;
  }

  /** As {@link FINGERPRINT} has it of the cluster's tables. */
  get fingerprint(): string {
    return `${this.ring?.version ?? 0} ${this.records.size} ${this.epochs} ${this.closed}`;
  }
}

/** What tells whether a cluster's tables say what the directory has of them. */
export const FINGERPRINT =
  "SELECT concat_ws(' ', coalesce((SELECT version FROM tenancy.ring), 0), count(*), coalesce(sum(epoch), 0), count(*) FILTER (WHERE state = 'closed')) AS fingerprint FROM tenancy.tenant";

/** What the router knows of where tenants live: the newest of what the clusters say. */
export class Directory extends EventEmitter<{ change: [Change] }> {
  /** The newest record of each tenant. */
  private readonly records = new Map<string, TenantRecord>();
  private readonly said = new Map<string, Claims>();
  /** Clusters that do not answer. */
  private readonly silent = new Set<string>();
  /** Tenants of which a cluster said that there is news, until that was read. */
  private readonly hinted = new Set<string>();
  /** Tenants whose home not all clusters have heard of yet. */
  private readonly disputed = new Set<string>();
  private readonly waiting = new Map<string, Set<() => void>>();
  private placement: Placement | undefined;
  private version = 0;
  private homeChanges = 0;

  /** Whether any cluster has said how tenants are spread. */
  get ready(): boolean {
    return this.placement !== undefined;
  }

  /** The clusters that hashing spreads tenants over. */
  get ring(): readonly string[] {
    return this.placement?.clusters ?? [];
  }

  /** Grows whenever a tenant's home is another. */
  get moves(): number {
    return this.homeChanges;
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

  /** Whether there is news of a tenant that was not read yet. */
  isHinted(tenant: string): boolean {
    return this.hinted.has(tenant);
  }

  /** Tenants that a cluster takes for its own and that live elsewhere: it has not heard of their move yet. */
  strangersOf(cluster: string): string[] {
    return [...this.disputed].filter((tenant) => this.said.get(cluster)?.records.get(tenant)?.home === cluster && this.homeOf(tenant) !== cluster);
  }

  /** Whether the directory has what the cluster's tables say, by their fingerprint. */
  has(cluster: string, fingerprint: string): boolean {
    return this.said.get(cluster)?.fingerprint === fingerprint;
  }

  /** There is news of a tenant, which is being read. */
  hint(tenant: string): void {
    this.hinted.add(tenant);
  }

  /** What was hinted at has been read, or cannot be. */
  unhint(tenants: Iterable<string>): void {
    for (const tenant of tenants) if (this.hinted.delete(tenant)) this.wake(tenant);
  }

  /**
   * Takes in what a cluster says of a tenant. An older epoch never wins over a newer one, and of one epoch only the home itself knows whether it is closed.
   *
   * @param cluster the cluster that says it.
   * @returns whether that was news.
   */
  learn(tenant: string, { home, epoch, state }: TenantRecord, cluster: string): boolean {
    const claims = this.claimsOf(cluster);
    // What the fence says may have been overtaken by what was read.
    if (epoch < (claims.records.get(tenant)?.epoch ?? 0)) return false;
    claims.set(tenant, { home, epoch, state });
    claims.seen?.add(tenant);
    return this.settle(tenant);
  }

  /** Takes in what a cluster's table says of tenants; of those without a record it says nothing any more. */
  refresh(cluster: string, tenants: Iterable<string>, records: ReadonlyMap<string, TenantRecord>): void {
    const claims = this.claimsOf(cluster);
    for (const tenant of tenants) {
      const record = records.get(tenant);
      if (record === undefined) claims.delete(tenant);
      else claims.set(tenant, record);
      this.settle(tenant);
    }
  }

  /** A cluster's records are read anew, part by part: what it said before counts until {@link endLoad}. */
  beginLoad(cluster: string): void {
    this.claimsOf(cluster).seen = new Set();
  }

  /** A part of a cluster's records. What has been heard meanwhile may be newer. */
  load(cluster: string, records: ReadonlyMap<string, TenantRecord>): void {
    const claims = this.claimsOf(cluster);
    for (const [tenant, record] of records) {
      const [said, newest] = [claims.records.get(tenant), this.records.get(tenant)];
      const heard = claims.seen?.has(tenant) === true && said !== undefined && said.epoch > record.epoch;
      claims.seen?.add(tenant);
      if (heard || same(said, record)) continue;
      // One record for all clusters that say the same.
      claims.set(tenant, newest !== undefined && same(newest, record) ? newest : record);
      this.settle(tenant);
    }
  }

  /** All of a cluster's records are read. What it does not say any more is forgotten, and its ring counts, which is changed after the records that it needs. */
  endLoad(cluster: string, ring: Ring | undefined): void {
    const claims = this.claimsOf(cluster);
    for (const tenant of claims.records.keys()) {
      if (claims.seen?.has(tenant) !== false) continue;
      claims.delete(tenant);
      this.settle(tenant);
    }
    claims.seen = undefined;
    claims.ring = ring;
    this.silent.delete(cluster);
    this.spread();
  }

  /** A cluster does not answer any more. What it said counts on, unless it is no part of the ring, or will not be: then it may be gone for good, and its tenants begin anew elsewhere. */
  silence(cluster: string): void {
    this.silent.add(cluster);
    this.forgetGone();
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

  private claimsOf(cluster: string): Claims {
    const claims = this.said.get(cluster) ?? new Claims();
    this.said.set(cluster, claims);
    return claims;
  }

  /** Finds the newest of what the clusters say of a tenant. @returns whether that is news. */
  private settle(tenant: string): boolean {
    let newest: TenantRecord | undefined;
    let disputed = false;
    for (const [cluster, { records }] of this.said) {
      const record = records.get(tenant);
      if (record === undefined) continue;
      disputed ||= newest !== undefined && newest.home !== record.home;
      if (newest === undefined || record.epoch > newest.epoch || (record.epoch === newest.epoch && cluster === record.home)) newest = record;
    }
    if (disputed) this.disputed.add(tenant);
    else this.disputed.delete(tenant);
    const known = this.records.get(tenant);
    if (newest === undefined ? known === undefined : same(known, newest)) return false;
    const before = this.ready ? this.homeOf(tenant) : undefined;
    if (newest === undefined) this.records.delete(tenant);
    else this.records.set(tenant, newest);
    if (this.ready) {
      if (this.homeOf(tenant) !== before || this.epochOf(tenant) !== (known?.epoch ?? 0)) this.homeChanges += 1;
      const { by: _, ...change } = this.locate(tenant);
      this.emit("change", change);
    }
    this.wake(tenant);
    return true;
  }

  /** Finds the newest ring that a cluster says. */
  private spread(): void {
    const rings = [...this.said.values()].flatMap(({ ring }) => (ring === undefined || ring.clusters.length === 0 ? [] : [ring]));
    const newest = rings.reduce<Ring | undefined>((known, ring) => (known === undefined || ring.version > known.version ? ring : known), undefined);
    if (newest === undefined || (newest.version === this.version && String([...newest.clusters].sort()) === String(this.ring))) return;
    this.version = newest.version;
    this.placement = new Placement(newest.clusters);
    this.homeChanges += 1;
    this.emit("change", { ring: { version: newest.version, clusters: this.placement.clusters } });
    this.forgetGone();
  }

  /** Forgets what clusters said that are neither there nor in the ring. */
  private forgetGone(): void {
    for (const cluster of this.silent) {
      const claims = this.said.get(cluster);
      if (claims === undefined || this.ring.includes(cluster)) continue;
      this.said.delete(cluster);
      for (const tenant of claims.records.keys()) this.settle(tenant);
    }
  }

  private wake(tenant: string): void {
    const waiting = this.waiting.get(tenant);
    this.waiting.delete(tenant);
    for (const wake of waiting ?? []) wake();
  }
}

function same(one: TenantRecord | undefined, other: TenantRecord): boolean {
  return one !== undefined && one.home === other.home && one.epoch === other.epoch && one.state === other.state;
}
