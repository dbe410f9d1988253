import type { Site } from "./site";

/** The steps in which a cluster comes to pass writes of its own tenants without a query: the ring goes into the condition, then each node watches its copies, then it works out its marks. */
const STEPS = ["SELECT tenancy.quicken()", ...["SELECT tenancy.watch()", "SELECT tenancy.arm()"].map((statement) => `SELECT FROM run_command_on_all_nodes('${statement}')`)];

/** Has clusters pass the writes of their own tenants quickly again after ring or records were changed. What fails costs a closer look at each write and nothing else, until this is done again. */
export async function quicken(sites: readonly Site[]): Promise<void> {
  await Promise.allSettled(
    sites.map(async ({ coordinator }) => {
      for (const step of STEPS) await coordinator.query(step);
    }),
  );
}
