import type { StackIdentity } from "../topology/identity";
import { psqlIn, userTables } from "./userTables";

/** A cluster that a stack had and has no more. */
export interface RemovedCluster {
  readonly name: string;
  /** The user's tables that have rows there, and other databases; undefined if it does not tell. */
  readonly filled: readonly string[] | undefined;
  /** Whether tenants may be born there, as the clusters have it. */
  readonly ownsTenants: boolean;
}

const RING = "SELECT CASE WHEN to_regclass('tenancy.ring') IS NULL THEN 'SELECT NULL' ELSE 'SELECT json_build_object(''version'', version, ''clusters'', clusters || coalesce(next, ''{}'')) FROM tenancy.ring' END \\gexec\n";

/** What is in the clusters that `before` has and `now` has not, of those whose containers exist. */
export async function removedClusters(before: StackIdentity, now: StackIdentity): Promise<RemovedCluster[]> {
  const coordinatorOf = (cluster: string): string[] => before.volumes.flatMap(({ container, role, cluster: of }) => (role === "coordinator" && of === cluster ? [container] : []));
  const gone = before.clusters.filter((cluster) => !now.clusters.includes(cluster));
  if (gone.length === 0) return [];
  const rings = await Promise.all(before.clusters.flatMap(coordinatorOf).map(async (container) => ringIn((await psqlIn(container, RING)) ?? "")));
  const newest = rings.reduce((one, other) => (other.version > one.version ? other : one), NO_RING);
  return Promise.all(
    gone.map(async (name) => ({
      name,
      filled: (await userTables(coordinatorOf(name)))?.filter(({ filled }) => filled).map((table) => table.name),
      ownsTenants: newest.clusters.includes(name),
    })),
  );
}

interface Ring {
  readonly version: number;
  readonly clusters: readonly string[];
}

const NO_RING: Ring = { version: 0, clusters: [] };

function ringIn(printed: string): Ring {
  return printed.startsWith("{") ? (JSON.parse(printed) as Ring) : NO_RING;
}
