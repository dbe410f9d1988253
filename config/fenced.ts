import type { ActiveActiveSettings } from "./settings";

/** Whether each cluster of a stack refuses writes of tenants whose home is another one: where there are tables with tenants in them, and nobody has switched it off. */
export function isFenced({ tenantFence, schema }: ActiveActiveSettings): boolean {
  return tenantFence && Object.keys(schema.tables).length > 0;
}
