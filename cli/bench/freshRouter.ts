import type { PoolConfig } from "pg";
import { createRouter } from "../../router/index";

/*
 * A process of its own that makes one router, for what a router costs that nothing else has been done in the process of. It is told what to do by a message, which has passwords, and answers with one.
 */

/** What it does. */
export interface FreshRouterTask {
  readonly clusters: Readonly<Record<string, PoolConfig>>;
  /** How many tenants it asks for, `t1` to this one, and remembers; 0: none. */
  readonly tenants: number;
}

/** What that took. */
export interface FreshRouterAnswer {
  /** From the call to the router. */
  readonly startMs: number;
  readonly startCpuMs: number;
  /** What the process' resident memory has grown by. */
  readonly startBytes: number;
  /** What the heap has grown by once {@link FreshRouterTask.tenants} are remembered. */
  readonly fullBytes: number;
  /** Tenants asked for a second. */
  readonly lookups: number;
  /** Microseconds. */
  readonly decisionByLookup: number;
  readonly decisionByHash: number;
}

const AT_ONCE = 2000;
const DECISIONS = 500_000;

async function work({ clusters, tenants }: FreshRouterTask): Promise<FreshRouterAnswer> {
  globalThis.gc?.();
  const [memory, used, began] = [process.memoryUsage(), process.cpuUsage(), performance.now()];
  const router = await createRouter({ clusters, cachedTenants: Math.max(1000, tenants) });
  const startMs = performance.now() - began;
  const { user, system } = process.cpuUsage(used);
  const startBytes = process.memoryUsage().rss - memory.rss;
  const ids = Array.from({ length: Math.max(1000, tenants) }, (_, index) => `t${index + 1}`);
  const asking = performance.now();
  for (let from = 0; from < tenants; from += AT_ONCE) await Promise.all(ids.slice(from, Math.min(tenants, from + AT_ONCE)).map((id) => router.locate(id)));
  const lookups = (tenants * 1000) / (performance.now() - asking);
  globalThis.gc?.();
  const fullBytes = process.memoryUsage().heapUsed - memory.heapUsed;
  const { directory } = router["making"];
  const costOf = (decide: (id: string) => string | undefined): number => {
    const since = performance.now();
    let found = 0;
    for (let index = 0; index < DECISIONS; index += 1) if (decide(ids[(index * 7919) % ids.length] as string) !== undefined) found += 1;
    if (found !== DECISIONS) throw new Error("a tenant is not known");
    return ((performance.now() - since) * 1000) / DECISIONS;
  };
  const decisionByLookup = tenants === 0 ? Number.NaN : costOf((id) => directory.recordOf(id)?.home);
  const decisionByHash = costOf((id) => directory.winnerOf(id));
  await router.end();
  return { startMs, startCpuMs: (user + system) / 1000, startBytes, fullBytes, lookups, decisionByLookup, decisionByHash };
}

// Whoever waits for it is gone.
process.once("disconnect", () => process.exit());
process.once("message", (task: FreshRouterTask) => {
  void work(task).then(
    (answer) => process.send?.(answer, () => process.exit()),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
