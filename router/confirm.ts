import type { QueryResult, QueryResultRow } from "pg";
import type { Directory } from "./directory";
import type { Refusal } from "./refusal";

/** Runs a statement in one cluster. */
type Run = <Row extends QueryResultRow>(text: string, values?: readonly unknown[]) => Promise<QueryResult<Row>>;

/** Commands that write, as PostgreSQL names them in its answers. */
const WRITES = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"]);

/** What a cluster knows of where a tenant lives. */
const KNOWN = `
  SELECT coalesce(t.home, tenancy.winner($1, r.clusters)) AS home, coalesce(t.epoch, 0) AS epoch,
    CASE WHEN t.home IS NOT NULL THEN t.state WHEN tenancy.winner($1, r.next) <> tenancy.winner($1, r.clusters) THEN 'closed' ELSE 'settled' END AS state
  FROM tenancy.ring r LEFT JOIN tenancy.tenant t ON t.tenant = $1`;

/** A write met no row in a cluster that was not the tenant's home all the time. Like a write that the fence refused, it was not applied. */
export class MissedError extends Error {
  constructor(
    /** What the fence would have said. */
    readonly refusal: Refusal,
  ) {
    super("The write met no row, and the tenant may not have been there any more");
    this.name = new.target.name;
  }
}

/**
 * Whether a write met no row. The fence looks at the rows that a statement wrote, so it let this one pass, and in a home that the tenant has left there are no rows to meet: whoever has not heard of the move yet
 * would believe that there are none. A `WITH` may have written more than its main statement says, and cannot simply be done again.
 */
export function metNothing(text: string, { command, rowCount }: Pick<QueryResult, "command" | "rowCount">): boolean {
  return rowCount === 0 && WRITES.has(command) && !/\bwith\b/i.test(text);
}

/**
 * Asks a cluster, after a write met no row there, whether it has been the tenant's home since.
 *
 * @param epoch the tenant's epoch as it was known before the write.
 * @throws {@link MissedError} if it has not, or may not have.
 */
export async function confirmHome(cluster: string, tenant: string, epoch: number, run: Run): Promise<void> {
  const [known] = (await run<{ home: string; epoch: string; state: string }>(KNOWN, [tenant])).rows;
  if (known === undefined) throw new MissedError({ kind: "unready" });
  const now = Number(known.epoch);
  if (known.home === cluster && known.state !== "closed" && now === epoch) return;
  throw new MissedError({ kind: known.home === cluster && known.state === "closed" ? "closed" : "elsewhere", tenant, home: known.home, epoch: now });
}

/** Runs a tenant's statement in a cluster. @throws {@link MissedError} if it was a write that met no row, and the cluster was not the tenant's home all the time; what `run` throws. */
export async function runConfirmed<Row extends QueryResultRow>(directory: Directory, cluster: string, tenant: string, text: string, values: readonly unknown[] | undefined, run: Run): Promise<QueryResult<Row>> {
  const epoch = directory.epochOf(tenant);
  const result = await run<Row>(text, values);
  if (metNothing(text, result)) await confirmHome(cluster, tenant, epoch, run);
  return result;
}
