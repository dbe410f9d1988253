/** A write that asks whether a cluster takes a tenant's writes, and was acknowledged. Times are of one clock, in milliseconds. */
export interface Probe {
  readonly tenant: string;
  /** The cluster that took it. */
  readonly cluster: string;
  /** Where the tenant lives, and since which epoch, as that cluster's record said in the same transaction after the write. */
  readonly home: string;
  readonly epoch: number;
  readonly beganAt: number;
  readonly endedAt: number;
}

/** What is remembered of a tenant: which cluster takes its writes in each epoch, and when a higher epoch was first seen to have ended a write. */
interface Known {
  readonly homes: Map<number, string>;
  /** Epochs in ascending order, with the earliest end of a probe of that epoch or a higher one. */
  readonly firsts: { readonly epoch: number; readonly cluster: string; readonly endedAt: number }[];
}

/**
 * Whether a tenant was open in one cluster at most, of what clients saw.
 *
 * A probe is one transaction: it writes a row of the tenant, which the fence admits under the tenant's lock, then reads the record of the cluster that it writes to, then commits. Between its beginning and its end there
 * is a moment at which that cluster was open, and it keeps the lock from then on until it has committed. While the lock is held the tenant may be closed and its move go no further, so that the record that it reads is of
 * the epoch that it was admitted in: another epoch begins only after every node was asked for the lock. From that follows what may not be seen:
 *
 * - *elsewhere*: the record names another home than the cluster that took the write. It was admitted by a node that did not know.
 * - *two homes*: two clusters took writes in one epoch. An epoch has one home, so two claimed it.
 * - *late*: a write of an epoch began after one of a higher epoch had ended, whatever clusters took them. All writes of an epoch end before the next one begins; the old home was open after the new one was. A write that
 *   began before the other ended proves nothing: it may have been admitted, and have waited for its answer, in the time before.
 *
 * What is not provable: that no cluster was open between two probes. The more there are, the less can hide. A probe that was not acknowledged, or whose answer was lost, is no proof of anything and is not looked at.
 */
export class Openness {
  private readonly tenants = new Map<string, Known>();

  /** Looks at a probe; they have to come in the order of their ends. @returns what is wrong with it, in one sentence without a full stop. */
  note(probe: Probe): string | undefined {
    const { tenant, cluster, home, epoch, beganAt, endedAt } = probe;
    const known = this.tenants.get(tenant) ?? { homes: new Map<number, string>(), firsts: [] };
    this.tenants.set(tenant, known);
    if (home !== cluster) return `elsewhere: ${cluster} took a write of tenant ${tenant} at ${endedAt.toFixed(1)} ms, and its record of epoch ${epoch} says that it lives in ${home}`;
    const owner = known.homes.get(epoch);
    if (owner !== undefined && owner !== cluster) return `two homes: ${owner} and ${cluster} both took writes of tenant ${tenant} in epoch ${epoch}`;
    known.homes.set(epoch, cluster);
    const later = known.firsts.find((first) => first.epoch > epoch && first.endedAt < beganAt);
    if (later !== undefined) {
      return `late: ${cluster} took a write of tenant ${tenant} of epoch ${epoch} that began at ${beganAt.toFixed(1)} ms, and ${later.cluster} had taken one of epoch ${later.epoch} by ${later.endedAt.toFixed(1)} ms`;
    }
    if ((known.firsts.at(-1)?.epoch ?? -1) < epoch) known.firsts.push({ epoch, cluster, endedAt });
    return undefined;
  }
}
