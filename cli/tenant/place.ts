import { placeTenant, type Destination } from "../../tenants/place";
import { Failure } from "../failure";
import { untilInterrupted } from "./interrupt";
import { chooseTenantStack, clustersOf, explained } from "./stacks";

export interface PlaceCommandOptions {
  readonly region?: string;
  readonly json: boolean;
}

/** `npm run tenant -- place [stack] <tenant> <cluster>`, or `--region <region>`: gives a tenant that has no rows yet a home. */
export async function place(words: readonly string[], { region, json }: PlaceCommandOptions): Promise<void> {
  const { stack, rest } = chooseTenantStack("tenant -- place", words);
  const names = stack.plan.clusters.map(({ name }) => name);
  const { tenant, destination } = destinationOf(rest, names, region);
  const clusters = await clustersOf(stack);
  const report = await explained(() => untilInterrupted((signal) => placeTenant(clusters, tenant, destination, { signal })));
  if (json) return console.log(JSON.stringify({ stack: stack.name, ...report }, undefined, 2));
  const unreached = report.unreached.length === 0 ? "" : ` ${report.unreached.join(", ")} did not answer, or not on every node; it hears of it later.`;
  console.log(`✓ Tenant ${report.tenant} ${report.placed ? "lives" : "lives already"} in cluster ${report.cluster} (epoch ${report.epoch}).${unreached}`);
}

/** What the words after the stack say. @throws {@link Failure} that shows what was meant. */
export function destinationOf(words: readonly string[], clusters: readonly string[], region: string | undefined): { tenant: string; destination: Destination } {
  const [tenant, cluster, ...more] = words;
  const example = `npm run tenant -- place 42 ${clusters.at(-1) ?? "b"}`;
  if (tenant === undefined) throw new Failure(`Which tenant? For example: ${example}`);
  if (more.length > 0) throw new Failure(`One tenant and one cluster at a time, and there are ${words.join(", ")}. For example: ${example}`);
  if (cluster !== undefined && region !== undefined) throw new Failure(`In cluster ${cluster}, or in a cluster of the region ${region}? Say one of them.`);
  if (region !== undefined) return { tenant, destination: { region } };
  if (cluster === undefined) throw new Failure(`In which cluster? There is ${clusters.join(", ")}; or --region. For example: ${example}`);
  if (!clusters.includes(cluster)) throw new Failure(`There is no cluster "${cluster}". There is ${clusters.join(", ")}.`);
  return { tenant, destination: { cluster } };
}
