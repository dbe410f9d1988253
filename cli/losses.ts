import { holdingsOf } from "../setup/holdings";
import { userTables, type UserTable } from "../setup/userTables";
import { isDatabase, type DataVolume } from "../topology/identity";
import { docker } from "./docker";
import { listed, size } from "./print";

/** What goes with the data of one Citus cluster. */
export interface ClusterLoss {
  readonly cluster: string;
  /** The user's tables that have rows, and other databases; undefined if no coordinator tells. */
  readonly tables: readonly UserTable[] | undefined;
}

/** What goes with a stack's volumes. */
export interface Losses {
  readonly clusters: readonly ClusterLoss[];
  /** The volumes that hold a database, of clusters that do not tell, and their bytes. */
  readonly databases: { readonly volumes: readonly string[]; readonly bytes: number };
}

/** What a state or a plan knows of volumes. */
export interface KnownVolumes {
  /** The name of the cluster of active-passive. */
  readonly scope?: string;
  readonly volumes: readonly DataVolume[];
}

/** A Citus cluster that loses volumes. */
export interface Owner {
  readonly cluster: string;
  /** The containers of which one is its coordinator. */
  readonly coordinators: readonly string[];
  /** Its databases' volumes that go. */
  readonly volumes: readonly string[];
}

/** Nobody waits longer for the size of what nobody can read. */
const SIZE_TIMEOUT_MS = 60_000;

/**
 * What would go with these volumes: by table where a coordinator answers, by volume where none does.
 *
 * @param known what tells whose a volume is: of several, the first that names it.
 * @param image any small one with a shell.
 */
export async function lossesOf(volumes: readonly string[], known: readonly KnownVolumes[], image: string): Promise<Losses> {
  const owners = ownersOf(volumes, known);
  const answers = await Promise.all(owners.map(async (owner) => ({ ...owner, tables: (await userTables(owner.coordinators))?.filter(({ filled }) => filled) })));
  const told = new Set(answers.flatMap((owner) => (owner.tables === undefined ? [] : owner.volumes)));
  const logs = new Set(known.flatMap((one) => one.volumes.flatMap((volume) => (isDatabase(volume) ? [] : [volume.name]))));
  const untold = volumes.filter((volume) => !told.has(volume) && !logs.has(volume));
  const held = [...new Set((await holdingsOf(untold, image)).map(({ volume }) => volume))];
  return { clusters: answers.map(({ cluster, tables }) => ({ cluster, tables })), databases: { volumes: held, bytes: await bytesOf(held, image) } };
}

/** The clusters that lose a database with these volumes, by name. One that a state and a plan both know is one, with the coordinators of both. */
export function ownersOf(volumes: readonly string[], known: readonly KnownVolumes[]): Owner[] {
  const unclaimed = new Set(volumes);
  // Clusters of two prefixes have one name; a group keeps its first member whatever its size.
  const byFirst = new Map<string, Owner>();
  for (const { scope = "", volumes: named } of known) {
    const databases = named.filter(isDatabase);
    for (const cluster of new Set(databases.map((volume) => volume.cluster))) {
      const own = databases.filter((volume) => volume.cluster === cluster);
      const coordinators = own.flatMap(({ container, role }) => (role === "coordinator" ? [container] : [])).sort();
      const [first] = coordinators;
      // Nobody can be asked.
      if (first === undefined) continue;
      const other = byFirst.get(first);
      byFirst.set(first, {
        cluster: cluster ?? scope,
        coordinators: [...new Set([...(other?.coordinators ?? []), ...coordinators])],
        volumes: [...(other?.volumes ?? []), ...own.flatMap(({ name }) => (unclaimed.delete(name) ? [name] : []))],
      });
    }
  }
  return [...byFirst.values()].filter((owner) => owner.volumes.length > 0).sort((one, other) => one.cluster.localeCompare(other.cluster));
}

/** What would be lost, in words; undefined if it is nothing that took writes. */
export function lossSentence({ clusters, databases }: Losses): string | undefined {
  const told = clusters.flatMap(({ cluster, tables = [] }) => (tables.length === 0 ? [] : [{ cluster, tables }]));
  const words = told.map(({ cluster, tables }) => {
    const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
    return `${clusters.length > 1 ? `in ${cluster} ` : ""}${listed(tables.map(inWords))}, ${size(bytes)} in all`;
  });
  const silent = databases.volumes.length === 0 ? [] : [`${size(databases.bytes)} in ${listed(databases.volumes)}, which no coordinator tells about`];
  return words.length + silent.length === 0 ? undefined : [...words, ...silent].join("; ");
}

function inWords({ name, estimatedRows }: UserTable): string {
  return estimatedRows === undefined ? name : `${name} (about ${estimatedRows} ${estimatedRows === 1 ? "row" : "rows"})`;
}

async function bytesOf(volumes: readonly string[], image: string): Promise<number> {
  if (volumes.length === 0) return 0;
  const mounts = volumes.flatMap((volume) => ["--volume", `${volume}:/volumes/${volume}:ro`]);
  const { stdout } = await docker(["run", "--rm", "--network", "none", "--user", "0", ...mounts, "--entrypoint", "du", image, "-sk", "/volumes"], SIZE_TIMEOUT_MS);
  return Number(/^\d+/.exec(stdout)?.[0] ?? 0) * 1024;
}
