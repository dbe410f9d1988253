import type { PlannedMove } from "./plan";
import type { Site } from "./site";
import { shardsByTenant, tenantTables } from "./tenantTables";

/** Tenants that move together. */
export interface Batch {
  readonly home: string;
  readonly to: string;
  readonly moves: readonly PlannedMove[];
  readonly bytes: number;
}

/** How much goes together. */
export interface BatchLimits {
  readonly tenants: number;
  /** Of all of them together. */
  readonly bytes: number;
  /** A larger tenant goes alone. */
  readonly aloneBytes: number;
}

/** So few that what is written of all of them while they are closed takes milliseconds, and so many that what a move costs once is little for each. */
export const BATCH_LIMITS: BatchLimits = { tenants: 200, bytes: 8 * 1024 ** 2, aloneBytes: 1024 ** 2 };

/**
 * Puts small tenants together that leave the same shards for the same others. Batches of different shards take turns, so that those that are under way at a time are spread over the workers.
 *
 * @param shardsOf which shards of a cluster a tenant's rows are in, or will be, as one text.
 */
export function batchesOf(moves: readonly PlannedMove[], shardsOf: (cluster: string, tenant: string) => string, limits: BatchLimits = BATCH_LIMITS): Batch[] {
  const ways = new Map<string, { home: string; to: string; moves: PlannedMove[]; bytes: number }[]>();
  for (const move of moves) {
    const { tenant, home, to, bytes } = move;
    const way = JSON.stringify([home, to, shardsOf(home, tenant), shardsOf(to, tenant)]);
    const batches = ways.get(way) ?? [];
    if (batches.length === 0) ways.set(way, batches);
    const last = batches.at(-1);
    // The one that was begun last takes no more once a large tenant is in it.
    if (last === undefined || bytes > limits.aloneBytes || last.bytes + bytes > limits.bytes || last.moves.length >= limits.tenants || (last.moves[0] as PlannedMove).bytes > limits.aloneBytes) batches.push({ home, to, moves: [move], bytes });
    else {
      last.moves.push(move);
      last.bytes += bytes;
    }
  }
  const [queues, turns]: [Batch[][], Batch[]] = [[...ways.values()], []];
  const longest = queues.reduce((most, { length }) => Math.max(most, length), 0);
  for (let turn = 0; turn < longest; turn += 1) turns.push(...queues.flatMap((queue) => queue.slice(turn, turn + 1)));
  return turns;
}

/** In so many parts a batch is tried again. */
const PARTS = 8;

/**
 * The tenants that a batch left, as they are tried again: together where the others were moved, else in parts, so that by and by those that are at fault are alone. What is tried again is smaller than what was tried before; where
 * that was one tenant, there is none.
 *
 * @param ofRows whether it failed by the rows of some of them: then it would again.
 */
export function againOf({ home, to, moves }: Batch, left: readonly PlannedMove[], ofRows: boolean): Batch[] {
  if (moves.length < 2 || left.length === 0) return [];
  const size = ofRows || left.length === moves.length ? Math.ceil(left.length / PARTS) : left.length;
  return Array.from({ length: Math.ceil(left.length / size) }, (_, part) => {
    const some = left.slice(part * size, (part + 1) * size);
    return { home, to, moves: some, bytes: some.reduce((sum, { bytes }) => sum + bytes, 0) };
  });
}

/** Puts planned moves together by where the clusters have their shards. */
export async function planBatches(sites: readonly Site[], moves: readonly PlannedMove[]): Promise<Batch[]> {
  const shards = new Map<string, Map<string, string>>();
  for (const site of sites) {
    const tenants = moves.flatMap(({ tenant, home, to }) => (home === site.name || to === site.name ? [tenant] : []));
    if (tenants.length > 0) shards.set(site.name, await shardsByTenant(site, await tenantTables(site), tenants));
  }
  return batchesOf(moves, (cluster, tenant) => shards.get(cluster)?.get(tenant) ?? "");
}
