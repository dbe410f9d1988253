import type { Site } from "./site";

/** The processes that hold an advisory lock on a coordinator, in words; undefined if nobody has it any more. */
export async function holdersOf({ coordinator }: Site, lockClass: number, key: number): Promise<string | undefined> {
  const { rows } = await coordinator.query<{ pid: number }>(
    `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = ${lockClass} AND objid = ${key} AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY pid`,
  );
  return rows.length === 0 ? undefined : `${rows.length === 1 ? "process" : "processes"} ${rows.map(({ pid }) => pid).join(", ")}`;
}
