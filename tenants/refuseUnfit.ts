import type { Site } from "./site";
import { TenantError } from "./tenantError";

/** What placing writes, for who is no superuser. */
const RIGHTS = "INSERT and UPDATE on tenancy.tenant, UPDATE on tenancy.generation, SELECT on tenancy.horizon, and SELECT, INSERT and UPDATE on tenancy.handover";

const FITNESS = `
  SELECT pg_backend_pid() AS pid, (SELECT self FROM tenancy.ring) AS self, current_user AS role, current_setting('is_superuser') = 'on' AS superuser,
    has_table_privilege('tenancy.tenant', 'INSERT') AND has_table_privilege('tenancy.tenant', 'UPDATE') AND has_table_privilege('tenancy.generation', 'UPDATE') AND has_table_privilege('tenancy.horizon', 'SELECT')
    AND has_table_privilege('tenancy.handover', 'SELECT') AND has_table_privilege('tenancy.handover', 'INSERT') AND has_table_privilege('tenancy.handover', 'UPDATE') AS writes`;

interface Fitness {
  readonly pid: number;
  readonly self: string | null;
  readonly role: string;
  readonly superuser: boolean;
  readonly writes: boolean;
}

/**
 * @param work what a session on the cluster's coordinator is for.
 * @throws {@link TenantError} if it leads to another cluster, or not to one backend as long as it lives, which locks need, or its role may not do that.
 */
export async function refuseUnfit({ name, coordinator }: Site, work: "locate" | "place" | "move"): Promise<void> {
  const { rows } = await coordinator.query<Fitness>(FITNESS).catch((error: unknown) => {
    const { code = "", message } = error as { code?: string; message: string };
    if (code === "42P01" || code === "3F000" || code === "42501") throw new TenantError(`Cluster ${name} has no directory of tenants that one may use here (${message}). It needs the fence (tenantFence: true, npm run up), and the right database and role`, { cause: error });
    throw error;
  });
  const [{ pid, self, role, superuser, writes }] = rows as [Fitness];
  if ((self ?? name) !== name) throw new TenantError(`The address of cluster ${name} leads to cluster ${self ?? ""}. Give each cluster's address under its own name`);
  if (work !== "locate" && pid !== (coordinator as unknown as { processID: number }).processID) throw new TenantError(`Cluster ${name} is reached through a pooler, behind which no lock can be kept. To place and to move tenants takes its own address`);
  if (work === "move" && !superuser) throw new TenantError(`The role ${role} of cluster ${name} cannot move tenants: that takes a superuser, on the coordinator and on each worker`);
  if (work === "place" && !superuser && !writes) throw new TenantError(`The role ${role} of cluster ${name} cannot place tenants: that takes a superuser, or ${RIGHTS}`);
}
