import { docker } from "./docker";

const ASK_TIMEOUT_MS = 8000;

/** Which members of an etcd cluster are healthy, by host name; undefined if no member answers. */
export async function etcdHealth(containers: readonly string[]): Promise<ReadonlyMap<string, boolean> | undefined> {
  for (const container of containers) {
    // Its exit code tells whether all are healthy; what it prints tells which.
    const { stdout } = await docker(["exec", container, "etcdctl", "endpoint", "health", "--cluster", "--command-timeout=3s", "--write-out=json"], ASK_TIMEOUT_MS);
    const health = healthFrom(stdout);
    if (health !== undefined) return health;
  }
  return undefined;
}

function healthFrom(printed: string): ReadonlyMap<string, boolean> | undefined {
  const line = printed.split("\n").find((candidate) => candidate.startsWith("["));
  if (line === undefined) return undefined;
  const endpoints = JSON.parse(line) as { endpoint: string; health: boolean }[];
  return new Map(endpoints.map(({ endpoint, health }) => [new URL(endpoint).hostname, health]));
}
