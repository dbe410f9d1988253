import { pagesOf } from "./pagesOf";
import type { Site } from "./site";

/** A record without a move, as it is compared between clusters. */
export interface SettledRecord {
  readonly home: string;
  readonly epoch: number;
  readonly pinned: boolean;
}

/** What the clusters have of one tenant. */
export interface SettledRecords {
  readonly tenant: string;
  /** By cluster, those that have one. */
  readonly records: ReadonlyMap<string, SettledRecord>;
}

type Row = SettledRecord & { readonly tenant: string };

/**
 * The clusters' records of tenants without a move, tenant by tenant, however many there are: of each cluster as they were when this began.
 *
 * @param where which of them, as a condition on `tenancy.tenant` with its values.
 */
export async function* settledRecords(sites: readonly Site[], where: (site: Site) => { readonly condition: string; readonly values: readonly unknown[] }): AsyncGenerator<SettledRecords> {
  const readers = sites.map((site) => ({ name: site.name, rows: recordsOf(site, where(site)), head: undefined as Row | undefined }));
  try {
    const advance = async (reader: (typeof readers)[number]): Promise<void> => {
      const { value, done } = await reader.rows.next();
      reader.head = done === true ? undefined : value;
    };
    await Promise.all(readers.map(advance));
    for (;;) {
      let tenant: string | undefined;
      for (const { head } of readers) if (head !== undefined && (tenant === undefined || isBefore(head.tenant, tenant))) ({ tenant } = head);
      if (tenant === undefined) return;
      const records = new Map<string, SettledRecord>();
      for (const reader of readers) {
        if (reader.head?.tenant !== tenant) continue;
        const { home, epoch, pinned } = reader.head;
        records.set(reader.name, { home, epoch, pinned });
        await advance(reader);
      }
      yield { tenant, records };
    }
  } finally {
    await Promise.allSettled(readers.map(({ rows }) => rows.return(undefined)));
  }
}

/** A cluster's, in the order of their tenants' bytes, which is the same everywhere, whatever the databases' collations are. */
async function* recordsOf(site: Site, { condition, values }: { readonly condition: string; readonly values: readonly unknown[] }): AsyncGenerator<Row, undefined> {
  const text = `SELECT tenant, home, epoch, pinned FROM ${await site.ownCopy("tenant")} WHERE state = 'settled' AND move IS NULL AND ${condition} ORDER BY tenant COLLATE "C"`;
  for await (const rows of pagesOf<Omit<Row, "epoch"> & { readonly epoch: string }>(site, text, values)) {
    for (const row of rows) yield { ...row, epoch: Number(row.epoch) };
  }
  return undefined;
}

/** UTF-16 has what it writes as surrogates before U+E000, and UTF-8 after U+FFFF. */
function isBefore(one: string, other: string): boolean {
  return /[\ud800-\udfff]/.test(one) || /[\ud800-\udfff]/.test(other) ? Buffer.compare(Buffer.from(one), Buffer.from(other)) < 0 : one < other;
}
