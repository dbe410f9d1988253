/** Rows of a question to all clusters, and what the router said of it. */
export interface GatheredRows {
  readonly rows: readonly { readonly cluster: string; readonly row: { readonly tenant: string; readonly account: string } }[];
  /** Whether every cluster answered. */
  readonly complete: boolean;
  /** Whether homes changed all the time that it was asked. */
  readonly moved: boolean;
}

/**
 * What is wrong with the accounts of all tenants as the router gathered them with `here`: each is there once, whatever moves, unless the router says that homes changed or a cluster is missing.
 *
 * @param accounts how many each tenant has.
 * @returns one sentence without a full stop.
 */
export function wrongGathering({ rows, complete, moved }: GatheredRows, tenants: readonly string[], accounts: number): string | undefined {
  if (moved) return undefined;
  for (const tenant of tenants) {
    const own = rows.filter(({ row }) => row.tenant === tenant);
    const twice = own.find(({ row }, index) => own.findIndex((other) => other.row.account === row.account) !== index);
    if (twice !== undefined) return `doubled: account ${twice.row.account} of tenant ${tenant} came from ${own.filter(({ row }) => row.account === twice.row.account).map(({ cluster }) => cluster).join(" and ")}`;
    if (complete && own.length !== accounts) return `missing: ${own.length} of the ${accounts} accounts of tenant ${tenant} were gathered, and every cluster answered`;
    // A cluster that does not answer takes whole tenants with it.
    if (own.length > 0 && own.length < accounts) return `missing: ${own.length} of the ${accounts} accounts of tenant ${tenant} were gathered from ${[...new Set(own.map(({ cluster }) => cluster))].join(" and ")}`;
  }
  return undefined;
}
