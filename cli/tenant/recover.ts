import { openSites } from "../../tenants/move";
import { dropOrphans } from "../../tenants/orphans";
import { lockMover, settle, unsettledTenants, type Settled } from "../../tenants/settle";
import { messageOf, type Site } from "../../tenants/site";
import { canonicalTenant } from "../../tenants/tenantTables";
import { Failure } from "../failure";
import { chooseTenantStack, clustersOf, explained } from "./stacks";

const OUTCOMES: Readonly<Record<Settled["outcome"], string>> = {
  kept: "the move was given up; it is open in",
  taken: "the move was decided, and finished; it lives in",
  cleaned: "leftovers were cleaned up; it lives in",
};

/** `npm run tenant -- recover [stack] [tenant]`: ends moves that stopped half-way. */
export async function recover(words: readonly string[], { json }: { json: boolean }): Promise<void> {
  const { stack, rest } = chooseTenantStack("recover", words);
  const clusters = await clustersOf(stack);
  const names = clusters.map(({ name }) => name);
  const { settled, failed, busy } = await explained(async () => {
    const sites = await openSites(clusters, "citus-sharding recover", []);
    try {
      const [done, problems, moving]: [Settled[], { tenant: string; reason: string }[], string[]] = [[], [], []];
      const asked = await Promise.all(rest.map((id) => canonicalTenant(sites[0] as Site, id)));
      for (const tenant of asked.length > 0 ? asked : await unsettledTenants(sites)) {
        const unlock = await lockMover(sites, tenant);
        if (unlock === undefined) {
          moving.push(tenant);
          continue;
        }
        await settle(sites, names, tenant).then((one) => done.push(one), (error: unknown) => problems.push({ tenant, reason: messageOf(error) }));
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
