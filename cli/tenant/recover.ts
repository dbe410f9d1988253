import { openSites } from "../../tenants/move";
import { dropOrphans } from "../../tenants/orphans";
import { lockMovers, settleAll, unsettledTenants, type Settled } from "../../tenants/settle";
import { messageOf, type Site } from "../../tenants/site";
import { canonicalTenant } from "../../tenants/tenantTables";
import { Failure } from "../failure";
import { chooseTenantStack, clustersOf, explained } from "./stacks";

/** Those of a rebalance that was killed, of which thousands may be under way, together. */
const AT_ONCE = 500;

const OUTCOMES: Readonly<Record<Settled["outcome"], string>> = {
  kept: "the move was given up; it is open in",
  taken: "the move was decided, and finished; it lives in",
  cleaned: "leftovers were cleaned up; it lives in",
};

/** `npm run tenant -- recover [stack] [tenant]`: ends moves that stopped half-way. */
export async function recover(words: readonly string[], { json }: { json: boolean }): Promise<void> {
  const { stack, rest } = chooseTenantStack("tenant -- recover", words);
  const clusters = await clustersOf(stack);
  const names = clusters.map(({ name }) => name);
  const { settled, failed, busy } = await explained(async () => {
    const sites = await openSites(clusters, "citus-sharding recover", []);
    try {
      const [done, problems, moving]: [Settled[], { tenant: string; reason: string }[], string[]] = [[], [], []];
      const asked = await Promise.all(rest.map((id) => canonicalTenant(sites[0] as Site, id)));
      const unsettled = asked.length > 0 ? [...new Set(asked)] : await unsettledTenants(sites);
      for (let from = 0; from < unsettled.length; from += AT_ONCE) {
        const some = unsettled.slice(from, from + AT_ONCE);
        const { tenants, unlock } = await lockMovers(sites, some);
        moving.push(...some.filter((tenant) => !tenants.includes(tenant)));
        const { settled: ended, failed: left } = await settleAll(sites, names, tenants);
        done.push(...ended);
        for (const [tenant, error] of left) problems.push({ tenant, reason: messageOf(error) });
        await unlock();
      }
      // What a move left that no record names is nobody's in particular.
      await dropOrphans(sites);
      return { settled: done, failed: problems, busy: moving };
    } finally {
      for (const site of sites) site.close();
    }
  });
  if (json) console.log(JSON.stringify({ stack: stack.name, settled, failed, busy }, undefined, 2));
  else {
    for (const { tenant, outcome, home, unreached } of settled) console.log(`✓ Tenant ${tenant}: ${OUTCOMES[outcome]} cluster ${home}.${unreached.length > 0 ? ` ${unreached.join(", ")} did not answer: run it again later.` : ""}`);
    for (const tenant of busy) console.log(`Tenant ${tenant} is being moved right now.`);
    if (settled.length + failed.length + busy.length === 0) console.log("No move stopped half-way.");
  }
  const [first] = failed;
  if (first !== undefined) throw new Failure(`${failed.length === 1 ? "A tenant" : `${failed.length} tenants`} could not be settled; the first is ${first.tenant}: ${first.reason}.`);
}
