import type { Client } from "pg";
import type { Site } from "./site";
import { TenantError } from "./tenantError";

/**
 * What a cluster knows of a tenant that moved, or that a change of the ring pinned (`tenancy.tenant`). Every cluster has a copy; the highest epoch is the truth.
 */
export interface TenantRecord {
  readonly home: string;
  /** Counts the changes of the home. */
  readonly epoch: number;
  /** `settled`; `moving`: writes go on at home; `closed`: nobody takes writes. */
  readonly state: "settled" | "moving" | "closed";
  /** Where it is moving to. */
  readonly target: string | null;
  /** The move under way, or the one whose leftovers are still to be cleaned up. */
  readonly move: string | null;
  /** It is where a ring put it, or was when the ring changed, and a rebalance may move it; else somebody moved it by hand, and it stays. */
  readonly pinned: boolean;
}

/** How hashing spreads tenants (`tenancy.ring`). Every cluster has a copy; the highest version is the truth. */
export interface Ring {
  readonly version: number;
  /** Clusters that hashing spreads tenants over, by name. */
  readonly clusters: readonly string[];
  /** The clusters of a change under way. */
  readonly next: readonly string[] | null;
}

/** What the cluster knows of a tenant; undefined if it goes by the ring. */
export async function recordOf(site: Site, tenant: string): Promise<TenantRecord | undefined> {
  const { rows } = await site.coordinator.query<Omit<TenantRecord, "epoch"> & { epoch: string }>("SELECT home, epoch, state, target, move, pinned FROM tenancy.tenant WHERE tenant = $1", [tenant]);
  const [row] = rows;
  return row && { ...row, epoch: Number(row.epoch) };
}

/** @throws {@link TenantError} if the cluster has none yet. */
export async function ringOf(site: Site): Promise<Ring> {
  const { rows } = await site.coordinator.query<{ version: string; clusters: string[]; next: string[] | null }>("SELECT version, clusters, next FROM tenancy.ring");
  const [row] = rows;
  if (row === undefined) throw new TenantError(`Cluster ${site.name} does not know yet which tenants are its own. Run npm run up`);
  return { ...row, version: Number(row.version) };
}

/** The cluster that hashing gives a tenant to. */
export async function winnerOf(site: Site, tenant: string, clusters: readonly string[]): Promise<string> {
  const { rows } = await site.coordinator.query<{ winner: string }>("SELECT tenancy.winner($1, $2::text[]) AS winner", [tenant, clusters]);
  return (rows[0] as { winner: string }).winner;
}

/** Held, shared, by whoever writes a record, and exclusively by who takes records away or changes the ring: what the one looked at is still so when it writes. */
const RECORDS_LOCK = 7779;
export const KEEP_RECORDS = `SELECT pg_advisory_xact_lock_shared(${RECORDS_LOCK}, 0)`;
export const LOCK_RECORDS = `SELECT pg_advisory_xact_lock(${RECORDS_LOCK}, 0)`;

/** The highest epoch that a tenant without a record may have been in, as the clusters say. */
export async function horizonOf(sites: readonly Site[]): Promise<number> {
  const answers = await Promise.all(sites.map(({ coordinator }) => coordinator.query<{ epoch: string }>("SELECT epoch FROM tenancy.horizon").catch(refuseOlder)));
  return Math.max(...answers.map(({ rows }) => Number((rows[0] as { epoch: string }).epoch)));
}

function refuseOlder(error: unknown): never {
  if ((error as { code?: string }).code === "42P01") throw new TenantError("A cluster has the fence of an older version. Run npm run up");
  throw error;
}

/** What is written of a tenant on one cluster. */
export interface RecordChange {
  readonly tenant: string;
  readonly home: string;
  readonly epoch: number;
  readonly state: TenantRecord["state"];
  readonly target?: string;
  readonly move?: string;
  readonly pinned?: boolean;
}

/**
 * Writes a cluster's copy and tells the routers that listen to it. An older epoch does not overwrite a newer one, nor come back where the record has gone, and nobody takes a tenant over from a move that is not the caller's.
 *
 * @param moves the moves whose record may be overwritten, beside none.
 * @returns whether it was written.
 */
export async function writeRecord(session: Client, change: RecordChange, moves: readonly string[]): Promise<boolean> {
  const { tenant, home, epoch, state, target = null, move = null, pinned = false } = change;
  try {
    // One message, in which the horizon is read after the lock was got.
    const begun = (await session.query(`BEGIN; ${KEEP_RECORDS}; SELECT epoch FROM tenancy.horizon`).catch(refuseOlder)) as unknown as readonly { readonly rows: readonly { readonly epoch: string }[] }[];
    if (epoch <= Number(begun[2]?.rows[0]?.epoch) && (await session.query("SELECT FROM tenancy.tenant WHERE tenant = $1", [tenant])).rowCount === 0) {
      await session.query("ROLLBACK");
      return false;
    }
    const { rowCount } = await session.query(
      `INSERT INTO tenancy.tenant AS known (tenant, home, epoch, state, target, move, pinned) VALUES ($1, $2, $3, $4, $5, $6, $7)
       ON CONFLICT (tenant) DO UPDATE SET home = excluded.home, epoch = excluded.epoch, state = excluded.state, target = excluded.target, move = excluded.move, pinned = excluded.pinned
       WHERE known.epoch <= excluded.epoch AND (known.move IS NULL OR known.move = ANY ($8::text[]))`,
      [tenant, home, epoch, state, target, move, pinned, moves],
    );
    if (rowCount === 1) await announce(session, { tenant, home, epoch, state });
    await session.query("COMMIT");
    return rowCount === 1;
  } catch (error) {
    await session.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
}

/** Tells the routers that listen to a cluster. */
export async function announce(session: Client, news: { tenant: string; home: string; epoch: number; state: string } | { ring: number }): Promise<void> {
  await session.query("SELECT pg_notify('tenancy', $1)", [JSON.stringify(news)]);
}
