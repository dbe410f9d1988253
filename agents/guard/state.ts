import { renameSync, writeFileSync } from "node:fs";

/** Where a guard writes what it knows, one line of JSON, in its own container. */
export const STATE_FILE = "/run/guard.json";

/** A worker as its guard sees it. */
export interface GuardedWorker {
  readonly name: string;
  /**
   * `watched`: it answers. `suspected`: it failed to answer. `disabled`: out of service until it answers again.
   * `returning`: it is being brought back. `empty`: its data is gone, which an update heals.
   */
  readonly state: "watched" | "suspected" | "disabled" | "returning" | "empty";
  /** When it came to be so, as ISO 8601. */
  readonly since: string;
}

/** What a guard knows. */
export interface GuardState {
  /** When it was written, as ISO 8601. */
  readonly at: string;
  /** Whether the database beside the guard is the coordinator, a standby of it, or does not answer. */
  readonly coordinator: "primary" | "standby" | "silent";
  readonly workers: readonly GuardedWorker[];
  /** Shards that are being copied to a worker that came back. */
  readonly copying?: { readonly done: number; readonly total: number };
  /** Why the guard does not do what it would, if so. */
  readonly note?: string;
}

/** Writes a state so that a reader never sees half of it. */
export function writeState(state: GuardState): void {
  writeFileSync(`${STATE_FILE}.new`, `${JSON.stringify(state)}\n`);
  renameSync(`${STATE_FILE}.new`, STATE_FILE);
}
