import type { QueryResult, QueryResultRow } from "pg";
import type { Directory } from "./directory";
import type { Lookup } from "./lookup";
import type { Refusal } from "./refusal";
import { commandsOf } from "./sqlText";

/** Runs a statement in one cluster. */
export type Run = <Row extends QueryResultRow>(text: string, values?: readonly unknown[]) => Promise<QueryResult<Row>>;

/** Commands that write, as PostgreSQL names them in its answers. */
const WRITES = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"]);

/** How long what was announced may take to be read. */
const HEARD_MS = 500;

/** What a cluster knows of where a tenant lives. */
const KNOWN = `
  SELECT coalesce(t.home, tenancy.winner($1, r.clusters)) AS home, coalesce(t.epoch, 0) AS epoch,
    CASE WHEN t.home IS NOT NULL THEN t.state WHEN tenancy.winner($1, r.next) <> tenancy.winner($1, r.clusters) THEN 'closed' ELSE 'settled' END AS state
  FROM tenancy.ring r LEFT JOIN tenancy.tenant t ON t.tenant = $1`;

/** A write met no row, or a statement read, in a cluster that was not the tenant's home all the time. Like a write that the fence refused, nothing was applied. */
export class MissedError extends Error {
  constructor(
    /** What the fence would have said. */
    readonly refusal: Refusal,
  ) {
    super("The tenant may not have been there any more");
    this.name = new.target.name;
  }
}

/**
 * Whether a write met no row. The fence looks at the rows that a statement wrote, so it let this one pass, and in a home that the tenant has left there are no rows to meet: whoever has not heard of the move yet
 * would believe that there are none. A statement that begins with `WITH` may have written more than its main part says, and cannot simply be done again; what functions, procedures and several statements at once
 * met is not known.
 */
export function metNothing(text: string, { command, rowCount }: Pick<QueryResult, "command" | "rowCount">): boolean {
  return rowCount === 0 && WRITES.has(command) && commandsOf(text)[0] !== "WITH";
}

/**
 * Asks a cluster, after a write met no row there, whether it has been the tenant's home since.
 *
 * @param epoch the tenant's epoch as it was known before the write.
 * @param run not in a transaction whose snapshot is older than the write.
 * @throws {@link MissedError} if it has not, or may not have.
 */
export async function confirmHome(cluster: string, tenant: string, epoch: number, run: Run): Promise<void> {
  const [known] = (await run<{ home: string; epoch: string; state: string }>(KNOWN, [tenant])).rows;
  if (known === undefined) throw new MissedError({ kind: "unready" });
  const now = Number(known.epoch);
  if (known.home === cluster && known.state !== "closed" && now === epoch) return;
  throw new MissedError({ kind: known.home === cluster && known.state === "closed" ? "closed" : "elsewhere", tenant, home: known.home, epoch: now });
}

/** Waits until what was announced of a tenant has been read. @returns whether it has. */
export async function hasHeard(directory: Directory, tenant: string): Promise<boolean> {
  if (directory.isHinted(tenant)) await directory.changed(tenant, HEARD_MS);
  return !directory.isHinted(tenant);
}

/** @throws {@link MissedError} if a cluster is not where the tenant lived all the time, as far as the directory has heard. */
export async function confirmHeard(lookup: Lookup, cluster: string, tenant: string, epoch: number): Promise<void> {
  const { home, epoch: now } = await lookup.find(tenant);
  if (home !== cluster || now !== epoch) throw new MissedError({ kind: "elsewhere", tenant, home, epoch: now });
}
