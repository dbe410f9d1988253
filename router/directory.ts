import { EventEmitter } from "node:events";
import { LRUCache } from "lru-cache";
import { Placement } from "./placement";
import { weightsOf } from "./tickets";

/** What is known of a tenant that moved, or that stays where the ring would not put it. */
export interface TenantRecord {
  readonly home: string;
  /** Counts the changes of the home. */
  readonly epoch: number;
  /** `closed`: nobody takes its writes for a moment. */
  readonly state: "settled" | "moving" | "closed";
}

/** What a cluster's table says of a tenant. */
export interface Claim extends TenantRecord {
  /** Where it is moving to. */
  readonly target: string | null;
  /** Whether nothing of a move is left to be done. */
  readonly over: boolean;
}

/** How hashing spreads tenants. */
export interface Ring {
  readonly version: number;
  /** The names of the clusters, in order. */
  readonly clusters: readonly string[];
  /** The weight of each cluster: one of weight 3 has three times the tenants that one of weight 1 has. */
  readonly weights: Readonly<Record<string, number>>;
}

/** A ring as a cluster's table has it. */
export interface RingClaim {
  readonly version: number;
  /** What the clusters are hashed by (`Placement.tickets`). */
  readonly tickets: readonly string[];
}

/** Where a tenant lives, as far as is known. */
export interface Location extends TenantRecord {
  readonly tenant: string;
  /** `lookup`: there is a record of it; `hash`: by the ring. */
  readonly by: "lookup" | "hash";
}

/** A tenant's record that changed, or a ring. */
export type Change = ({ readonly tenant: string } & TenantRecord) | { readonly ring: Ring };

/** A tenant that was asked for lately, and is about to leave. */
export interface Departure {
  readonly tenant: string;
  readonly home: string;
  readonly target: string;
}

/**
 * What the router knows of where tenants live: of those that were asked for lately, and of all that are moving. What it does not know is asked for by {@link Lookup}.
 *
 * What it knows of a tenant is what the tenant's home says itself, and the home tells of every change, so it is not asked again. Others are believed where their epoch is a newer one: then the tenant has left that home.
 */
export class Directory extends EventEmitter<{ change: [Change]; departure: [Departure] }> {
  private readonly lately: LRUCache<string, TenantRecord>;
  /** Tenants of which a cluster says that a move of them is not over: they are not forgotten. */
  private readonly moving = new Map<string, TenantRecord>();
  /** What each cluster says of {@link moving}. */
  private readonly unsettled = new Map<string, Map<string, Claim>>();
  private readonly rings = new Map<string, RingClaim>();
  /** What is known of tenants without a record, one for all that live in the same cluster. */
  private readonly byHash = new Map<string, TenantRecord>();
  /** Clusters that do not answer. */
  private readonly silent = new Set<string>();
  /** Tenants of which a cluster said that there is news, until that was read. */
  private readonly hinted = new Set<string>();
  private readonly waiting = new Map<string, Set<() => void>>();
  private placement: Placement | undefined;
  private version = 0;
  private homeChanges = 0;

  /** @param tenants of how many tenants it remembers where they live, at the most. */
  constructor(tenants: number) {
    super();
    this.lately = new LRUCache({ max: tenants });
  }

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

  /** What is known of a tenant; undefined: nothing, it has to be asked for. */
  recordOf(tenant: string): TenantRecord | undefined {
    return (this.moving.size === 0 ? undefined : this.moving.get(tenant)) ?? this.lately.get(tenant);
  }

  /** Whether a tenant is known to live in a cluster since an epoch. A look that does not count as a use of the tenant. */
  isAt(tenant: string, home: string, epoch: number): boolean {
    const known = (this.moving.size === 0 ? undefined : this.moving.get(tenant)) ?? this.lately.peek(tenant);
    return known?.epoch === epoch && known.home === home;
  }

  /** {@link recordOf} in full. */
  locate(tenant: string): Location | undefined {
    const record = this.recordOf(tenant);
    return record && { tenant, by: this.byHash.get(record.home) === record ? "hash" : "lookup", ...record };
  }

  /** The cluster that hashing gives a tenant to. Needs a directory that is ready. */
  winnerOf(tenant: string): string {
    return (this.placement as Placement).place(tenant);
  }

  /** Whether a tenant takes no writes for a moment, as far as is known. */
  isClosed(tenant: string): boolean {
    return this.recordOf(tenant)?.state === "closed";
  }

  /** Whether there is news of a tenant that was not read yet. */
  isHinted(tenant: string): boolean {
    return this.hinted.has(tenant);
  }

  /** Tenants that a cluster takes for its own and that live elsewhere: it has not heard of their move yet. */
  strangersOf(cluster: string): string[] {
    return [...(this.unsettled.get(cluster) ?? [])].flatMap(([tenant, { home }]) => (home === cluster && this.recordOf(tenant)?.home !== cluster ? [tenant] : []));
  }

  /** Tenants that are closed as far as is known, each with the cluster where it may be open already. */
  get closed(): readonly (readonly [tenant: string, target: string])[] {
    return [...this.moving].flatMap(([tenant, { state }]) => {
      const target = state === "closed" ? this.targetOf(tenant) : undefined;
      return target === undefined ? [] : [[tenant, target] as const];
    });
  }

  /** The cluster that a tenant is moving to, as its home says. */
  targetOf(tenant: string): string | undefined {
    return this.unsettled.get(this.moving.get(tenant)?.home ?? "")?.get(tenant)?.target ?? undefined;
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
   * Takes in what a cluster's table says of a tenant now.
   *
   * @param claim undefined: there is no record, it goes by the ring.
   * @returns whether that was news.
   */
  take(cluster: string, tenant: string, claim: Claim | undefined): boolean {
    this.noteUnsettled(cluster, tenant, claim);
    if (claim !== undefined) return this.believe(cluster, tenant, claim);
    if (!this.ready || this.winnerOf(tenant) !== cluster) return false;
    const known = this.recordOf(tenant);
    // A record that said what the hash says has gone.
    return known === undefined || known.home === cluster ? this.set(tenant, this.hashed(cluster)) : false;
  }

  /** Takes in what the fence of a cluster says of a tenant. @returns whether that was news. */
  learn(tenant: string, { home, epoch, state }: TenantRecord, cluster: string): boolean {
    const known = this.recordOf(tenant);
    // What the fence says may have been overtaken by what was read.
    if (known !== undefined && (epoch < known.epoch || (epoch === known.epoch && cluster !== home))) return false;
    return this.set(tenant, { home, epoch, state });
  }

  /**
   * Remembers what the home of a tenant said of it, of which nothing was known. What has been heard meanwhile may be newer.
   *
   * @param found undefined: nobody has a record.
   * @returns what is known now.
   */
  remember(tenant: string, found: TenantRecord | undefined): TenantRecord {
    const known = this.recordOf(tenant);
    if (known !== undefined && known.epoch >= (found?.epoch ?? 0)) return known;
    const record = found === undefined ? this.hashed(this.winnerOf(tenant)) : { home: found.home, epoch: found.epoch, state: found.state };
    this.put(tenant, record);
    this.wake(tenant);
    return record;
  }

  /** A cluster's ring. It is changed after the records that it needs. */
  spread(cluster: string, ring: RingClaim): void {
    this.silent.delete(cluster);
    this.rings.set(cluster, ring);
    const rings = [...this.rings.values()].filter(({ tickets }) => tickets.length > 0);
    const newest = rings.reduce<RingClaim | undefined>((known, one) => (known === undefined || one.version > known.version ? one : known), undefined);
    if (newest === undefined || (newest.version === this.version && String([...newest.tickets].sort()) === String(this.placement?.tickets))) return;
    this.version = newest.version;
    this.placement = new Placement(newest.tickets);
    this.homeChanges += 1;
    // Who has no record may be elsewhere by this ring, and who has one may have got it for that.
    this.lately.clear();
    this.byHash.clear();
    this.emit("change", { ring: { version: newest.version, clusters: this.placement.clusters, weights: weightsOf(newest.tickets) } });
    for (const gone of this.silent) this.forgetGone(gone);
    for (const tenant of [...this.waiting.keys()]) this.wake(tenant);
  }

  /** What a cluster says is read anew, from the beginning: what it said before counts no more. */
  forget(cluster: string): void {
    for (const tenant of [...(this.unsettled.get(cluster)?.keys() ?? [])]) this.noteUnsettled(cluster, tenant, undefined);
    for (const [tenant, { home }] of this.lately.entries()) if (home === cluster) this.lately.delete(tenant);
  }

  /** A cluster does not answer any more. What it said counts on, unless it is no part of the ring, or will not be: then it may be gone for good, and its tenants begin anew elsewhere. */
  silence(cluster: string): void {
    this.silent.add(cluster);
    this.forgetGone(cluster);
  }

  /** A cluster is no more the router's. What it said of moves counts no more; who lives there is told so, as of a cluster that does not answer. */
  leave(cluster: string): void {
    for (const tenant of [...(this.unsettled.get(cluster)?.keys() ?? [])]) this.noteUnsettled(cluster, tenant, undefined);
    this.silence(cluster);
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

  private hashed(home: string): TenantRecord {
    const known = this.byHash.get(home) ?? { home, epoch: 0, state: "settled" };
    this.byHash.set(home, known);
    return known;
  }

  /** What the home says of itself counts, and what another says where it is newer. */
  private believe(cluster: string, tenant: string, { home, epoch, state }: Claim): boolean {
    const known = this.recordOf(tenant);
    const own = home === cluster;
    if (known === undefined ? !own : epoch < known.epoch && (!own || known.home !== cluster)) return false;
    if (known !== undefined && epoch === known.epoch && !own) return false;
    return this.set(tenant, { home, epoch, state });
  }

  private noteUnsettled(cluster: string, tenant: string, claim: Claim | undefined): void {
    const said = this.unsettled.get(cluster) ?? new Map<string, Claim>();
    if (claim !== undefined && !claim.over) {
      const known = this.recordOf(tenant);
      said.set(tenant, claim);
      this.unsettled.set(cluster, said);
      if (known !== undefined && !this.moving.has(tenant)) this.put(tenant, known);
    } else if (said.delete(tenant) && !this.isMoving(tenant)) {
      const known = this.moving.get(tenant);
      this.moving.delete(tenant);
      if (known !== undefined) this.put(tenant, known);
    }
  }

  private isMoving(tenant: string): boolean {
    for (const said of this.unsettled.values()) if (said.has(tenant)) return true;
    return false;
  }

  private put(tenant: string, record: TenantRecord): void {
    if (this.isMoving(tenant)) {
      this.lately.delete(tenant);
      this.moving.set(tenant, record);
    } else this.lately.set(tenant, record);
  }

  /** @returns whether that is news. */
  private set(tenant: string, record: TenantRecord): boolean {
    const known = this.recordOf(tenant);
    if (same(known, record)) return false;
    this.put(tenant, record);
    if (known?.home !== record.home || known.epoch !== record.epoch) this.homeChanges += 1;
    this.emit("change", { tenant, ...record });
    if (known?.state === "settled" && record.state === "moving") this.tellDeparture(tenant, record.home);
    this.wake(tenant);
    return true;
  }

  private tellDeparture(tenant: string, home: string): void {
    const target = this.targetOf(tenant);
    if (target !== undefined) this.emit("departure", { tenant, home, target });
  }

  /** Forgets what a cluster said that is neither there nor in the ring, and who lived there. */
  private forgetGone(cluster: string): void {
    if (this.ring.includes(cluster)) return;
    this.rings.delete(cluster);
    this.forget(cluster);
    for (const [tenant, { home }] of this.moving) if (home === cluster) this.moving.delete(tenant);
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
