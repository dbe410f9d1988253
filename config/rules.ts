import { lossyParameters } from "./durability";
import { isFenced } from "./fenced";
import type { Problem } from "./parse";
import { areGroups, clusterWorkerNames, FIRST_PORT, HIGHEST_PORT, keeperName, PORT_STRIDE, publishedPorts, workerNames, type PublishedPort } from "./names";
import { postgresMajorOf } from "./image";
import { PASSWORD_KEYS, type PasswordKey, type Settings } from "./settings";

/** What is wrong with settings that are right key by key: rules over more than one key. */
export function ruleProblems(settings: Settings, passwords: readonly PasswordKey[]): Problem[] {
  return [
    ...workerProblems(settings),
    ...replicaProblems(settings),
    ...portProblems(publishedPorts(settings)),
    ...tenantProblems(settings),
    ...recordProblems(settings),
    ...postgresProblems(settings),
    ...dataProblems(settings, passwords),
  ];
}

/** The workers of a stack, by the key that sets them. */
export function workersByKey(settings: Settings): { key: string; names: string[] }[] {
  return settings.topology === "active-passive"
    ? [{ key: "workers", names: workerNames(areGroups(settings.workers) ? settings.workers.groups : settings.workers, "worker") }]
    : Object.entries(settings.clusters).map(([name, { workers }]) => ({ key: `clusters.${name}.workers`, names: clusterWorkerNames(name, workers) }));
}

function workerProblems(settings: Settings): Problem[] {
  const problems: Problem[] = [];
  const owners = new Map(reservedNames(settings));
  for (const { key, names } of workersByKey(settings)) {
    for (const name of names) {
      const owner = owners.get(name);
      if (owner === key) problems.push({ key, value: name, message: "is named twice; every worker needs a name of its own" });
      else if (owner !== undefined) problems.push({ key, value: name, message: `is already a name of ${owner}; a worker belongs to one cluster, so give this one another name` });
      else owners.set(name, key);
    }
  }
  return problems;
}

/** Names of containers that are not workers, by what decides them. */
function reservedNames(settings: Settings): [string, string][] {
  const keeper: [string, string][] = settings.keeper ? [[keeperName(settings.topology), "the stack's keeper"]] : [];
  if (settings.topology === "active-active") {
    const own = Object.keys(settings.clusters).flatMap((name): [string, string][] => [
      [`coord_${name}`, `clusters.${name} (its coordinator)`],
      [`guard_${name}`, `clusters.${name} (its guard)`],
    ]);
    return [...own, ...keeper];
  }
  return [
    ...Array.from({ length: settings.coordinators }, (_, index): [string, string] => [`coord-${index + 1}`, "coordinators"]),
    ...Array.from({ length: settings.coordinators }, (_, index): [string, string] => [`guard-${index + 1}`, "coordinators (their guards)"]),
    ...Array.from({ length: settings.etcdMembers }, (_, index): [string, string] => [`etcd-${index + 1}`, "etcdMembers"]),
    ["haproxy", "the stack's HAProxy"],
    ...(settings.pooler === false ? [] : [["pooler", "the stack's pooler"] satisfies [string, string]]),
    ...keeper,
  ];
}

function replicaProblems(settings: Settings): Problem[] {
  if (settings.topology === "active-passive" && areGroups(settings.workers) && settings.replicationFactor > 1) {
    return [{ key: "replicationFactor", value: settings.replicationFactor, message: "must be 1 where workers are Patroni groups: their standbys are the copies" }];
  }
  const [fewest] = workersByKey(settings).sort((a, b) => a.names.length - b.names.length);
  if (fewest === undefined || settings.replicationFactor <= fewest.names.length) return [];
  const workers = fewest.names.length;
  return [{ key: "replicationFactor", value: settings.replicationFactor, message: `needs as many workers, but ${fewest.key} has ${workers}; use at most ${workers}, or add workers` }];
}

/** Ports are decided by key: a cluster's coordinator and workers move together. */
function portProblems(published: readonly PublishedPort[]): Problem[] {
  const problems: Problem[] = [];
  const takers = new Map<number, PublishedPort>();
  for (const key of new Set(published.map((port) => port.key))) {
    const ports = published.filter((port) => port.key === key);
    const clash = ports.find(({ port }) => port > HIGHEST_PORT || takers.has(port));
    for (const port of ports) if (!takers.has(port.port)) takers.set(port.port, port);
    if (clash === undefined) continue;
    const taker = takers.get(clash.port);
    const reason = clash.port > HIGHEST_PORT ? `ports end at ${HIGHEST_PORT}` : `which ${taker?.key} gives to ${taker?.owner}`;
    const free = freePort(ports.map(({ port }) => port), published.filter((port) => port.key !== key));
    const right = free === undefined ? "fewer clusters have room" : `choose another, such as ${free}`;
    problems.push({ key, value: ports[0]?.port, message: `${clash.owner} needs port ${clash.port}, ${reason}; ${right}` });
  }
  return problems;
}

/** Where a run of ports could begin instead of where it does, without any of the others; undefined if nowhere. */
function freePort([first = 0, ...followers]: readonly number[], others: readonly PublishedPort[]): number | undefined {
  const step = followers.length === 0 ? 1 : PORT_STRIDE;
  const taken = new Set(others.map(({ port }) => port));
  const offsets = [0, ...followers.map((port) => port - first)];
  const starts = [first, FIRST_PORT].flatMap((from) => Array.from({ length: Math.ceil(HIGHEST_PORT / step) }, (_, index) => from + (index + 1) * step));
  return starts.find((start) => offsets.every((offset) => start + offset <= HIGHEST_PORT && !taken.has(start + offset)));
}

/** Who spreads tenants without the fence does not ask how. */
function tenantProblems(settings: Settings): Problem[] {
  if (settings.topology !== "active-active" || isFenced(settings)) return [];
  const message = "has no effect without the fence, which spreads tenants over clusters; remove it, or have tenantFence true and tables in schema.tables";
  return Object.entries(settings.clusters).flatMap(([name, { weight, region }]) => [
    ...(weight === 1 ? [] : [{ key: `clusters.${name}.weight`, value: weight, message }]),
    ...(region === undefined ? [] : [{ key: `clusters.${name}.region`, value: region, message }]),
  ]);
}

/** What decides where a tenant is has to be on disk once it is acknowledged. A session can ask for that whatever `synchronous_commit` says, but not where the server does without. */
function recordProblems(settings: Settings): Problem[] {
  if (settings.topology !== "active-active" || !isFenced(settings)) return [];
  return lossyParameters(settings)
    .filter(({ name }) => name !== "synchronous_commit")
    .map(({ key, value }) => ({ key, value, message: "must be on with the fence: a power cut could take back who gave a tenant away, and two clusters would take its writes; remove it, or set tenantFence to false" }));
}

function postgresProblems({ postgresMajor, images }: Settings): Problem[] {
  const major = postgresMajorOf(images.citus);
  if (postgresMajor === undefined && major === undefined) {
    return [{ key: "postgresMajor", message: `is needed, because the tag of images.citus, "${images.citus}", does not tell PostgreSQL's major version; set it, for example to 17` }];
  }
  if (postgresMajor === undefined || major === undefined || postgresMajor === major) return [];
  return [{ key: "postgresMajor", value: postgresMajor, message: `does not fit images.citus, "${images.citus}", which holds PostgreSQL ${major}; remove it` }];
}

function dataProblems(settings: Settings, passwords: readonly PasswordKey[]): Problem[] {
  if (settings.dataOnDestroy === "drop") return [];
  return PASSWORD_KEYS[settings.topology]
    .filter((key) => !passwords.includes(key))
    .map((key) => ({ key, message: `is needed with dataOnDestroy "keep": a generated password goes with the state, and the data that was kept opens only with it; pulumi config set --secret ${key}` }));
}
