/**
 * The package for `import`. It is the package for `require`, with its names: a process has one copy, so that errors are instances of one class and a transaction is known to both.
 */
export {
  ClusterDownError,
  ConfigurationError,
  createRouter,
  OtherTenantError,
  Placement,
  PoolTimeoutError,
  refusalOf,
  RouterError,
  StatementTimeoutError,
  TenantMovedError,
  TenantMovingError,
  UnknownClusterError,
  UnknownOutcomeError,
} from "../index.js";
export type * from "../index.js";
