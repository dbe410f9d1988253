import type { ClientSession } from "./clientSession";
import type { Outcome } from "./history";
import { told } from "./outcome";

/**
 * Runs statements without values as one transaction, and tells how that ended for its client. Never throws. Each is a message of its own: Citus
 * sends some changes of a schema on as the text of the whole message, which workers refuse where it is several statements.
 */
export async function transact(session: ClientSession, statements: readonly string[]): Promise<{ outcome: Outcome; error?: string }> {
  let committing = false;
  try {
    for (const statement of ["BEGIN", ...statements]) await session.query(statement);
    committing = true;
    // A transaction that the server has given up answers COMMIT with ROLLBACK, and no error.
    const { command } = await session.query("COMMIT");
    return command === "COMMIT" ? { outcome: "ok" } : { outcome: "refused", error: `COMMIT was answered by ${command}` };
  } catch (error) {
    // Nothing is done without a COMMIT; once it is sent, an error says nothing for certain.
    return { outcome: committing ? "unknown" : "refused", error: told(error) };
  }
}
