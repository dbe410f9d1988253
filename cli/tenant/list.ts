import colors from "picocolors";
import { weightsOf } from "../../router/tickets";
import { openSites } from "../../tenants/move";
import { tenantsOf } from "../../tenants/plan";
import { regionsOf } from "../../tenants/record";
import { newestRing } from "../../tenants/ring";
import { Failure } from "../failure";
import { size } from "../print";
import { table } from "../table";
import { clustersOf, explained, onlyTenantStack } from "./stacks";

export interface ListCommandOptions {
  readonly cluster?: string;
  readonly limit: number;
  readonly json: boolean;
}

/** `npm run tenant -- list [stack] [--cluster a]`: the tenants that have rows, by cluster, the largest first. */
export async function list(words: readonly string[], { cluster, limit, json }: ListCommandOptions): Promise<void> {
  const stack = onlyTenantStack("tenant -- list", words);
  const names = stack.plan.clusters.map(({ name }) => name);
  if (cluster !== undefined && !names.includes(cluster)) throw new Failure(`${stack.name} has no cluster "${cluster}". Its clusters are ${names.join(", ")}.`);
  if (!Number.isInteger(limit) || limit < 1) throw new Failure("--limit must be a whole number of 1 or more.");
  const clusters = (await clustersOf(stack)).filter(({ name }) => cluster === undefined || name === cluster);
  const found = await explained(async () => {
    const sites = await openSites(clusters, "citus-sharding tenant", clusters.map(({ name }) => name));
    try {
      const ring = await newestRing(sites);
      const [weights, regions] = [weightsOf(ring.clusters), await regionsOf(sites, ring)];
      return await Promise.all(sites.map(async (site) => ({ cluster: site.name, weight: weights[site.name] ?? 0, ...(regions[site.name] !== undefined && { region: regions[site.name] }), tenants: await tenantsOf(site) })));
    } finally {
      for (const site of sites) site.close();
    }
  });
  if (json) return console.log(JSON.stringify({ stack: stack.name, clusters: found }, undefined, 2));
  // Where they tell clusters apart.
  const [weighted, placed] = [new Set(found.map(({ weight }) => weight)).size > 1 || found.some(({ weight }) => weight > 1), found.some(({ region }) => region !== undefined)];
  const about = ({ weight, region = "" }: { weight: number; region?: string | undefined }): string[] => [...(weighted ? [String(weight)] : []), ...(placed ? [region] : [])];
  const summed = found.map(({ tenants, ...known }) => [known, tenants.length, tenants.reduce((sum, { rows }) => sum + rows, 0), tenants.reduce((sum, { bytes }) => sum + bytes, 0)] as const);
  const number = (value: number): string => value.toLocaleString("en-US");
  const paint = (cell: string, row: number): string => (row === 0 ? colors.dim(cell) : cell);
  console.log(table([["cluster", ...(weighted ? ["weight"] : []), ...(placed ? ["region"] : []), "tenants", "rows", "bytes"], ...summed.map(([known, tenants, rows, bytes]) => [known.cluster, ...about(known), number(tenants), number(rows), size(bytes)])], paint).join("\n"));
  for (const { cluster: name, tenants } of found) {
    if (tenants.length === 0) continue;
    const shown = tenants.slice(0, limit).map(({ tenant, rows, bytes }) => [tenant, number(rows), size(bytes)]);
    const rest = tenants.length > limit ? ["", `  and ${number(tenants.length - limit)} more: --limit, or --json for all`] : [];
    console.log(["", `The largest of ${name}:`, ...table([["tenant", "rows", "bytes"], ...shown], paint), ...rest].join("\n"));
  }
}
