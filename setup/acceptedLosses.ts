/** Workers and clusters whose data may be lost, from CITUS_ACCEPT_LOSS. */
export function acceptedLosses(): ReadonlySet<string> {
  return new Set((process.env["CITUS_ACCEPT_LOSS"] ?? "").split(",").filter((name) => name !== ""));
}
