/**
 * The tenant router of the active-active stack, for applications: every tenant's statements go to the cluster that it lives in. It is a library on `pg`, and knows nothing of Pulumi.
 */
export type { Availability, Comparison, DiagnosticMessages, Operation, PoolWait, Refused, Repeat, TenantWait } from "./diagnostics";
export type { Change, Location, Ring, TenantRecord } from "./directory";
export {
  ClusterDownError,
  ConfigurationError,
  OtherTenantError,
  PoolTimeoutError,
  RouterError,
  StatementTimeoutError,
  TenantMovedError,
  TenantMovingError,
  UnknownClusterError,
  UnknownOutcomeError,
  type Applied,
  type RouterErrorCode,
} from "./errors";
export type { Claimed, KeyLookup } from "./keyLookup";
export type { ClusterLimits, ClusterOptions, ConnectHook, DrainOptions, RouterOptions, TenantLimits } from "./options";
export { Placement } from "./placement";
export { refusalOf, type Refusal } from "./refusal";
export { createRouter, type ClusterState, type GatherOptions, type Gathered, type GatheringText, type Router, type RouterEvents } from "./router";
export type { Queryable, QueryOptions, Tenant, TenantClient, TransactionOptions } from "./tenant";
export type { TenantId } from "./tenantId";
