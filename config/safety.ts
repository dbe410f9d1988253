import { postgresMajorOf } from "./image";
import { objectiveProblems } from "./objectives";
import { workersByKey } from "./rules";
import type { ActiveActiveSettings, ActivePassiveSettings, PasswordKey, Settings } from "./settings";

/** A choice that is legal and dangerous: the key, and what follows from it. */
export interface Danger {
  readonly key: string;
  readonly consequence: string;
}

/** The first PostgreSQL that has login event triggers, which keep Citus from members in recovery. */
export const LOGIN_TRIGGERS_SINCE = 17;

/** What a user should know before this stack is relied on. */
export function dangersOf(settings: Settings): Danger[] {
  const own = settings.topology === "active-passive" ? memberDangers(settings) : clusterDangers(settings);
  return [...own, ...replicationDangers(settings), ...shardDangers(settings), ...addressDangers(settings), ...objectiveProblems(settings)];
}

/** What a user should know of the secrets in the stack's configuration file: passwords given, and top-level keys that are encrypted. */
export function secretDangers(passwords: readonly PasswordKey[], secretKeys: readonly string[]): Danger[] {
  const plain = passwords.filter((key) => !secretKeys.includes(key));
  const exposed = secretKeys.filter((key) => !(passwords as readonly string[]).includes(key));
  return [
    ...plain.map((key) => ({ key, consequence: `stands in the stack's configuration file as plain text. Encrypt it: pulumi config set --secret ${key}` })),
    ...exposed.map((key) => ({ key, consequence: "is a secret in the stack's configuration file, but only passwords stay secret: its value stands in the state as plain text." })),
  ];
}

function memberDangers({ coordinators, etcdMembers, images, postgresMajor = postgresMajorOf(images.citus) }: ActivePassiveSettings): Danger[] {
  return [
    ...(postgresMajor !== undefined && postgresMajor < LOGIN_TRIGGERS_SINCE
      ? [{ key: "images.citus", consequence: `PostgreSQL ${postgresMajor} cannot keep Citus from a member that is in recovery: when all members end at once, half of a transaction over several shards can be lost. Use ${LOGIN_TRIGGERS_SINCE} or newer.` }]
      : []),
    ...(coordinators === 1 ? [{ key: "coordinators", consequence: "1 coordinator has no standby: when it is down, the cluster is down. Use 3." }] : []),
    ...(coordinators === 2
      ? [{ key: "coordinators", consequence: "2 coordinators leave no synchronous standby after the first failure: a second one can lose writes. Use 3." }]
      : []),
    ...(etcdMembers === 1 ? [{ key: "etcdMembers", consequence: "1 etcd member is a single point of failure: without it no failover happens. Use 3." }] : []),
  ];
}

function clusterDangers({ clusters }: ActiveActiveSettings): Danger[] {
  const names = Object.keys(clusters);
  const moving = names.filter((name) => name.length > 1 && clusters[name]?.port === undefined);
  return [
    ...(names.length === 1 ? [{ key: "clusters", consequence: `${names[0]} is the only cluster: when its coordinator is down, everything is down. Use 2 or more.` }] : []),
    ...moving.map((name) => ({ key: `clusters.${name}.port`, consequence: "is not set, so it depends on the names of the other clusters and may move when one is added. Set it." })),
  ];
}

function replicationDangers({ replicationFactor, guard }: Settings): Danger[] {
  if (replicationFactor === 1) return [];
  const writes = guard
    ? `replication factor ${replicationFactor} survives one worker at a time: when it dies, writes to its shards fail or wait for about a second, until the guard has disabled it. `
    : `replication factor ${replicationFactor} without the guard keeps reads alive when a worker dies, not writes: a write to a shard with a dead placement fails until the worker is back or is disabled. `;
  const consequence =
    writes +
    "It also rules out foreign keys between distributed tables and SELECT … FOR UPDATE.";
  return [{ key: "replicationFactor", consequence }];
}

/** Placements go round: shard n and its copies stand on the workers n, n + 1, … */
function shardDangers(settings: Settings): Danger[] {
  const { shardCount, replicationFactor } = settings;
  return workersByKey(settings)
    .filter(({ names }) => shardCount < names.length)
    .map(({ key, names }) => {
      const idle = Math.max(0, names.length - (shardCount + replicationFactor - 1));
      const effect = idle > 0 ? `leave ${idle} without data` : "cannot be spread evenly";
      return { key: "shardCount", consequence: `${shardCount} shards over the ${names.length} workers of ${key} ${effect}. Use at least ${names.length}.` };
    });
}

function addressDangers({ bindAddress }: Settings): Danger[] {
  if (bindAddress.startsWith("127.") || bindAddress === "::1") return [];
  const consequence = `the published ports on ${bindAddress} are open to other machines; the password is all that protects them, and node certificates are self-signed.`;
  return [{ key: "bindAddress", consequence }];
}
