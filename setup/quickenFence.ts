import { ARM_NODES } from "../topology/fence";
import type { Coordinator } from "./coordinator";

/**
 * Has every node pass the writes of its own tenants without a query (docs/tenants.md, "The fence"). Where that cannot be just now, because somebody writes a record or changes the ring, each write is looked at closer, as it was
 * before, until this is done again.
 */
export async function quickenFence(coordinator: Coordinator): Promise<void> {
  const { ready } = await coordinator.row<{ ready: boolean }>("SELECT tenancy.quicken() AS ready");
  if (!ready) return;
  for (const statement of ARM_NODES) await coordinator.query("SELECT success, result FROM run_command_on_all_nodes($1)", [statement]);
}
