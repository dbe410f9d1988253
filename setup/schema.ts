import { setTimeout as delay } from "node:timers/promises";
import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import type { Report } from "./report";
import { reason, SetupError } from "./setupError";
import { lineAt, splitStatements } from "./statements";

/** How long a statement waits for a lock: meanwhile every later query of the table waits behind it. */
const LOCK_TIMEOUT_MS = 2000;
const LOCK_NOT_AVAILABLE = "55P03";

/**
 * Runs the schema SQL in one transaction.
 *
 * @throws {@link SetupError} with the line of the statement that failed; nothing of the SQL has taken effect then.
 */
export async function applySchema(coordinator: Coordinator, sql: string, deadline: Deadline, report: Report): Promise<void> {
  const statements = splitStatements(sql);
  if (statements.length === 0) return;
  report.activity = "running the schema SQL";
  const run = (): Promise<boolean> =>
    coordinator.transaction(async () => {
      await coordinator.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
      for (const { text, line } of statements) {
        await coordinator.query(text).catch((error: unknown) => {
          const locked = (error as { code?: string }).code === LOCK_NOT_AVAILABLE;
          if (locked && deadline.remainingMs > 2 * LOCK_TIMEOUT_MS) throw error;
          const position = Number((error as { position?: string }).position ?? 1);
          const wayOn = locked ? "Another transaction holds the table: end it and run the update again" : "Correct it and run the update again";
          throw new SetupError(`The schema SQL fails at line ${line + lineAt(text, position - 1) - 1}, and nothing of it has taken effect: ${reason(error)}. ${wayOn}`);
        });
      }
      // A transaction that wrote nothing has no number.
      return (await coordinator.row<{ wrote: boolean }>("SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS wrote")).wrote;
    });
  for (;;) {
    try {
      if (await run()) report.did("schema", `applied, ${statements.length} ${statements.length === 1 ? "statement" : "statements"}`);
      else report.found("schema", "applied already");
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== LOCK_NOT_AVAILABLE) throw error;
      report.activity = "waiting for a transaction that holds a table of the schema SQL";
      await delay(LOCK_TIMEOUT_MS);
    }
  }
}
