/** The entry for placing tenants, for `import`: one copy, as of the package. */
export { createPlacement, PlacementError, TenantPlacement } from "../tenantPlacement.js";
export type * from "../tenantPlacement.js";
