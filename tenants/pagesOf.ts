import type { QueryResultRow } from "pg";
import { abandon, type Site } from "./site";

/** So many rows are in memory. */
const AT_ONCE = 5000;

/** Longer than it takes to sort ten millions of records. */
const PAGE_MS = 600_000;

/** The rows of a query on a coordinator, page by page, however many there are: as they were when it began. */
export async function* pagesOf<Row extends QueryResultRow>(site: Site, text: string, values: readonly unknown[]): AsyncGenerator<Row[], undefined> {
  const session = await site.another();
  try {
    await session.query("BEGIN");
    await session.query("SET LOCAL idle_in_transaction_session_timeout = 0");
    await session.query<Row>({ text: `DECLARE pages NO SCROLL CURSOR FOR ${text}`, values, query_timeout: PAGE_MS } as never);
    for (;;) {
      const { rows } = await session.query<Row>({ text: `FETCH ${AT_ONCE} FROM pages`, query_timeout: PAGE_MS } as never);
      if (rows.length > 0) yield rows;
      if (rows.length < AT_ONCE) return undefined;
    }
  } finally {
    // Nothing was written in its transaction.
    abandon(session);
  }
}
