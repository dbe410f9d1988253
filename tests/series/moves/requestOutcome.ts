import { DatabaseError } from "pg";
import { outcomeOf } from "../../../chaos/outcome";
import { refusalOf, RouterError, type RouterErrorCode } from "../../../router/index";
import type { Outcome } from "./ledger";

/** What the router says where something is wrong with the request, not with a cluster or a move. */
const MISUSE: ReadonlySet<RouterErrorCode> = new Set(["CONFIGURATION", "OTHER_TENANT", "UNKNOWN_CLUSTER", "OPEN_TRANSACTION", "TRANSACTION_OVER", "ENDED"]);

/** SQLSTATEs of transactions that PostgreSQL rolled back so that another could go on; 40003 says that nobody knows. */
const ROLLED_BACK = /^40(?!003)/;

/** SQLSTATEs that no move and no fault may bring about: wrong data, a key that is there twice or not at all, SQL that does not fit the tables, the fence's words for a mover. */
const WRONG = /^(22|23|42|TN003|TN004)/;

/** A row that was acknowledged was not there to be changed. */
export class MetNothing extends Error {
  constructor(what: string) {
    super(`${what} met no row`);
    this.name = new.target.name;
  }
}

/** Nobody let a client in: nothing was sent. */
export class NotConnected extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** How a request ended by an error, and whether that is one that may not come. */
export function requestOutcome(error: unknown): { readonly outcome: Outcome; readonly unexpected: boolean } {
  if (error instanceof MetNothing) return { outcome: "refused", unexpected: true };
  if (error instanceof NotConnected) return { outcome: "refused", unexpected: false };
  if (error instanceof RouterError) return { outcome: error.applied === "no" ? "refused" : "unknown", unexpected: MISUSE.has(error.code) };
  const refusal = refusalOf(error);
  if (refusal !== undefined) return { outcome: "refused", unexpected: refusal.kind === "other" };
  const code = error instanceof DatabaseError ? (error.code ?? "") : "";
  const wrong = WRONG.test(code);
  return { outcome: wrong || ROLLED_BACK.test(code) || outcomeOf(error) === "refused" ? "refused" : "unknown", unexpected: wrong };
}
