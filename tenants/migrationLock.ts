import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "pg";
import { holdersOf } from "./lockHolders";
import { abandon, type Site } from "./site";
import { TenantError } from "./tenantError";

/** The class of the advisory locks of migrations, on coordinators. */
const MIGRATION_LOCK = 7790;
/** Held by moves, shared, and exclusively by who applies migrations. */
const MOVES = 0;
/** Held by who applies migrations, before it waits for moves. */
const RUNS = 1;
/** Held by the session that runs a migration's statements. */
const STATEMENTS = 2;

/** What the sessions of a run are called in `pg_stat_activity`. */
export const MIGRATE = "citus-sharding migrate";

const LOOK_MS = 500;

/** How long a session that was given up may take to end. */
const GONE_MS = 5000;

/**
 * Keeps migrations from beginning, as long as the sessions on the coordinators live, and waits for those that run: whoever moves a tenant holds this.
 *
 * @param onWait is called once, if it has to wait.
 * @returns what gives it back.
 */
export async function keepMigrationsOut(sites: readonly Site[], signal?: AbortSignal, onWait?: () => void): Promise<() => Promise<void>> {
  const unlock = async (some: readonly Site[]): Promise<void> => void (await Promise.allSettled(some.map(({ coordinator }) => coordinator.query(`SELECT pg_advisory_unlock_shared(${MIGRATION_LOCK}, ${MOVES})`))));
  for (let waits = false; ; waits = true) {
    // Who waits for the lock exclusively comes first: nobody is given it any more.
    const asked = await Promise.all(sites.map(({ coordinator }) => coordinator.query<{ mine: boolean }>(`SELECT pg_try_advisory_lock_shared(${MIGRATION_LOCK}, ${MOVES}) AS mine`)));
    const mine = sites.filter((_, index) => asked[index]?.rows[0]?.mine === true);
    if (mine.length === sites.length) return () => unlock(sites);
    await unlock(mine);
    if (!waits) onWait?.();
    refuseStopped(signal);
    await delay(LOOK_MS);
  }
}

/**
 * Waits until no tenant is being moved from or to any of the clusters and nobody else applies migrations, and keeps both so until it is closed, or its sessions end.
 *
 * @param onWait is called with what it waits for, as long as it does.
 * @returns what gives it back.
 */
export async function keepMovesOut(sites: readonly Site[], signal?: AbortSignal, onWait?: (cluster: string, what: string) => void): Promise<() => void> {
  // In one order, so that no two of these wait for each other.
  const ordered = [...sites].sort((one, other) => (one.name < other.name ? -1 : 1));
  const sessions = new Map<Site, Client>();
  const close = (): void => sessions.forEach(abandon);
  const waits = async (site: Site, key: number, word: string): Promise<void> => {
    refuseStopped(signal);
    const holders = await holdersOf(site, MIGRATION_LOCK, key);
    if (holders !== undefined) onWait?.(site.name, `${word} (${holders})`);
  };
  try {
    for (const site of ordered) {
      const session = await site.another(0);
      sessions.set(site, session);
      await session.query("SET lock_timeout = 0; SET statement_timeout = 0; SET idle_session_timeout = 0");
      // Asked for again and again: a statement that waits has a snapshot, for which the other run's CREATE INDEX CONCURRENTLY would wait.
      for (; ; await delay(LOOK_MS)) {
        const { rows: [lock] } = await session.query<{ mine: boolean }>(`SELECT pg_try_advisory_lock(${MIGRATION_LOCK}, ${RUNS}) AS mine`);
        if (lock?.mine === true) break;
        await waits(site, RUNS, "another run of migrations");
      }
    }
    for (const [site, session] of sessions) {
      // In one statement, however long that takes: who asked again and again might find another move each time.
      const locked = session.query(`SELECT pg_advisory_lock(${MIGRATION_LOCK}, ${MOVES})`).then(() => true);
      locked.catch(() => undefined);
      while ((await Promise.race([locked, delay(LOOK_MS, false)])) !== true) await waits(site, MOVES, "moves of tenants that are under way");
    }
    return close;
  } catch (error) {
    close();
    throw error;
  }
}

/** A session on a cluster's coordinator that runs one migration, as the only one. Its statements may take as long as they need. The caller ends it. @throws {@link TenantError} if another still runs one. */
export async function migrationSession(site: Site): Promise<Client> {
  const session = await site.another(0);
  try {
    // What a run that was killed left behind ends within a moment.
    for (const until = performance.now() + GONE_MS; ; await delay(LOOK_MS)) {
      const { rows: [lock] } = await session.query<{ mine: boolean }>(`SELECT pg_try_advisory_lock(${MIGRATION_LOCK}, ${STATEMENTS}) AS mine`);
      if (lock?.mine === true) return session;
      if (performance.now() > until) throw new TenantError(`a migration of a run before still runs in cluster ${site.name}. Wait until it has ended, or end it: its sessions are called ${MIGRATE}`);
    }
  } catch (error) {
    abandon(session);
    throw error;
  }
}

function refuseStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new TenantError("Stopped before anything was done");
}
