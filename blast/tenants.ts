/** The first room of the load: far from any that an application counts up to, and from those of the demo. */
export const FIRST_TENANT = 9_100_000_000_000;
export const MOST_TENANTS = 10_000;
/** Its last room, whatever the number of tenants: what an earlier run has left is found with it. */
export const LAST_TENANT = FIRST_TENANT + MOST_TENANTS - 1;

/** Writes per second of all tenants together at the most, so that two processors carry them beside the stack. */
const WRITES_PER_SECOND = 150;
const LEAST_PAUSE_MS = 20;
/** After an error a client tries again soon, then less and less often: all clients at once, again and again, would take the processors that a failover needs. */
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 250;

/** A room that is written to, by its name in the history: `a/9100000000042`. */
export interface Tenant {
  readonly id: number;
  /** The cluster that it lives in. */
  readonly cluster: string;
}

/** So many tenants, each with the cluster that is its home. */
export async function tenants(count: number, homeOf: (tenant: number) => Promise<string>): Promise<Tenant[]> {
  return Promise.all(Array.from({ length: count }, async (_, index) => ({ id: FIRST_TENANT + index, cluster: await homeOf(FIRST_TENANT + index) })));
}

/** A tenant's name in the history. */
export function tenantName({ id, cluster }: Tenant): string {
  return `${cluster}/${id}`;
}

/** The cluster of a tenant, by its name in the history. */
export function clusterOf(name: string): string {
  return name.slice(0, name.lastIndexOf("/"));
}

/** The mean pause of a tenant's client between an acknowledged write and the next one, in milliseconds. */
export function pauseMs(count: number): number {
  return Math.max(LEAST_PAUSE_MS, Math.round((count * 1000) / WRITES_PER_SECOND));
}

/** The pause of a client after so many errors in a row, in milliseconds. */
export function retryMs(errors: number): number {
  return Math.min(LONGEST_RETRY_MS, Math.round(FIRST_RETRY_MS * 1.5 ** (errors - 1)));
}
