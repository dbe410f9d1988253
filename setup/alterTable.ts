import { setTimeout as delay } from "node:timers/promises";
import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import type { Report } from "./report";
import { reason, SetupError } from "./setupError";

/** How long a change waits for a table's lock: meanwhile every later query of the table waits behind it. */
const LOCK_TIMEOUT_MS = 2000;
const LOCK_NOT_AVAILABLE = "55P03";

/** A change that needs a table for itself. */
export interface Alteration {
  readonly table: string;
  /** Run in one transaction, so that nobody finds it half done. */
  readonly statements: readonly string[];
  /** What to do where it cannot be made, to go on without it: "set … to false". */
  readonly otherwise: string;
}

/**
 * Changes a table, and tries again while somebody has it.
 *
 * @throws {@link SetupError} if it is locked until the deadline, or cannot be changed.
 */
export async function alterTable(coordinator: Coordinator, { table, statements, otherwise }: Alteration, deadline: Deadline, report: Report): Promise<void> {
  for (;;) {
    try {
      await coordinator.transaction(async () => {
        await coordinator.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
        for (const statement of statements) await coordinator.query(statement);
      });
      return;
    } catch (error) {
      const locked = (error as { code?: string }).code === LOCK_NOT_AVAILABLE;
      if (!locked) throw new SetupError(`${table} cannot be changed: ${reason(error)}. Mend that, or ${otherwise}, and run the update again`);
      if (deadline.remainingMs < 2 * LOCK_TIMEOUT_MS) throw new SetupError(`${table} is held by another transaction. End it and run the update again`);
      report.activity = `waiting for a transaction that holds ${table}`;
      await delay(LOCK_TIMEOUT_MS);
    }
  }
}
