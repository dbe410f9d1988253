/** The entry for OpenTelemetry, for `import`: one copy, as of the package. */
export { instrument } from "../opentelemetry.js";
export type * from "../opentelemetry.js";
