import { locateTenant } from "../../tenants/locate";
import { openSites } from "../../tenants/move";
import { chooseTenantStack, clustersOf, explained, onlyWord } from "./stacks";

/** `npm run tenant -- locate [stack] <tenant>`: where a tenant lives, and why. */
export async function locate(words: readonly string[], { json }: { json: boolean }): Promise<void> {
  const { stack, rest } = chooseTenantStack("tenant -- locate", words);
  const id = onlyWord(rest, "tenant", "npm run tenant -- locate 42");
  const found = await explained(async () => {
    const sites = await openSites(await clustersOf(stack), "citus-sharding tenant", []);
    try {
      return await locateTenant(sites, id);
    } finally {
      for (const site of sites) site.close();
    }
  });
  if (json) return console.log(JSON.stringify({ stack: stack.name, ...found }, undefined, 2));
  const { tenant, home, epoch, by, state, pinned, target } = found;
  const why = by === "hash" ? "by the hash of its id" : pinned ? "where it was when the clusters changed; npm run tenant -- rebalance moves it" : `where it was moved or placed, epoch ${epoch}`;
  const doing = state === "settled" ? "" : ` It is being moved to ${target ?? "another cluster"}${state === "closed" ? ", and takes no writes for a moment" : ""}; if nobody does that any more: npm run tenant -- recover`;
  console.log(`Tenant ${tenant} lives in cluster ${home}, ${why}.${doing}`);
}
