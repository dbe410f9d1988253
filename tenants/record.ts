import { isDeepStrictEqual } from "node:util";
import type { Client } from "pg";
import { anyOf } from "./anyOf";
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
  /** The tickets of the clusters that hashing spreads tenants over: a cluster of weight 3 has three (router/tickets.ts). */
  readonly clusters: readonly string[];
  /** Those of a change under way. */
  readonly next: readonly string[] | null;
}

/** The ring is being changed, or was a moment ago: where hashing puts a tenant is not certain just now. */
export class RingChangedError extends TenantError {
  constructor() {
    super("The ring of clusters is being changed. Try again; if nobody does that any more: npm run tenant -- rebalance, or drain, as it was begun");
  }
}

/** Another rebalance or drain has gone on meanwhile: what this one still wrote would be of a state that is over. */
export class OvertakenRingError extends TenantError {
  constructor(cluster: string) {
    super(`Another rebalance or drain has been at work in cluster ${cluster} meanwhile, so that this one ends here. When no other is at work, look what is left to be moved, npm run tenant -- plan, and run it again`);
  }
}

/** What the cluster knows of tenants; those that go by the ring are not among them. */
export async function recordsOf(site: Site, tenants: readonly string[]): Promise<Map<string, TenantRecord>> {
  const { rows } = await site.coordinator.query<Omit<TenantRecord, "epoch"> & { tenant: string; epoch: string }>("SELECT tenant, home, epoch, state, target, move, pinned FROM tenancy.tenant WHERE tenant = ANY ($1)", [tenants]);
  return new Map(rows.map(({ tenant, ...record }) => [tenant, { ...record, epoch: Number(record.epoch) }]));
}

/** What the cluster knows of a tenant; undefined if it goes by the ring. */
export async function recordOf(site: Site, tenant: string): Promise<TenantRecord | undefined> {
  return (await recordsOf(site, [tenant])).get(tenant);
}

/** A ring as the driver gives it. */
interface RingRow {
  readonly version: string;
  readonly clusters: string[];
  readonly next: string[] | null;
}

const READ_RING = "SELECT version, clusters, next FROM tenancy.ring";

/** @throws {@link TenantError} if the cluster has none yet. */
export async function ringOf(site: Site): Promise<Ring> {
  const { rows } = await site.coordinator.query<RingRow>(READ_RING);
  const [row] = rows;
  if (row === undefined) throw new TenantError(`Cluster ${site.name} does not know yet which tenants are its own. Run npm run up`);
  return { ...row, version: Number(row.version) };
}

/** Where clusters are, by their names: as those say that have the newest ring. */
export async function regionsOf(sites: readonly Site[], { version }: Ring): Promise<Record<string, string>> {
  const answers = await Promise.all(
    // One that an older version made has no such column.
    sites.map(({ coordinator }) => coordinator.query<{ regions?: Record<string, string> }>("SELECT * FROM tenancy.ring WHERE version = $1", [version])),
  );
  return answers.find(({ rows }) => rows.length > 0)?.rows[0]?.regions ?? {};
}

/** The clusters that hashing gives tenants to. @param clusters their tickets. */
export async function winnersOf(site: Site, tenants: readonly string[], clusters: readonly string[]): Promise<Map<string, string>> {
  const { rows } = await site.coordinator.query<{ tenant: string; winner: string }>("SELECT tenant, tenancy.winner(tenant, $2::text[]) AS winner FROM unnest($1::text[]) AS tenant", [tenants, clusters]);
  return new Map(rows.map(({ tenant, winner }) => [tenant, winner]));
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

/** Less than a statement may take that waits for it. */
const IDLE_MS = 10_000;

/** Begins a transaction that changes records or the ring. Who stands still in it loses its session, because all who write records may have to wait for it. */
export const BEGIN = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${IDLE_MS}`;

/** Begins a transaction that writes records. What it looks at stays so until that has ended: nobody changes the ring, or takes a record away. */
async function beginRecords(session: Client): Promise<{ readonly horizon: number; readonly ring: Ring | undefined }> {
  // One message, in which horizon and ring are read after the lock was got.
  const text = `${BEGIN}; ${KEEP_RECORDS}; SELECT epoch FROM tenancy.horizon; ${READ_RING}`;
  const begun = (await session.query(text).catch(refuseOlder)) as unknown as readonly { readonly rows: readonly (RingRow & { readonly epoch: string })[] }[];
  const ring = begun[4]?.rows[0];
  return { horizon: Number(begun[3]?.rows[0]?.epoch), ring: ring && { ...ring, version: Number(ring.version) } };
}

/**
 * Writes records that were worked out by a ring, in one transaction, where the cluster still has that ring, and that change of it under way: where not, the record of a tenant may have been forgotten since, and what is written
 * late would be the only one. No record is forgotten while a ring changes.
 *
 * @param write gets the highest epoch that a tenant without a record may have been in.
 * @throws {@link OvertakenRingError} if the cluster has another ring.
 */
export async function writeByRing({ name, coordinator }: Site, ring: Ring, write: (horizon: number) => Promise<unknown>): Promise<void> {
  try {
    const known = await beginRecords(coordinator);
    if (!isDeepStrictEqual(known.ring, ring)) throw new OvertakenRingError(name);
    await write(known.horizon);
    await coordinator.query("COMMIT");
  } catch (error) {
    await coordinator.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
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

/** The columns that {@link writeRecords} gives, in its order. */
const valuesOf = ({ tenant, home, epoch, state, target, move, pinned = false }: RecordChange): unknown[] => [tenant, home, epoch, state, target ?? null, move ?? null, pinned];

const ARRAYS = ["text", "text", "bigint", "text", "text", "text", "boolean"];
const SEVERAL = `SELECT * FROM unnest(${ARRAYS.map((type, column) => `$${column + 1}::${type}[]`).join(", ")})`;

/**
 * Writes a cluster's copy of some tenants' records, all at once, and tells the routers that listen to it. An older epoch does not overwrite a newer one, nor come back where the record has gone, and nobody takes a tenant over
 * from a move that is not the caller's.
 *
 * @param moves the moves whose records may be overwritten, beside none.
 * @param version the ring's by which a tenant without a record lives where it was found. Who has one is where that says, whatever the ring.
 * @returns the tenants whose records were written.
 * @throws {@link RingChangedError} if the cluster's ring is not that one, or is being changed: nobody would tell the others of a record that is written now.
 */
export async function writeRecords(session: Client, changes: readonly RecordChange[], moves: readonly string[], version?: number): Promise<Set<string>> {
  if (changes.length === 0) return new Set();
  try {
    const { horizon, ring } = await beginRecords(session);
    if (version !== undefined && (ring?.version !== version || ring.next !== null)) throw new RingChangedError();
    const old = changes.filter(({ epoch }) => epoch <= horizon).map(({ tenant }) => tenant);
    const known = old.length === 0 ? [] : (await session.query<{ tenant: string }>("SELECT tenant FROM tenancy.tenant WHERE tenant = ANY ($1)", [old])).rows;
    const there = new Set(known.map(({ tenant }) => tenant));
    // In one order, so that no two of these wait for each other.
    const news = changes.filter(({ tenant, epoch }) => epoch > horizon || there.has(tenant)).sort((one, other) => (one.tenant < other.tenant ? -1 : 1));
    if (news.length === 0) {
      await session.query("ROLLBACK");
      return new Set();
    }
    const columns = news.map(valuesOf);
    // Of one row Citus makes a statement for each node. Of many that costs it three times what it does to hand them round, which for one is the longer way.
    const [only] = columns;
    const [rows, values] = only !== undefined && news.length === 1 ? ["VALUES ($1, $2, $3::bigint, $4, $5, $6, $7::boolean)", only] : [SEVERAL, ARRAYS.map((_, column) => columns.map((row) => row[column]))];
    const { rows: done } = await session.query<{ tenant: string }>(
      `INSERT INTO tenancy.tenant AS known (tenant, home, epoch, state, target, move, pinned) ${rows}
       ON CONFLICT (tenant) DO UPDATE SET home = excluded.home, epoch = excluded.epoch, state = excluded.state, target = excluded.target, move = excluded.move, pinned = excluded.pinned
       WHERE known.epoch <= excluded.epoch AND (known.move IS NULL OR ${anyOf("known.move", moves)})
       RETURNING tenant`,
      values,
    );
    const written = new Set(done.map(({ tenant }) => tenant));
    await announceTenants(session, news.filter(({ tenant }) => written.has(tenant)));
    await session.query("COMMIT");
    return written;
  } catch (error) {
    await session.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
}

/** PostgreSQL takes notifications of less than 8000 bytes. */
const PAYLOAD_BYTES = 7000;

/** What tells routers of tenants: of one what became of it, of several where to look, in as many notifications as that takes. */
export function payloadsOf(news: readonly Pick<RecordChange, "tenant" | "home" | "epoch" | "state">[]): string[] {
  const [only] = news;
  if (only !== undefined && news.length === 1) return [JSON.stringify({ tenant: only.tenant, home: only.home, epoch: only.epoch, state: only.state })];
  const payloads: string[][] = [];
  let room = 0;
  for (const { tenant } of news) {
    const bytes = Buffer.byteLength(JSON.stringify(tenant)) + 1;
    if (bytes > room) {
      payloads.push([]);
      room = PAYLOAD_BYTES - Buffer.byteLength(JSON.stringify({ tenants: [] }));
    }
    payloads.at(-1)?.push(tenant);
    room -= bytes;
  }
  return payloads.map((tenants) => JSON.stringify({ tenants }));
}

/** Tells the routers that listen to a cluster of tenants. */
export async function announceTenants(session: Client, news: readonly Pick<RecordChange, "tenant" | "home" | "epoch" | "state">[]): Promise<void> {
  if (news.length > 0) await session.query("SELECT pg_notify('tenancy', payload) FROM unnest($1::text[]) AS payload", [payloadsOf(news)]);
}

/** Tells the routers that listen to a cluster of a ring. */
export async function announceRing(session: Client, version: number): Promise<void> {
  await session.query("SELECT pg_notify('tenancy', $1)", [JSON.stringify({ ring: version })]);
}
