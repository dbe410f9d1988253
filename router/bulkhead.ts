/** Called when a tenant may have a connection more. */
export type Admit = (share: Share) => void;

/** A tenant's part of a cluster's connections. */
export interface Share {
  readonly tenant: string;
  /** Connections of the tenant at most. */
  max: number;
  /** Connections that it has. */
  used: number;
  /** Who waits for one, in the order of coming. */
  readonly waiting: Set<Admit>;
}

/**
 * Gives a cluster's connections to tenants, so that none has more than its part of them: within a tenant to whoever came first, and where they are scarce to one tenant after the other.
 *
 * It counts, and opens nothing. A tenant takes memory while it has a connection or waits for one.
 */
export class Bulkhead {
  private readonly shares = new Map<string, Share>();
  /** Tenants with somebody who waits for nothing but a free connection, in the order of their turns. */
  private readonly turns = new Set<Share>();
  private used = 0;
  private queued = 0;

  /** @param capacity how many connections there are for all tenants together. */
  constructor(private readonly capacity: () => number) {}

  /** How many wait. */
  get waiting(): number {
    return this.queued;
  }

  /**
   * Asks for a connection.
   *
   * @param max how many the tenant may have.
   * @param admit called when it is there: at once, or later.
   * @returns the tenant's share, which goes to {@link leave} once the connection is given back, and to {@link cancel} where somebody stops waiting.
   */
  enter(tenant: string, max: number, admit: Admit): Share {
    let share = this.shares.get(tenant);
    if (share === undefined) this.shares.set(tenant, (share = { tenant, max, used: 0, waiting: new Set() }));
    share.max = max;
    share.waiting.add(admit);
    this.queued += 1;
    this.takesTurn(share);
    this.admitNext();
    return share;
  }

  /** Stops waiting. */
  cancel(share: Share, admit: Admit): void {
    if (!share.waiting.delete(admit)) return;
    this.queued -= 1;
    if (share.waiting.size === 0) this.turns.delete(share);
    this.forgetUnused(share);
  }

  /** A connection is given back. */
  leave(share: Share): void {
    share.used -= 1;
    this.used -= 1;
    this.takesTurn(share);
    this.forgetUnused(share);
    this.admitNext();
  }

  /** Admits whoever may have a connection now: there may be more than before. */
  admitNext(): void {
    for (const share of this.turns) {
      if (this.used >= this.capacity()) return;
      this.turns.delete(share);
      const [admit] = share.waiting;
      if (admit === undefined || share.used >= share.max) continue;
      share.waiting.delete(admit);
      this.queued -= 1;
      share.used += 1;
      this.used += 1;
      // Behind the others.
      this.takesTurn(share);
      admit(share);
    }
  }

  private takesTurn(share: Share): void {
    if (share.waiting.size > 0 && share.used < share.max) this.turns.add(share);
  }

  private forgetUnused(share: Share): void {
    if (share.used === 0 && share.waiting.size === 0) this.shares.delete(share.tenant);
  }
}
