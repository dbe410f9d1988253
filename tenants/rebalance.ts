import { againOf, planBatches, type Batch } from "./batches";
import type { ClusterAccess } from "./clusterAccess";
import { refuseHindered } from "./hindrances";
import { keepMigrationsOut } from "./migrationLock";
import { refuseUnmigrated } from "./migrations";
import { isOfRows, moveTogether, openSites, type BatchReport, type MoveStep } from "./move";
import { planMoves } from "./plan";
import { refuseSecond } from "./rebalanceLock";
import { OvertakenRingError } from "./record";
import { changeRing, pruneRecords, refuseOtherRing } from "./ring";
import { messageOf, type Site } from "./site";
import { TenantError } from "./tenantError";

/** What a rebalance tells while it works. */
export interface RebalanceProgress {
  /** Tenants that are to be moved, and those that were. */
  readonly planned: number;
  readonly moved: number;
  /** Bytes of them. */
  readonly plannedBytes: number;
  readonly movedBytes: number;
}

/** What a rebalance did. */
export interface RebalanceReport {
  readonly moved: number;
  readonly movedBytes: number;
  /** The longest that a tenant took no writes, in milliseconds. */
  readonly longestClosedMs: number;
  /** Tenants that could not be moved, each with the reason; they are where they were. */
  readonly failed: readonly { readonly tenant: string; readonly reason: string }[];
}

/** Enough to keep both sides busy; more would only make each tenant's last step wait. */
const MOVES_AT_ONCE = 4;

/** Sessions that take longer for nothing at all are not used again. */
const ANSWER_MS = 1000;

/**
 * Brings every tenant to where a ring of clusters puts it: changes the ring, then moves the tenants while they are used, small ones many at a time. Stopped half-way, it goes on where it was.
 *
 * @param clusters all clusters: those of the ring, and those that are to be empty afterwards.
 * @param ring the tickets of the clusters that share the tenants from now on (`ticketsOf`).
 * @param onWait is called if it has to wait for migrations that are being applied, before anything is done.
 * @throws {@link TenantError} if a cluster does not answer, or another rebalance or drain is at work; {@link OvertakenRingError} if another was while this one stood still.
 */
export async function rebalance(clusters: readonly ClusterAccess[], ring: readonly string[], progress: (state: RebalanceProgress) => void, signal?: AbortSignal, onWait?: () => void): Promise<RebalanceReport> {
  const names = clusters.map(({ name }) => name);
  const open = (): Promise<Site[]> => openSites(clusters, "citus-sharding rebalance", names);
  const held = await open();
  try {
    await refuseSecond(held);
    return await spread(open, names, ring, progress, signal, onWait);
  } finally {
    for (const site of held) site.close();
  }
}

async function spread(
  open: () => Promise<Site[]>,
  names: readonly string[],
  ring: readonly string[],
  progress: (state: RebalanceProgress) => void,
  signal: AbortSignal | undefined,
  onWait: (() => void) | undefined,
): Promise<RebalanceReport> {
  const sites = await open();
  let queue: Batch[];
  try {
    // With the sessions it goes again.
    await keepMigrationsOut(sites, signal, onWait);
    await refuseHindered(sites);
    await refuseUnmigrated(sites);
    await changeRing(sites, ring);
    queue = await planBatches(sites, await planMoves(sites, ring));
  } finally {
    for (const site of sites) site.close();
  }
  const [planned, plannedBytes] = [queue.reduce((sum, { moves }) => sum + moves.length, 0), queue.reduce((sum, { bytes }) => sum + bytes, 0)];
  let [moved, movedBytes, longestClosedMs] = [0, 0, 0];
  const failed: { tenant: string; reason: string }[] = [];
  const tell = (): void => progress({ planned, moved, plannedBytes, movedBytes });
  tell();
  let overtaken: OvertakenRingError | undefined;
  const stopped = (): boolean => signal?.aborted === true || overtaken !== undefined;
  const done = (batch: Batch, { moved: there, left, closedMs, problem }: Pick<BatchReport, "moved" | "left" | "closedMs" | "problem">): void => {
    longestClosedMs = Math.max(longestClosedMs, closedMs);
    for (const { bytes } of batch.moves.filter(({ tenant }) => there.has(tenant))) [moved, movedBytes] = [moved + 1, movedBytes + bytes];
    if (!stopped()) {
      const others = batch.moves.filter(({ tenant }) => !there.has(tenant));
      const again = problem === undefined || isOfRows(problem) ? againOf(batch, others, problem !== undefined) : [];
      queue.push(...again);
      if (again.length === 0) failed.push(...others.map(({ tenant }) => ({ tenant, reason: messageOf(left.get(tenant)) })));
    }
    tell();
  };
  // Each has sessions of its own, which go from batch to batch.
  const idle: Site[][] = [];
  const crewOf = async (): Promise<Site[]> => {
    const last = idle.pop();
    if (last === undefined) return open();
    if ((await Promise.all(last.map((site) => site.answers(ANSWER_MS)))).every((answers) => answers)) return last;
    for (const site of last) site.close();
    return open();
  };
  const moveBatch = async (batch: Batch, onTold: () => void): Promise<Pick<BatchReport, "moved" | "left" | "closedMs" | "problem">> => {
    let crew: Site[] | undefined;
    let problem: unknown;
    try {
      crew = await crewOf();
      await refuseOtherRing(crew.filter(({ name }) => name === batch.home || name === batch.to), ring);
      const onStep = (step: MoveStep): void => void (step === "told" && onTold());
      const report = await moveTogether(crew, names, batch.moves.map(({ tenant }) => tenant), { from: batch.home, to: batch.to }, { byRing: true, ...(signal !== undefined && { signal }), onStep });
      ({ problem } = report);
      return report;
    } catch (error) {
      problem = error;
      if (error instanceof OvertakenRingError) overtaken = error;
      return { moved: new Map(), left: new Map(batch.moves.map(({ tenant }) => [tenant, error as Error])), closedMs: 0, problem };
    } finally {
      if (problem === undefined && crew !== undefined) idle.push(crew);
      else for (const site of crew ?? []) site.close();
    }
  };
  const work = async (): Promise<void> => {
    let cleaning: Promise<void> = Promise.resolve();
    while (!stopped()) {
      // The last one may leave some that are tried again.
      if (queue.length === 0) await cleaning;
      const batch = queue.shift();
      if (batch === undefined) break;
      const last = cleaning;
      // From then on there is little to do but to wait and to clean up, beside the next move.
      await new Promise<void>((resolve) => {
        cleaning = moveBatch(batch, resolve).then((report) => done(batch, report)).finally(resolve);
      });
      await last;
    }
    await cleaning;
  };
  await Promise.all(Array.from({ length: Math.min(MOVES_AT_ONCE, queue.length) }, work));
  for (const site of idle.flat()) site.close();
  if (overtaken !== undefined) throw overtaken;
  if (stopped()) throw new TenantError(`Stopped after ${moved} of ${planned} tenants. Run it again to go on`);
  const all = await open();
  try {
    await pruneRecords(all);
  } finally {
    for (const site of all) site.close();
  }
  return { moved, movedBytes, longestClosedMs, failed };
}
