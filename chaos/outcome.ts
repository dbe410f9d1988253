import { DatabaseError } from "pg";
import { reason } from "../setup/setupError";
import type { Outcome } from "./history";

/**
 * Answers that say for certain that a single statement was not done: the transaction may not write (25), nobody was let
 * in (28), there is no room (53), the server is not taking statements (57P03).
 */
const NOT_DONE = /^(25|28|53|57P03)/;

/**
 * How a statement that was sent, in a transaction of its own, ended by an error. Anything that is not certain is
 * `unknown`: a worker may have committed when its connection to the coordinator broke, and the client is told an error.
 */
export function outcomeOf(error: unknown): Outcome {
  return error instanceof DatabaseError && NOT_DONE.test(error.code ?? "") ? "refused" : "unknown";
}

/** What a client was told, on one line, after its SQLSTATE or the system's code. */
export function told(error: unknown): string {
  const { code } = error as { code?: unknown };
  const said = reason(error);
  return typeof code === "string" && !said.includes(code) ? `${code} ${said}` : said;
}
