import { fork } from "node:child_process";
import * as path from "node:path";
import { createRouter, type Router } from "../../router/index";
import { Failure } from "../failure";
import { say } from "../print";
import { percentileOf, type Figure } from "./figures";
import type { FreshRouterAnswer, FreshRouterTask } from "./freshRouter";
import { ScratchDirectory, type BenchCluster } from "./scratchDirectory";

/** What is simulated. */
export interface DirectorySize {
  /** Records in the directory of each cluster. */
  readonly records: number;
  /** Routers at once. */
  readonly routers: number;
  /** Clusters of the larger stack. */
  readonly clusters: number;
}

/** What a router remembers unless it is told otherwise. */
const CACHED_TENANTS = 100_000;
const FRESH_STARTS = 5;
const CHANGES = 50;
const HEARD_MS = 5000;
/** Beside what the routers need. */
const SPARE_CONNECTIONS = 4;

const MEGABYTE = 1_000_000;

/** What the directory costs a router, with so many records of tenants in every cluster: in databases beside the clusters' own, which are dropped again. */
export async function directoryFigures(clusters: readonly BenchCluster[], { records, routers, clusters: many }: DirectorySize): Promise<Figure[]> {
  const real = clusters.map(({ name }) => name);
  const names = [...real, ...Array.from({ length: Math.max(0, many - real.length) }, (_, index) => `bench-${index + 1}`)];
  const scratches: ScratchDirectory[] = [];
  try {
    for (const cluster of clusters) scratches.push(await ScratchDirectory.make(cluster, names));
    // What plays the cluster of a name.
    const at = (index: number): ScratchDirectory => scratches[index % scratches.length] as ScratchDirectory;
    await refuseFew(clusters, scratches, Math.max(routers, Math.ceil(names.length / scratches.length)) + SPARE_CONNECTIONS);
    for (const scratch of scratches) await scratch.spread(1, real);
    await Promise.all(scratches.map((scratch, index) => scratch.fill(records, real, (there) => say(`${(clusters[index] as BenchCluster).name}: ${there.toLocaleString("en-US")} of ${records.toLocaleString("en-US")} records`))));
    const few = Object.fromEntries(real.map((name, index) => [name, at(index).as(name)]));
    const figures = [...(await fresh(few, records, true)), ...(await heardByOne(await createRouter({ clusters: few }), scratches, real)), ...(await heardByMany(() => createRouter({ clusters: few }), routers, scratches, real))];
    for (const scratch of scratches) await scratch.spread(2, names);
    const all = Object.fromEntries(names.map((name, index) => [name, { ...at(index).as(name), max: 1 }]));
    return [...figures, ...(await fresh(all, records, false))];
  } finally {
    await Promise.allSettled(scratches.map((scratch) => scratch.remove()));
  }
}

async function refuseFew(clusters: readonly BenchCluster[], scratches: readonly ScratchDirectory[], needed: number): Promise<void> {
  for (const [index, scratch] of scratches.entries()) {
    const free = await scratch.freeConnections();
    if (free < needed) throw new Failure(`Cluster ${(clusters[index] as BenchCluster).name} takes ${free} connections more, and ${needed} are needed: ask for fewer with --routers and --clusters, or set max_connections.`);
  }
}

/** Routers in processes of their own. @param full whether it is the stack itself, and not a larger one on the same servers, and a router is filled as well. */
async function fresh(clusters: FreshRouterTask["clusters"], records: number, full: boolean): Promise<Figure[]> {
  const what = `${Object.keys(clusters).length} clusters, ${records.toLocaleString("en-US")} records`;
  const tenants = Math.min(CACHED_TENANTS, records);
  const starts: FreshRouterAnswer[] = [];
  for (let start = 1; start <= FRESH_STARTS; start += 1) starts.push(await startFresh({ clusters, tenants: full && start === FRESH_STARTS ? tenants : 0 }));
  const last = starts.at(-1) as FreshRouterAnswer;
  const of = (key: keyof FreshRouterAnswer): number[] => starts.map((start) => start[key]);
  const range = (values: readonly number[], unit: string): string => `longest of ${values.length} fresh processes; median ${percentileOf(values, 50).toFixed(1)} ${unit}`;
  say(`${what}: a router starts in ${percentileOf(of("startMs"), 50).toFixed(0)} ms`);
  return [
    { what: `start of a router: ${what}`, found: Math.max(...of("startMs")), unit: "ms", ...(full && { limit: 500 }), note: range(of("startMs"), "ms") },
    { what: "of that, a processor's time", found: Math.max(...of("startCpuMs")), unit: "ms", note: range(of("startCpuMs"), "ms") },
    { what: "memory that it takes", found: Math.max(...of("startBytes")) / MEGABYTE, unit: "MB", limit: 64, note: range(of("startBytes").map((bytes) => bytes / MEGABYTE), "MB") },
    ...(full
      ? [
          { what: `heap with ${tenants.toLocaleString("en-US")} tenants remembered (cachedTenants)`, found: last.fullBytes / MEGABYTE, unit: "MB", note: `they were asked for at ${Math.round(last.lookups).toLocaleString("en-US")} a second` },
          { what: "a decision by lookup", found: last.decisionByLookup, unit: "µs", limit: 1, note: `${tenants.toLocaleString("en-US")} tenants` },
        ]
      : []),
    { what: `a decision by hash over ${Object.keys(clusters).length} clusters`, found: percentileOf(of("decisionByHash"), 50), unit: "µs", limit: Object.keys(clusters).length > 2 ? 5 : 2 },
  ];
}

function startFresh(task: FreshRouterTask): Promise<FreshRouterAnswer> {
  return new Promise((resolve, reject) => {
    const child = fork(path.join(__dirname, "freshRouter.ts"), { execArgv: ["--expose-gc", "--import", "tsx"], stdio: ["ignore", "ignore", "inherit", "ipc"] });
    child.once("message", (answer) => resolve(answer as FreshRouterAnswer));
    child.once("error", reject);
    child.once("exit", (code) => reject(new Failure(`A process that was to make a router ended with ${code ?? "a signal"}: its words are above.`)));
    child.send(task);
  });
}

async function heardByOne(router: Router, scratches: readonly ScratchDirectory[], homes: readonly string[]): Promise<Figure[]> {
  try {
    const took: number[] = [];
    for (let change = 1; change <= CHANGES; change += 1) took.push(await heard([router], scratches, homes, `t${change}`));
    return [{ what: "a change is heard, from the beginning of its write", found: Math.max(...took), unit: "ms", limit: 100, note: `longest of ${CHANGES}; median ${percentileOf(took, 50).toFixed(1)} ms` }];
  } finally {
    await router.end();
  }
}

async function heardByMany(make: () => Promise<Router>, count: number, scratches: readonly ScratchDirectory[], homes: readonly string[]): Promise<Figure[]> {
  const memory = process.memoryUsage().rss;
  const began = performance.now();
  const starts: number[] = [];
  const made = await Promise.allSettled(
    Array.from({ length: count }, async () => {
      const router = await make();
      starts.push(performance.now() - began);
      return router;
    }),
  );
  const routers = made.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  try {
    for (const one of made) if (one.status === "rejected") throw one.reason;
    const grown = (process.memoryUsage().rss - memory) / MEGABYTE;
    const took: number[] = [];
    for (let change = 1; change <= CHANGES / 5; change += 1) took.push(await heard(routers, scratches, homes, `t${CHANGES + change}`));
    return [
      { what: `start of ${count} routers at once, the last`, found: Math.max(...starts), unit: "ms", note: `in one process; ${(grown / count).toFixed(1)} MB for each` },
      { what: `a change is heard by the last of ${count} routers`, found: Math.max(...took), unit: "ms", limit: 100, note: `longest of ${took.length}; median ${percentileOf(took, 50).toFixed(1)} ms` },
    ];
  } finally {
    await Promise.all(routers.map((router) => router.end()));
  }
}

/** How long a tenant's new home takes to be known to all routers, in milliseconds, from before its record is written where it has lived. */
async function heard(routers: readonly Router[], scratches: readonly ScratchDirectory[], homes: readonly string[], tenant: string): Promise<number> {
  const located = await Promise.all(routers.map((router) => router.locate(tenant)));
  const [{ home, epoch } = { home: "", epoch: 0 }] = located;
  const next = homes[(homes.indexOf(home) + 1) % homes.length] as string;
  const old = scratches[homes.indexOf(home)] as ScratchDirectory;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Failure(`A change of tenant ${tenant} was not heard in ${HEARD_MS / 1000} s.`)), HEARD_MS)));
  const known = Promise.all(routers.map((router) => new Promise<void>((resolve) => {
    const hear = (change: object): void => {
      if (!("tenant" in change) || change.tenant !== tenant) return;
      router.off("change", hear);
      resolve();
    };
    router.on("change", hear);
  })));
  const began = performance.now();
  try {
    await Promise.race([Promise.all([known, old.write(tenant, next, epoch + 1)]), late]);
    return performance.now() - began;
  } finally {
    clearTimeout(timer);
    await Promise.all(scratches.filter((scratch) => scratch !== old).map((scratch) => scratch.write(tenant, next, epoch + 1)));
  }
}
