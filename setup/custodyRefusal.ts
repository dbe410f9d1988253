import type { PasswordKey } from "../config/settings";
import { isDatabase, type StackIdentity } from "../topology/identity";
import type { Holding } from "./holdings";
import type { RemovedCluster } from "./removedClusters";

/** An image of a database, and the PostgreSQL that it says it has. */
export interface ImageMajor {
  /** The setting that names it. */
  readonly key: string;
  readonly postgresMajor: number;
}

/** What is known when a stack's settings are judged against the data that there is. */
export interface Custody {
  /** The stack's name in Pulumi. */
  readonly stack: string;
  /** What the last update went by; absent before the first, and where an older version of the project made it. */
  readonly before?: StackIdentity;
  readonly now: StackIdentity;
  /** What the volumes of both hold that were looked at. */
  readonly holdings: readonly Holding[];
  readonly images: readonly ImageMajor[];
  readonly removed: readonly RemovedCluster[];
  /** Passwords that are other ones than the data was used with. */
  readonly changedPasswords: readonly PasswordKey[];
  /** Passwords that nobody gave and nothing proves: data that was kept has others. */
  readonly generatedPasswords: readonly PasswordKey[];
  /** Whether the clusters refuse writes of each other's tenants, so that a cluster may be drained. */
  readonly fence: boolean;
  /** Clusters whose data may be lost. */
  readonly acceptLoss: ReadonlySet<string>;
}

/**
 * Why these settings would lose sight of data, or run on data that is not theirs, with the way that keeps it; undefined if they do not.
 * Where a stack has no data, everything may change.
 */
export function custodyRefusal(custody: Custody): string | undefined {
  const problem = changedName(custody) ?? changedMajor(custody) ?? foreignScope(custody) ?? changedPassword(custody) ?? lostPasswords(custody) ?? lostClusters(custody);
  return problem && `${problem} Nothing was touched.`;
}

/** A key that names what the stack has: another value is another stack, with other volumes or another group in etcd. */
function changedName({ stack, before, now, holdings }: Custody): string | undefined {
  const kept = before && heldBy(before, holdings);
  if (before === undefined || kept === undefined) return undefined;
  const set = `npm run pulumi -- config set`;
  const another = `For a second stack beside it, copy Pulumi.${stack}.yaml to one of another name, and set prefix and the ports there.`;
  if (before.topology !== now.topology) {
    return (
      `topology is ${now.topology}, and ${stack} has data as ${before.topology}: ${kept} would be left behind, and a new, empty stack made in its place. ` +
      `Put it back (${set} topology ${before.topology} --stack ${stack}). To change over, make a stack of another name and prefix beside it, copy the rows (pg_dump --data-only, psql), and take this one down.`
    );
  }
  if (before.prefix !== now.prefix) {
    const back = before.prefix === "" ? `npm run pulumi -- config rm prefix --stack ${stack}` : `${set} prefix ${before.prefix} --stack ${stack}`;
    return `prefix is "${now.prefix}", and the data of ${stack} is under "${before.prefix}": ${kept} would be left behind, and a new, empty stack made in its place. Put it back (${back}). ${another}`;
  }
  if (before.scope !== undefined && now.scope !== undefined && before.scope !== now.scope) {
    return (
      `scope is "${now.scope}", and the data of ${stack} belongs to "${before.scope}" in etcd: under another name Patroni knows neither who led nor who has every write, and whichever member starts first would lead, ` +
      `with the writes that it missed lost for all. Put it back (${set} scope ${before.scope} --stack ${stack}).`
    );
  }
  return undefined;
}

function changedMajor({ stack, before, now, holdings, images }: Custody): string | undefined {
  const names = new Map(now.volumes.filter(isDatabase).map(({ name, container }) => [name, container]));
  const own = holdings.filter(({ volume }) => names.has(volume));
  const present = new Set(own.flatMap(({ volume, postgresMajor }) => (postgresMajor === now.postgresMajor ? [volume] : [])));
  // A volume may hold the data of an older major beside that of the present one, left there by an upgrade by hand.
  const others = own.filter(({ volume }) => !present.has(volume));
  const [other] = others;
  const way =
    `Put back the image that the data was made with (images.citus, postgresMajor). To change over, make a stack of another name and prefix with the new image beside it, copy the rows (pg_dump, psql), and take this one down.`;
  if (other !== undefined) {
    const all = others.filter(({ postgresMajor }) => postgresMajor === other.postgresMajor).length;
    return (
      `The settings of ${stack} mean PostgreSQL ${now.postgresMajor}, and ${other.volume}${all > 1 ? ` and ${all - 1} other ${all > 2 ? "volumes" : "volume"}` : ""} ${all > 1 ? "hold" : "holds"} data of PostgreSQL ${other.postgresMajor}: ` +
      `the new server would not start on it, or begin anew and empty beside it. ${way}`
    );
  }
  const wrong = images.find(({ postgresMajor }) => postgresMajor !== now.postgresMajor);
  if (wrong === undefined) return undefined;
  const data = before === undefined ? "" : ` ${way}`;
  return `${wrong.key} holds PostgreSQL ${wrong.postgresMajor}, and the settings of ${stack} mean ${now.postgresMajor}: no server would start.${data === "" ? ` Set postgresMajor to ${wrong.postgresMajor}, or name another image.` : data}`;
}

/** Data that was kept from an earlier stack, of which no update knows any more. */
function foreignScope({ stack, now, holdings }: Custody): string | undefined {
  const names = new Set(now.volumes.map(({ name }) => name));
  const other = holdings.find(({ volume, scope }) => names.has(volume) && scope !== undefined && now.scope !== undefined && scope !== now.scope);
  if (other === undefined) return undefined;
  return (
    `scope is "${now.scope ?? ""}", and ${other.volume} holds data of "${other.scope ?? ""}": under another name Patroni knows neither who led nor who has every write. ` +
    `Put it back (npm run pulumi -- config set scope ${other.scope ?? ""} --stack ${stack}).`
  );
}

function changedPassword({ stack, before, now, holdings, changedPasswords: [key] }: Custody): string | undefined {
  if (key === undefined || heldBy(now, holdings) === undefined) return undefined;
  const [wasGiven, isGiven] = [before?.passwords.includes(key) ?? isGivenNow(now, key), isGivenNow(now, key)];
  const back =
    isGiven && before !== undefined && !wasGiven
      ? `It was generated, and is in the state: npm run pulumi -- config rm ${key} --stack ${stack} goes back to it.`
      : `Put the old one back: npm run pulumi -- config set --secret ${key} --stack ${stack}.`;
  return `${key} is another one than the data of ${stack} was made with: databases keep theirs, so that no node would reach another, nor a client any. ${back} Changing the password of a stack with data is not done yet.`;
}

function isGivenNow(now: StackIdentity, key: PasswordKey): boolean {
  return now.passwords.includes(key);
}

/** Data that was kept from an earlier stack, and the passwords that were generated for it went with its state. */
function lostPasswords({ stack, now, holdings, generatedPasswords }: Custody): string | undefined {
  if (generatedPasswords.length === 0 || heldBy(now, holdings) === undefined) return undefined;
  const kept = now.volumes.filter((volume) => !isDatabase(volume) || holdings.some((holding) => holding.volume === volume.name));
  return keptWithoutPasswords(stack, kept.map(({ name }) => name), generatedPasswords);
}

/** Why data that was kept from an earlier stack cannot be used without its passwords, with the way that keeps it. */
export function keptWithoutPasswords(stack: string, volumes: readonly string[], missing: readonly PasswordKey[]): string {
  const [is, one] = missing.length === 1 ? ["is", "another one"] : ["are", "others"];
  return (
    `There are volumes of an earlier ${stack} (${volumes.join(", ")}), and ${missing.join(" and ")} ${is} not set: ${one} would be generated, and the data opens only with what it was made with. ` +
    `Set that (${missing.map((key) => `npm run pulumi -- config set --secret ${key} --stack ${stack}`).join(", ")}). If nobody has it any more, remove the volumes with all their data (docker volume rm ${volumes.join(" ")}).`
  );
}

function lostClusters({ stack, before, now, holdings, removed, fence, acceptLoss }: Custody): string | undefined {
  const hasDatabase = (cluster: string): boolean => heldBy({ volumes: before?.volumes.filter((volume) => volume.cluster === cluster) ?? [] }, holdings) !== undefined;
  const lost = removed
    // One that never came to be does not answer either, and has nothing to lose.
    .map(({ filled, ...cluster }) => ({ ...cluster, filled: filled ?? (hasDatabase(cluster.name) ? undefined : []) }))
    .filter(({ name, filled, ownsTenants }) => !acceptLoss.has(name) && (ownsTenants || filled === undefined || filled.length > 0));
  const [first] = lost;
  if (first === undefined) return undefined;
  const names = lost.map(({ name }) => name);
  const [is, them, their] = lost.length === 1 ? ["is", "it", "its"] : ["are", "them", "their"];
  const what =
    first.filled === undefined
      ? `cluster ${first.name} does not answer, so that nobody knows what is in it`
      : first.filled.length > 0
        ? `cluster ${first.name} has data in ${first.filled.join(", ")}`
        : `tenants are born in cluster ${first.name}`;
  const drain = fence ? ` To take ${them} out, put ${them} back, move ${their} tenants away (${names.map((name) => `npm run tenant -- drain ${name}`).join(", ")}), and then leave ${them} out.` : "";
  return (
    `${names.join(" and ")} ${is} no longer among the clusters of ${stack} (now ${now.clusters.join(", ")}), and ${what}. A cluster has no other name, and a key of clusters takes the place of the default ones, so list all of them: ` +
    `${names.map((name) => `npm run pulumi -- config set --path clusters.${name}.workers <count> --stack ${stack}`).join(", ")}.${drain} ` +
    `To give up ${their} data: npm run up -- ${stack} --accept-loss ${names.join(",")}; with plain Pulumi: CITUS_ACCEPT_LOSS=${names.join(",")} pulumi up.`
  );
}

/** The volumes of an identity that hold a database, in words; undefined if none does. */
function heldBy({ volumes }: Pick<StackIdentity, "volumes">, holdings: readonly Holding[]): string | undefined {
  const held = volumes.filter(({ name }) => holdings.some(({ volume }) => volume === name)).map(({ name }) => name);
  if (held.length === 0) return undefined;
  return `the data in ${held[0] ?? ""}${held.length > 1 ? ` and ${held.length - 1} other ${held.length > 2 ? "volumes" : "volume"}` : ""}`;
}
