import type { Limit } from "./objectives";

/** How the nodes of a stack survive: members of a Patroni group, workers that the guard watches, or nodes on their own. */
export interface Layout {
  readonly coordinators: "group" | "single";
  readonly workers: "group" | "guarded" | "single";
}

type Times = Readonly<Record<string, number>>;

/** Longest gaps by fault, in milliseconds; what is not here has no limit. */
const COORDINATOR_GROUP: Times = { switchover: 1500, restart: 1500, postmaster: 1000, crash: 1200, kill: 600, pause: 3000 };
const WORKER_GROUP: Times = { switchover: 1600, restart: 1600, postmaster: 1500, crash: 1300, kill: 800 };
const GUARDED_WORKERS: Times = { restart: 1000, postmaster: 2000, crash: 2000, kill: 1700, pause: 1700 };
/** Faults that clients should not notice. */
const UNNOTICED_MS = 100;
const EVERYTHING_MS = 12_000;
/** Every member is back after up to 7 s, has its log to replay, and a lease of 20 s may have to expire. */
const POWER_CUT_MS = 30_000;

/** What the project promises of a stack: the longest time that a shard takes no write, for each fault on each kind of node. */
export function limitsOf({ coordinators, workers }: Layout): Limit[] {
  const unnoticed = (fault: string, role: string): Limit => ({ fault, role, ms: UNNOTICED_MS });
  return [
    ...(coordinators === "group"
      ? [...limits("coordinator", COORDINATOR_GROUP), unnoticed("standby", "standby"), unnoticed("etcd", "etcd"), unnoticed("etcd-majority", "etcd"), unnoticed("haproxy-reload", "haproxy")]
      : []),
    ...(workers === "group" ? [...limits("worker", WORKER_GROUP).map((limit) => (limit.fault === "switchover" ? { ...limit, noErrors: true } : limit)), unnoticed("standby", "worker-standby")] : []),
    ...(workers === "guarded" ? limits("worker", GUARDED_WORKERS) : []),
    { fault: "everything", role: "stack", ms: EVERYTHING_MS },
    { fault: "power-cut", role: "stack", ms: POWER_CUT_MS },
  ];
}

function limits(role: string, times: Times): Limit[] {
  return Object.entries(times).map(([fault, ms]) => ({ fault, role, ms }));
}
