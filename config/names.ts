import type { ActiveActiveSettings, ActivePassiveSettings, Settings } from "./settings";

/** Workers that are Patroni groups. */
export interface GroupedWorkers {
  /** Number of groups, named `worker1`, `worker2`, … */
  readonly groups: number;
  /** Members of each group: one leader, the others standbys. */
  readonly members: number;
}

/** Whether workers are Patroni groups. */
export function areGroups(workers: number | readonly string[] | GroupedWorkers): workers is GroupedWorkers {
  return typeof workers === "object" && "members" in workers;
}

/** Names of a count of workers (`worker1`, `worker2`, …), or the names as they were given. */
export function workerNames(workers: number | readonly string[], stem: string): string[] {
  return typeof workers === "number" ? Array.from({ length: workers }, (_, index) => `${stem}${index + 1}`) : [...workers];
}

/** Members of each worker: 1 where workers are plain, more where each is a Patroni group. */
export function membersOf({ workers }: { readonly workers: number | readonly string[] | { readonly members: number } }): number {
  return typeof workers === "object" && "members" in workers ? workers.members : 1;
}

/** Workers of one active-active cluster; those of cluster `a` are `worker_a1`, `worker_a2`, … */
export function clusterWorkerNames(cluster: string, workers: number | readonly string[]): string[] {
  return workerNames(workers, `worker_${cluster}`);
}

/** The coordinator's port of the first cluster; the others follow a stride apart. */
export const FIRST_PORT = 5432;
export const PORT_STRIDE = 1000;
export const HIGHEST_PORT = 65535;

/**
 * The coordinator's port of every cluster. A cluster named by one letter owns the thousand of its letter (`a` 5432, `b`
 * 6432, …), whatever other clusters come and go; other names take the lowest thousands that are free, in order of name.
 */
export function clusterPorts(clusters: Readonly<Record<string, Pick<ActiveActiveSettings["clusters"][string], "workers" | "port">>>): Record<string, number> {
  const ports: Record<string, number> = {};
  const unplaced: string[] = [];
  for (const [name, { port }] of Object.entries(clusters)) {
    if (port !== undefined) ports[name] = port;
    else if (/^[a-z]$/.test(name)) ports[name] = FIRST_PORT + PORT_STRIDE * (name.charCodeAt(0) - "a".charCodeAt(0));
    else unplaced.push(name);
  }
  const taken = new Set(Object.values(ports));
  let slot = 0;
  for (const name of unplaced.sort()) {
    while (taken.has(FIRST_PORT + PORT_STRIDE * slot)) slot += 1;
    ports[name] = FIRST_PORT + PORT_STRIDE * slot;
    slot += 1;
  }
  return ports;
}

/**
 * The published port of each worker. Workers whose names end in distinct numbers are published at the coordinator's
 * port plus that number, so that removing one leaves the others where they are; others follow in their order.
 */
export function workerPorts(workers: readonly string[], coordinatorPort: number): number[] {
  const numbers = workers.map((name) => Number(/(\d+)$/.exec(name)?.[1] ?? 0));
  const distinct = new Set(numbers).size === numbers.length && numbers.every((number) => number > 0 && number < PORT_STRIDE);
  return workers.map((_, index) => coordinatorPort + (distinct ? (numbers[index] ?? 0) : index + 1));
}

/** A port that a stack publishes on this machine. */
export interface PublishedPort {
  /** The port's number on this machine. */
  readonly port: number;
  /** Who publishes it. */
  readonly owner: string;
  /** The setting that decides it. */
  readonly key: string;
}

/** Every port that a stack publishes; in active-active, those of clusters whose port the user decided come last. */
export function publishedPorts(settings: ActiveActiveSettings | ActivePassiveSettings): PublishedPort[] {
  if (settings.topology === "active-passive") {
    const { leader, standbys, nodes, statistics, pooler } = settings.ports;
    return [
      { port: leader, owner: "haproxy", key: "ports.leader" },
      { port: standbys, owner: "haproxy", key: "ports.standbys" },
      { port: nodes, owner: "haproxy", key: "ports.nodes" },
      { port: statistics, owner: "haproxy", key: "ports.statistics" },
      ...(settings.pooler === false ? [] : [{ port: pooler, owner: "pooler", key: "ports.pooler" }]),
    ];
  }
  const ports = clusterPorts(settings.clusters);
  const clusters = Object.entries(settings.clusters).sort(([, a], [, b]) => Number(a.port !== undefined) - Number(b.port !== undefined));
  return clusters.flatMap(([name, { workers }]) => {
    const coordinatorPort = ports[name] as number;
    const names = clusterWorkerNames(name, workers);
    const key = `clusters.${name}.port`;
    const published = workerPorts(names, coordinatorPort).map((port, index) => ({ port, owner: names[index] as string, key }));
    return [{ port: coordinatorPort, owner: `coord_${name}`, key }, ...published];
  });
}

/** What a stack's keeper is called: stacks of both topologies are up on one engine. */
export function keeperName(topology: Settings["topology"]): string {
  return `keeper-${topology}`;
}
