/*
 * How a ring has weights. Hashing gives a tenant to the cluster with the highest hash; a cluster of weight 3 takes part with three names, its tickets: a, a#1 and a#2. The first is its name, so that a ring of clusters of weight 1 is the list of
 * their names, and a ticket more takes tenants from the others and moves none between them. `tenancy.winner` does the same (topology/fence.ts).
 */

/** What no cluster's name has. */
const MARK = "#";

/** The highest weight that is allowed: every ticket is one hash more for whoever looks a tenant up. */
export const MAXIMUM_WEIGHT = 16;

/**
 * The tickets of clusters, in the order in which a ring has them.
 *
 * @param weights the weight of each cluster by its name.
 * @throws {RangeError} if a name has a `#`, or a weight is not a whole number from 1 to {@link MAXIMUM_WEIGHT}.
 */
export function ticketsOf(weights: Readonly<Record<string, number>>): string[] {
  const tickets = Object.entries(weights).flatMap(([cluster, weight]) => {
    if (cluster.includes(MARK)) throw new RangeError(`a cluster's name has no ${MARK}, and ${cluster} has one`);
    if (!Number.isInteger(weight) || weight < 1 || weight > MAXIMUM_WEIGHT) throw new RangeError(`the weight of cluster ${cluster} must be a whole number from 1 to ${MAXIMUM_WEIGHT}, and is ${weight}`);
    return Array.from({ length: weight }, (_, ticket) => (ticket === 0 ? cluster : `${cluster}${MARK}${ticket}`));
  });
  return tickets.sort();
}

/** The cluster that a ticket is of. */
export function clusterOf(ticket: string): string {
  const end = ticket.indexOf(MARK);
  return end === -1 ? ticket : ticket.slice(0, end);
}

/** The weights that tickets make, by the clusters' names in order. */
export function weightsOf(tickets: readonly string[]): Record<string, number> {
  const weights: Record<string, number> = {};
  for (const cluster of tickets.map(clusterOf).sort()) weights[cluster] = (weights[cluster] ?? 0) + 1;
  return weights;
}

/** The clusters of a ring, for a person: `a, b (weight 3)`. */
export function ringInWords(tickets: readonly string[]): string {
  return Object.entries(weightsOf(tickets))
    .map(([cluster, weight]) => (weight === 1 ? cluster : `${cluster} (weight ${weight})`))
    .join(", ");
}
