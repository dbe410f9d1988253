import { Client } from "pg";

/** Has this process do something before it deletes rows in parts for the first time, as moves do from the home that was left. */
export function beforeCleaning(work: () => Promise<void>): void {
  const sessions = Client.prototype as unknown as { query: (this: Client, ...args: unknown[]) => unknown };
  const { query } = sessions;
  let done = false;
  sessions.query = function (...args) {
    if (done || typeof args[0] !== "string" || !/^DELETE FROM .* ctid /.test(args[0])) return query.apply(this, args);
    done = true;
    return work().then(() => query.apply(this, args));
  };
}
