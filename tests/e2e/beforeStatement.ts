import { Client } from "pg";

/** The statement by which a move deletes rows of the home that was left, in parts. */
export const CLEANING = /^DELETE FROM .* ctid /;
/** The statement that closes a tenant, in a transaction of several. */
export const CLOSING = /^UPDATE tenancy\.tenant SET state = 'closed'/;
/** What begins a transaction that writes records: of a change of the ring the first is of pins. */
export const PINNING = /^BEGIN; .*tenancy\.horizon/;
/** The last that a change of the ring asks before it writes the new one: whether each node has all records. */
export const LAST_LOOK = /^SELECT count\(\*\) \|\| ' ' \|\| coalesce\(sum\(hashtextextended/;

/** Has this process do something before it sends such a statement for the first time. @returns what ends that. */
export function beforeStatement(pattern: RegExp, work: () => Promise<void>): () => void {
  const sessions = Client.prototype as unknown as { query: (this: Client, ...args: unknown[]) => unknown };
  const { query } = sessions;
  const end = (): void => void (sessions.query = query);
  sessions.query = function (...args) {
    if (typeof args[0] !== "string" || !pattern.test(args[0])) return query.apply(this, args);
    end();
    return work().then(() => query.apply(this, args));
  };
  return end;
}
