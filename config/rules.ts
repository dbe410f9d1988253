import type { Problem } from "./parse";
import { clusterWorkerNames, publishedPorts, workerNames } from "./names";
import { postgresMajorOf } from "./image";
import type { PasswordKey, Settings } from "./settings";

/** What is wrong with settings that are right key by key: rules over more than one key. */
export function ruleProblems(settings: Settings, passwords: readonly PasswordKey[]): Problem[] {
  return [...workerProblems(settings), ...portProblems(settings), ...imageProblems(settings), ...dataProblems(settings, passwords)];
}

/** The workers of a stack, by the key that sets them. */
export function workersByKey(settings: Settings): { key: string; names: string[] }[] {
  return settings.topology === "active-passive"
    ? [{ key: "workers", names: workerNames(settings.workers, "worker") }]
    : Object.entries(settings.clusters).map(([name, { workers }]) => ({ key: `clusters.${name}.workers`, names: clusterWorkerNames(name, workers) }));
}

function workerProblems(settings: Settings): Problem[] {
  const problems: Problem[] = [];
  const owners = new Map<string, string>(reservedNames(settings));
  for (const { key, names } of workersByKey(settings)) {
    for (const name of names) {
      const owner = owners.get(name);
      if (owner !== undefined) {
        problems.push({ key, value: name, message: owner === key ? `${name} is named twice; every worker needs its own name` : `${name} is already in ${owner}; a worker belongs to one cluster` });
      }
      owners.set(name, key);
    }
    if (settings.replicationFactor > names.length) {
      problems.push({
        key: "replicationFactor",
        value: settings.replicationFactor,
        message: `needs as many workers, but ${key} has ${names.length}; use at most ${names.length}, or add workers`,
      });
    }
  }
  return problems;
}

/** Names of containers that are not workers, by what decides them. */
function reservedNames(settings: Settings): [string, string][] {
  if (settings.topology === "active-active") return Object.keys(settings.clusters).map((name) => [`coord_${name}`, `clusters.${name} (its coordinator)`]);
  return [
    ...Array.from({ length: settings.coordinators }, (_, index): [string, string] => [`coord-${index + 1}`, "coordinators"]),
    ...Array.from({ length: settings.etcdMembers }, (_, index): [string, string] => [`etcd-${index + 1}`, "etcdMembers"]),
    ["haproxy", "the stack's HAProxy"],
  ];
}

function portProblems(settings: Settings): Problem[] {
  const problems = new Map<string, Problem>();
  const seen = new Map<number, { owner: string; key: string }>();
  for (const { port, owner, key } of publishedPorts(settings)) {
    const first = seen.get(port);
    const report = (message: string): void => void (problems.has(key) || problems.set(key, { key, value: port, message }));
    if (port > 65535) report(`${owner} would be published on ${port}; ports end at 65535, so choose a lower one`);
    else if (first !== undefined) report(`${owner} would share port ${port} with ${first.owner} (${first.key}); choose ports further apart`);
    else seen.set(port, { owner, key });
  }
  return [...problems.values()];
}

function imageProblems(settings: Settings): Problem[] {
  if (settings.postgresMajor !== undefined || postgresMajorOf(settings.images.citus) !== undefined) return [];
  return [{ key: "postgresMajor", message: `is needed: the tag of images.citus, "${settings.images.citus}", does not tell PostgreSQL's major version; set it, for example to 17` }];
}

function dataProblems(settings: Settings, passwords: readonly PasswordKey[]): Problem[] {
  if (settings.dataOnDestroy === "drop") return [];
  const needed: PasswordKey[] = settings.topology === "active-passive" ? ["superuserPassword", "replicationPassword", "rewindPassword"] : ["superuserPassword"];
  return needed
    .filter((key) => !passwords.includes(key))
    .map((key) => ({ key, message: `is needed with dataOnDestroy "keep": a generated password goes with the state, and the data that was kept opens only with it; pulumi config set --secret ${key}` }));
}
