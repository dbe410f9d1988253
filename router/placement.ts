import { hashText, TextHash, type Hash } from "./textHash";

/** Taken apart once for all clusters; nothing in between can load another. */
const TENANT = new TextHash();

/**
 * Spreads tenants over clusters by rendezvous hashing: each tenant goes to the cluster with the highest `hashtextextended(tenant, hashtextextended(cluster, 0))`, as the databases' `tenancy.winner` has it. A new
 * cluster takes only the tenants that it wins, and neither the order of the names nor the process matters.
 */
export class Placement {
  /** The names of the clusters, in order. */
  readonly clusters: readonly string[];
  private readonly seeds: readonly Hash[];

  /** @throws {RangeError} without a cluster. */
  constructor(clusters: readonly string[]) {
    if (clusters.length === 0) throw new RangeError("tenants cannot be spread over no cluster");
    this.clusters = [...clusters].sort();
    this.seeds = this.clusters.map((cluster) => hashText(cluster));
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
    return this.clusters[best] as string;
  }
}
