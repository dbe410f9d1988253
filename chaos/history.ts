/*
 * The history of a chaos run: what clients asked for, what they were told, and what was done to the stack meanwhile. One
 * event a line of JSON, so that a run can be checked again later, and by another program. Times are milliseconds since
 * the run began, of one monotonic clock.
 */

import type { Limit, Objectives } from "./objectives";

/**
 * How a request ended for its client. `refused`: the server said that it did not do it. `unknown`: the connection ended,
 * or time was up, before an answer came, so that it may have been done.
 */
export type Outcome = "ok" | "refused" | "unknown";

/** What every request of a client has. */
interface Request {
  /** The client's number; a client has one request at a time. */
  readonly client: number;
  /** The shard that the request is for, by a name that stays the same through the run. */
  readonly shard: string;
  /** When it was sent. */
  readonly at: number;
  /** How long the answer took. */
  readonly ms: number;
  readonly outcome: Outcome;
  /** What the client was told, on one line; absent if all went well. */
  readonly error?: string;
}

/** An insert of one row under a key that no other request of the run uses. */
export interface InsertEvent extends Request {
  readonly type: "insert";
  readonly key: string;
  /** The member on whose own socket it was asked for, which was cut off from its group. Absent: by the way that clients have. */
  readonly oldSide?: string;
}

/** A read-modify-write in one transaction: adds 1 to a counter. */
export interface IncrementEvent extends Request {
  readonly type: "increment";
  readonly counter: string;
  /** The increment's own name, which it leaves in the counter, so that a value tells who wrote it. */
  readonly id?: string;
  /** The counter's value that the transaction read and the one that it wrote; known if the outcome is `ok`. */
  readonly before?: number;
  readonly after?: number;
  /** The increment that wrote the value which was read; empty if none has. */
  readonly writer?: string;
}

/**
 * A transaction over two shards: takes an amount from an account in one, adds it to an account in the other, and inserts
 * a row with the transfer's key in both.
 */
export interface TransferEvent extends Omit<Request, "shard"> {
  readonly type: "transfer";
  readonly key: string;
  /** The shards of the first and of the second half. */
  readonly shards: readonly [string, string];
}

/** An insert or an update of a row of a reference table. Only this client writes the row, with values that grow. */
export interface ReferenceEvent extends Omit<Request, "shard"> {
  readonly type: "reference";
  /** The row, `<cluster>:<key>`. */
  readonly row: string;
  readonly value: number;
  /** The value that it took the place of, 0 if the row was new; known if the outcome is `ok`. */
  readonly previous?: number;
}

/** What can be changed of a table by a schema change. */
export type SchemaChange = "create" | "add column" | "drop column" | "drop";

/** A schema change of a distributed table that only one client changes. */
export interface SchemaEvent extends Omit<Request, "shard"> {
  readonly type: "schema";
  /** The table, `<cluster>:<table>`. */
  readonly table: string;
  readonly change: SchemaChange;
  /** The column that is added or dropped. */
  readonly column?: string;
}

/** A move of a shard's placement from one worker to another, by their groups in Citus. */
export interface MoveEvent extends Request {
  readonly type: "move";
  readonly from: number;
  readonly to: number;
}

/** A read of a counter. */
export interface ReadEvent extends Request {
  readonly type: "read";
  readonly counter: string;
  /** Where it was asked: a read from standbys may be behind, one from the leader may not. */
  readonly endpoint: "leader" | "standbys";
  /** The value, and the increment that wrote it, empty if none has; known if the outcome is `ok`. */
  readonly value?: number;
  readonly writer?: string;
}

/** An attempt to connect. */
export interface ConnectEvent {
  readonly type: "connect";
  readonly client: number;
  readonly endpoint: "leader" | "standbys";
  readonly at: number;
  readonly ms: number;
  readonly outcome: "ok" | "refused";
  readonly error?: string;
}

/** A fault begins. */
export interface FaultEvent {
  readonly type: "fault";
  /** Counts the faults of the run, from 1. */
  readonly number: number;
  /** The fault's name in the catalogue, such as `kill`. */
  readonly fault: string;
  /** What kind of node it hit, such as `coordinator`. */
  readonly role: string;
  /** The containers that it hit. */
  readonly targets: readonly string[];
  /** Shards whose writes may stop; the gap is measured over them. Absent: all. */
  readonly shards?: readonly string[];
  /** What was chosen by chance for it, by name: what was killed, how late something came back. */
  readonly details?: Readonly<Record<string, string | number>>;
  readonly at: number;
}

/** The stack is at full strength again after a fault. */
export interface HealedEvent {
  readonly type: "healed";
  readonly number: number;
  readonly at: number;
  /** What the harness had to do for it, such as starting a container that was killed. Empty if nothing. */
  readonly help: readonly string[];
  /** When what had been done to the stack was undone: a container that was killed was started. Absent if there was nothing to undo. */
  readonly undoneAt?: number;
  /** What it lacked last before it was whole: what the time was spent on. Absent if it was whole at once. */
  readonly waitedFor?: string;
  /** Why it did not come back to full strength, if so. */
  readonly problem?: string;
}

/** How many rows keys have. Keys that have none are absent. */
export interface RowCounts {
  /** How many rows a key has, by key. */
  readonly rows: Readonly<Record<string, number>>;
  /** Of keys `<client>-<number>` that have one row each, by client: from which number to which. Millions of rows fit in a line so. */
  readonly runs?: Readonly<Record<string, readonly (readonly [number, number])[]>>;
}

/** What was read back at the end, from every placement that is there. `rows` and `runs` are of inserts. */
export interface FinalEvent extends RowCounts {
  readonly type: "final";
  readonly at: number;
  /** The halves of transfers: rows of the first shard, and of the second. */
  readonly halves?: readonly [RowCounts, RowCounts];
  /** The sum of all balances of a cluster: as it was at the beginning, and as it is. */
  readonly balances?: Readonly<Record<string, { readonly opening: number; readonly sum: number }>>;
  /** The value of each row of a reference table. */
  readonly references?: Readonly<Record<string, number>>;
  /** What each place, a node or a placement, has of each table that was changed: its columns with commas between; empty if it has no such table. */
  readonly schemas?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** The workers that have a placement of each shard, by their groups in Citus. */
  readonly placements?: Readonly<Record<string, readonly number[]>>;
  /** Shards' tables on nodes that neither have a placement of them nor a record that they are to be removed, `<table> on <node>`. */
  readonly orphans?: readonly string[];
  /** The value of each counter, and the increment that wrote it. */
  readonly counters: Readonly<Record<string, number>>;
  readonly writers?: Readonly<Record<string, string>>;
  /** What the stack lacked when it was read back; absent if it was whole. */
  readonly lacks?: readonly string[];
  /** Shards whose placements differ, and standbys that differ from their leader, each with what differs. */
  readonly differing: Readonly<Record<string, string>>;
}

/** The run's first event: what was run, and when in the world's time. */
export interface RunEvent {
  readonly type: "run";
  readonly at: number;
  readonly stack: string;
  readonly startedAt: string;
  readonly seed: number;
  readonly shards: readonly string[];
  /** How often a client writes, in milliseconds from one answer to the next request. */
  readonly intervalMs: number;
  /** How many placements each shard has, where two-phase commits keep them the same. */
  readonly copies?: number;
  /** What was asked of the run, so that a check of the kept history asks for the same. Absent: that nothing is lost. */
  readonly objectives?: Objectives;
  readonly limits?: readonly Limit[];
}

export type HistoryEvent = RunEvent | InsertEvent | IncrementEvent | TransferEvent | ReferenceEvent | SchemaEvent | MoveEvent | ReadEvent | ConnectEvent | FaultEvent | HealedEvent | FinalEvent;
