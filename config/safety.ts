import { workersByKey } from "./rules";
import type { PasswordKey, Settings } from "./settings";

/** A choice that is legal and dangerous: the key, and what follows from it. */
export interface Danger {
  readonly key: string;
  readonly consequence: string;
}

/** What a user should know before this stack is relied on. */
export function dangersOf(settings: Settings): Danger[] {
  const dangers: Danger[] = [];
  const warn = (key: string, consequence: string): void => void dangers.push({ key, consequence });
  if (settings.topology === "active-passive") {
    if (settings.coordinators === 1) warn("coordinators", "1 coordinator has no standby: when it is down, the cluster is down. Use 3.");
    if (settings.coordinators === 2) warn("coordinators", "2 coordinators leave no synchronous standby after the first failure: a second one can lose writes. Use 3.");
    if (settings.etcdMembers === 1) warn("etcdMembers", "1 etcd member is a single point of failure: without it no failover happens. Use 3.");
  }
  if (settings.replicationFactor > 1) {
    warn(
      "replicationFactor",
      `replication factor ${settings.replicationFactor} keeps reads alive when a worker dies, not writes: a write to a shard with a dead placement fails until the worker is back or is disabled. ` +
        "It also rules out foreign keys between distributed tables and SELECT … FOR UPDATE.",
    );
  }
  for (const { key, names } of workersByKey(settings)) {
    if (settings.shardCount < names.length) warn("shardCount", `${settings.shardCount} shards over the ${names.length} workers of ${key} leave ${names.length - settings.shardCount} without data. Use at least ${names.length}.`);
  }
  if (settings.bindAddress !== "127.0.0.1" && settings.bindAddress !== "::1") {
    warn("bindAddress", `the published ports on ${settings.bindAddress} are open to other machines; the password is all that protects them, and node certificates are self-signed.`);
  }
  if (settings.topology === "active-active") {
    for (const [name, { port }] of Object.entries(settings.clusters)) {
      if (port === undefined && name.length > 1) warn(`clusters.${name}.port`, "is not set, so it depends on the names of the other clusters and may move when one is added. Set it.");
    }
  }
  return dangers;
}

/** A password that stands in the configuration file as plain text. */
export function plainPasswordDanger(key: PasswordKey): Danger {
  return { key, consequence: `stands in the stack's configuration file as plain text. Encrypt it: pulumi config set --secret ${key}` };
}
