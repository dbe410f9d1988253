import { holdingsOf } from "../setup/holdings";
import { userTables, type UserTable } from "../setup/userTables";
import { docker } from "./docker";
import { listed, size } from "./print";
import type { Stack } from "./stack";

/** What goes with the data of one Citus cluster. */
export interface ClusterLoss {
  readonly cluster: string;
  /** The user's tables that have rows, and other databases; undefined if no coordinator tells. */
  readonly tables: readonly UserTable[] | undefined;
}

/** What goes with a stack's volumes. */
export interface Losses {
  readonly clusters: readonly ClusterLoss[];
  /** The volumes that hold a database, and their bytes; looked at only where a cluster does not tell. */
  readonly databases: { readonly volumes: readonly string[]; readonly bytes: number };
}

const NONE = { volumes: [], bytes: 0 };
/** Nobody waits longer for the size of what nobody can read. */
const SIZE_TIMEOUT_MS = 60_000;

/** What would go with these volumes of a stack: by table where a coordinator answers, by volume where none does. */
export async function lossesOf({ plan, settings }: Pick<Stack, "plan" | "settings">, volumes: readonly string[]): Promise<Losses> {
  if (volumes.length === 0) return { clusters: [], databases: NONE };
  const clusters = await Promise.all(
    plan.clusters.map(async ({ name, coordinator }) => {
      const coordinators = coordinator === undefined ? (plan.coordinators?.members ?? []) : [coordinator];
      return { cluster: name, tables: (await userTables(coordinators.map((member) => member.name)))?.filter(({ filled }) => filled) };
    }),
  );
  if (clusters.every(({ tables }) => tables !== undefined)) return { clusters, databases: NONE };
  const held = [...new Set((await holdingsOf(volumes, settings.images.holder)).map(({ volume }) => volume))];
  return { clusters, databases: { volumes: held, bytes: await bytesOf(held, settings.images.holder) } };
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
