import type { ClientSession } from "./clientSession";
import type { Outcome } from "./history";
import { told } from "./outcome";

/** Runs statements without values as one transaction, and tells how that ended for its client. Never throws. */
export async function transact(session: ClientSession, statements: string): Promise<{ outcome: Outcome; error?: string }> {
  let committing = false;
  try {
    await session.query(`BEGIN; ${statements}`);
    committing = true;
    // A transaction that the server has given up answers COMMIT with ROLLBACK, and no error.
    const { command } = await session.query("COMMIT");
    return command === "COMMIT" ? { outcome: "ok" } : { outcome: "refused", error: `COMMIT was answered by ${command}` };
  } catch (error) {
    // Nothing is done without a COMMIT; once it is sent, an error says nothing for certain.
    return { outcome: committing ? "unknown" : "refused", error: told(error) };
  }
}
