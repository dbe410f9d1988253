import type { Outcome } from "../chaos/history";

/** How a write ended for the application. */
export interface Answer {
  readonly outcome: Outcome;
  /** What it was told, on one line; absent if all went well. */
  readonly error?: string;
}

/** An application on a stack, as the load drives it. The statements are the same on every stack; how they get there is not. */
export interface Application {
  /** The cluster that a room lives in. */
  readonly homeOf: (room: number) => Promise<string>;
  /** Writes a message under a key that no other message has. Never throws. */
  readonly write: (room: number, key: string) => Promise<Answer>;
  /** Removes all messages of a room. @throws the driver's or the router's error. */
  readonly remove: (room: number) => Promise<void>;
  /** The rooms from `first` to `last` that have messages. @throws Error if a cluster does not answer, or the driver's error. */
  readonly used: (first: number, last: number) => Promise<number[]>;
  /** How many rows each key has in the rooms from `first` to `last`, over all clusters. @throws Error if a cluster does not answer, or the driver's error. */
  readonly read: (first: number, last: number) => Promise<Record<string, number>>;
  readonly end: () => Promise<void>;
}

/*
 * The database draws the message's number itself, each time that it executes the statement: a write that was done twice leaves two rows instead of an error.
 */
export const WRITE = "INSERT INTO messages (room_id, message_id, user_id, body) VALUES ($1, (random() * 9e15)::bigint, 0, $2)";
export const REMOVE = "DELETE FROM messages WHERE room_id = $1";
export const USED = "SELECT DISTINCT room_id AS room FROM messages WHERE room_id BETWEEN $1 AND $2";
export const READ = "SELECT body AS key, count(*)::int AS rows FROM messages WHERE room_id BETWEEN $1 AND $2 GROUP BY body";

/** Connections of an application to its databases, over all clusters. */
export const CONNECTIONS = 40;
/** The server ends a statement after this; the client waits a little longer, and then for no server any more. */
export const STATEMENT_TIMEOUT_MS = 5000;
export const QUERY_TIMEOUT_MS = 6000;
/** What is read and removed may be much. */
export const WHOLE_TIMEOUT_MS = 60_000;
