import { hashText, TextHash, type Hash } from "./textHash";
import { clusterOf, ticketsOf } from "./tickets";

/** Taken apart once for all clusters; nothing in between can load another. */
const TENANT = new TextHash();

/**
 * Spreads tenants over clusters by rendezvous hashing: each tenant goes to the cluster with the highest `hashtextextended(tenant, hashtextextended(cluster, 0))`, as the databases' `tenancy.winner` has it. A new
 * cluster takes only the tenants that it wins, and neither the order of the names nor the process matters. A cluster of weight 3 gets three times as many tenants as one of weight 1.
 */
export class Placement {
  /** The names of the clusters, in order. */
  readonly clusters: readonly string[];
  /** What the clusters are hashed by, in order: a cluster of weight 3 is there as `a`, `a#1` and `a#2`. */
  readonly tickets: readonly string[];
  private readonly owners: readonly string[];
  private readonly seeds: readonly Hash[];

  /**
   * @param clusters the names, or tickets as `tenancy.ring` has them; or the weight of each cluster, a whole number from 1 to 16, by its name.
   * @throws {RangeError} without a cluster, or for a weight or name that cannot be one.
   */
  constructor(clusters: readonly string[] | Readonly<Record<string, number>>) {
    this.tickets = isList(clusters) ? [...clusters].sort() : ticketsOf(clusters);
    if (this.tickets.length === 0) throw new RangeError("tenants cannot be spread over no cluster");
    this.owners = this.tickets.map(clusterOf);
    this.clusters = [...new Set(this.owners)].sort();
    this.seeds = this.tickets.map((ticket) => hashText(ticket));
  }

  /** The cluster that a tenant goes to. */
  place(tenant: string): string {
    const { seeds } = this;
    TENANT.load(tenant);
    let best = 0;
    let bestHigh = 0;
    let bestLow = 0;
    for (let index = 0; index < seeds.length; index += 1) {
      const seed = seeds[index] as Hash;
      const { high, low } = TENANT.hash(seed.high, seed.low);
      if (index === 0 || high > bestHigh || (high === bestHigh && low > bestLow)) {
        best = index;
        bestHigh = high;
        bestLow = low;
      }
    }
    return this.owners[best] as string;
  }
}

function isList(clusters: readonly string[] | Readonly<Record<string, number>>): clusters is readonly string[] {
  return Array.isArray(clusters);
}
