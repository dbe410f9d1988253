import { setTimeout as delay } from "node:timers/promises";
import { DatabaseError, type Client, type QueryConfig } from "pg";
import type { ClusterAccess } from "./clusterAccess";
import { keepMovesOut, MIGRATE, migrationSession } from "./migrationLock";
import { dueIn, migrationsOf, reasonOf, type MigrationFile } from "./migrations";
import { openSites } from "./move";
import { unsettledTenants } from "./settle";
import { abandon, type Site } from "./site";
import { TenantError } from "./tenantError";

/** What happens while migrations are applied. */
export type MigrateEvent =
  /** Something else has to end first. */
  | { readonly kind: "waits"; readonly cluster: string; readonly file?: string; readonly what: string }
  /** A statement begins. */
  | { readonly kind: "runs"; readonly cluster: string; readonly file: string; readonly line: number }
  | { readonly kind: "warns"; readonly cluster: string; readonly file: string; readonly message: string }
  | { readonly kind: "applied"; readonly cluster: string; readonly file: string; readonly tookMs: number };

/** What somebody found of a file that was begun outside of a transaction: it is to be run again; or all of it is there, which may be said of the next file of a cluster as well, whose doing somebody did by hand. */
export interface Verdict {
  readonly file: string;
  readonly cluster: string;
  readonly verdict: "retry" | "done";
}

export interface MigrateOptions {
  readonly verdict?: Verdict;
  /** How long a statement in a transaction waits for a lock, on any node; meanwhile others wait behind it. Then all of its file is rolled back, and tried again. @default 3000 */
  readonly lockTimeoutMs?: number;
  /** How long a file is tried again while others hold what it needs, in milliseconds. @default 600000 */
  readonly patienceMs?: number;
  /** Stops between two files, or a file that is in a transaction. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: MigrateEvent) => void;
}

/** What a run did to a cluster. */
export interface ClusterMigrations {
  readonly cluster: string;
  /** The files that it applied, in their order. */
  readonly applied: readonly string[];
  /** The files that are still to be applied. */
  readonly left: readonly string[];
}

/** What a run did. */
export interface MigrateReport {
  readonly clusters: readonly ClusterMigrations[];
  /** What ended the run before its end, as a sentence without a full stop; undefined if nothing did. */
  readonly failure: string | undefined;
}

const LOCK_TIMEOUT_MS = 3000;
const PATIENCE_MS = 600_000;

/** SQLSTATEs after which the same may succeed: a lock that was not got in time, a deadlock, a serialization failure. */
const LOCK_NOT_AVAILABLE = "55P03";
const PASSING = new Set([LOCK_NOT_AVAILABLE, "40P01", "40001"]);

/** Who holds up whom on the coordinator's node, and the oldest transaction where nobody seems to: the lock that was missed may be one on a worker. */
const OLDEST_TRANSACTION = `
  SELECT format('process %s (%s), whose transaction began %s s ago', pid, concat_ws(', ', 'user ' || usename, nullif(application_name, '')), extract(epoch FROM clock_timestamp() - xact_start)::int) AS what
  FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND application_name <> '${MIGRATE}' AND datname = current_database() ORDER BY xact_start LIMIT 1`;

/** Ends a run, with what ended it. */
class StopError extends TenantError {}

/**
 * Applies migrations to all clusters, one cluster after the other, and in each those that it has not got yet. No tenant is moved meanwhile, and nobody else applies any. A file that is in a transaction has taken effect on all
 * nodes of a cluster together with its record, or not at all; so a run that was stopped, at whatever moment, goes on with the next.
 *
 * @param files in their order.
 * @returns what was done, also where it came to a stop on the way.
 * @throws {@link TenantError} if nothing was done: a cluster does not answer, or the files are not those that a cluster has.
 */
export async function migrate(clusters: readonly ClusterAccess[], files: readonly MigrationFile[], options: MigrateOptions = {}): Promise<MigrateReport> {
  const { verdict, signal, onEvent } = options;
  const names = clusters.map(({ name }) => name);
  const sites = await openSites(clusters, MIGRATE, names);
  let letMovesIn: (() => void) | undefined;
  try {
    letMovesIn = await keepMovesOut(sites, signal, (cluster, what) => onEvent?.({ kind: "waits", cluster, what }));
    const unsettled = await unsettledTenants(sites);
    if (unsettled.length > 0) throw new TenantError(`${unsettled.length === 1 ? "A move" : `${unsettled.length} moves`} stopped half-way, of tenant ${unsettled[0] as string} for one, whose rows are in two clusters. End that first: npm run tenant -- recover`);
    if (verdict !== undefined) await apply(verdict, sites, files);
    const due = await Promise.all(sites.map(async (site) => dueIn({ name: site.name, migrations: await migrationsOf(site) }, files)));
    const problem = due.find((one) => one.problem !== undefined)?.problem;
    if (problem !== undefined) throw new TenantError(problem);
    const applied = new Map<string, string[]>(names.map((name) => [name, []]));
    let failure: string | undefined;
    try {
      for (const [index, site] of sites.entries()) {
        for (const file of due[index]?.pending ?? []) {
          if (signal?.aborted === true) throw new StopError("Stopped");
          const begun = performance.now();
          await new Run(site, file, options).run();
          applied.get(site.name)?.push(file.name);
          onEvent?.({ kind: "applied", cluster: site.name, file: file.name, tookMs: performance.now() - begun });
        }
      }
    } catch (error) {
      if (!(error instanceof TenantError)) throw error;
      failure = error.message;
    }
    const report = sites.map(({ name }, index) => ({ cluster: name, applied: applied.get(name) ?? [], left: (due[index]?.pending ?? []).map((file) => file.name).slice(applied.get(name)?.length) }));
    return { clusters: report, failure };
  } finally {
    letMovesIn?.();
    for (const site of sites) site.close();
  }
}

/** Records what somebody found of a file in a cluster. @throws {@link TenantError} if that cannot be said of it. */
async function apply({ file: name, cluster, verdict }: Verdict, sites: readonly Site[], files: readonly MigrationFile[]): Promise<void> {
  const site = sites.find((one) => one.name === cluster);
  if (site === undefined) throw new TenantError(`There is no cluster ${cluster}. There is ${sites.map((one) => one.name).join(", ")}`);
  const file = files.find((one) => one.name === name);
  if (file === undefined) throw new TenantError(`There is no ${name} in the folder`);
  const migrations = await migrationsOf(site);
  const known = migrations.find((migration) => migration.name === name);
  if (known?.begun === false) throw new TenantError(`${name} was applied in cluster ${cluster}`);
  if (known !== undefined) {
    // What was begun may have been mended since.
    if (verdict === "retry") await site.coordinator.query("DELETE FROM tenancy.migration WHERE name = $1 AND applied_at IS NULL", [name]);
    else await site.coordinator.query("UPDATE tenancy.migration SET applied_at = clock_timestamp(), checksum = $2 WHERE name = $1 AND applied_at IS NULL", [name, file.checksum]);
    return;
  }
  if (verdict === "retry") throw new TenantError(`${name} was not begun in cluster ${cluster}: a run without --retry applies it`);
  const { pending: [next], problem } = dueIn({ name: cluster, migrations }, files);
  if (problem !== undefined) throw new TenantError(problem);
  if (next !== file) throw new TenantError(`${name} is not what cluster ${cluster} needs next: that is ${next?.name ?? "nothing"}`);
  await site.coordinator.query("INSERT INTO tenancy.migration (name, checksum, applied_at) VALUES ($1, $2, clock_timestamp())", [name, file.checksum]);
}

/** The application of one file to one cluster. */
class Run {
  constructor(
    private readonly site: Site,
    private readonly file: MigrationFile,
    private readonly options: MigrateOptions,
  ) {}

  /** @throws {@link TenantError} if it was not applied, or that is not known. */
  async run(): Promise<void> {
    const { lockTimeoutMs = LOCK_TIMEOUT_MS, patienceMs = PATIENCE_MS, signal } = this.options;
    for (const until = performance.now() + patienceMs; ; ) {
      // What a file leaves in its session, such as a search_path, is not for the next.
      const session = await this.open();
      try {
        return await (this.file.transaction ? this.inTransaction(session, lockTimeoutMs) : this.outside(session));
      } catch (error) {
        if (error instanceof StopError || !PASSING.has((error as { code?: string }).code ?? "")) throw error;
        const holder = await this.holder();
        if (performance.now() > until) throw new StopError(`${this.what} could not get a lock for ${patienceMs / 1000} s, and nothing of it has taken effect there. ${holder === undefined ? "Try again" : `End ${holder}, or try again`}`, { cause: error });
        this.tell({ kind: "waits", what: holder ?? reasonOf(error) });
      } finally {
        abandon(session);
      }
      // Those who waited behind it have their turn.
      await delay(lockTimeoutMs, undefined, { ...(signal !== undefined && { signal }) }).catch(() => undefined);
      if (signal?.aborted === true) throw new StopError(`Stopped. Nothing of ${this.what} has taken effect there`);
    }
  }

  private get what(): string {
    return `${this.file.name} in cluster ${this.site.name}`;
  }

  private async open(): Promise<Client> {
    let session: Client;
    try {
      session = await migrationSession(this.site);
    } catch (error) {
      throw new StopError(`${this.what} was not begun: ${reasonOf(error)}`, { cause: error });
    }
    session.on("notice", ({ code, message = "" }) => void (code?.startsWith("01") === true && this.tell({ kind: "warns", message })));
    return session;
  }

  private async inTransaction(session: Client, lockTimeoutMs: number): Promise<void> {
    const { name, checksum, statements } = this.file;
    const { signal } = this.options;
    const stop = (): void => abandon(session);
    signal?.addEventListener("abort", stop, { once: true });
    let line: number | undefined;
    try {
      await session.query("BEGIN");
      // The limits are for the workers' locks and statements as well.
      await session.query("SET LOCAL citus.propagate_set_commands TO 'local'");
      await session.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
      await session.query("SET LOCAL statement_timeout = 0");
      await session.query("INSERT INTO tenancy.migration (name, checksum, applied_at) VALUES ($1, $2, clock_timestamp())", [name, checksum]);
      for (const statement of statements) {
        ({ line } = statement);
        this.tell({ kind: "runs", line });
        await alone(session, statement.text).catch((error: unknown) => {
          line = lineOf(statement, error);
          throw error;
        });
      }
    } catch (error) {
      if (signal?.aborted === true) throw new StopError(`Stopped. Nothing of ${this.what} has taken effect there`, { cause: error });
      if (PASSING.has((error as { code?: string }).code ?? "")) throw error;
      throw new StopError(`${this.what} fails${line === undefined ? "" : ` at line ${line}`}, and nothing of it has taken effect there: ${reasonOf(error)}`, { cause: error });
    } finally {
      signal?.removeEventListener("abort", stop);
    }
    await session.query("COMMIT").catch((error: unknown) => {
      const { code = "" } = error as { readonly code?: string };
      if (PASSING.has(code)) throw error;
      // An answer says that it was rolled back, but for that of a server that was told to end.
      const outcome = error instanceof DatabaseError && !code.startsWith("57P") ? "fails at its end, and nothing of it has taken effect there" : "was being committed, and whether it is, the next run tells";
      throw new StopError(`${this.what} ${outcome}: ${reasonOf(error)}`, { cause: error });
    });
  }

  /** Writes down that it begins, and that it has ended. What is between is done, or not, or in part. */
  private async outside(session: Client): Promise<void> {
    const { name, checksum, statements } = this.file;
    const unknown = (error: unknown): never => {
      throw new StopError(
        `${this.what} did not come to its end, and what of it has taken effect there is not known: ${reasonOf(error)}. Look what is there; then --mark-done ${name} --cluster ${this.site.name} if all is, or else --retry ${name} --cluster ${this.site.name}`,
        { cause: error },
      );
    };
    try {
      await session.query("SET statement_timeout = 0");
      await session.query("INSERT INTO tenancy.migration (name, checksum) VALUES ($1, $2)", [name, checksum]);
    } catch (error) {
      throw new StopError(`${this.what} was not begun: ${reasonOf(error)}`, { cause: error });
    }
    for (const { text, line } of statements) {
      this.tell({ kind: "runs", line });
      await alone(session, text).catch(unknown);
    }
    await session.query("UPDATE tenancy.migration SET applied_at = clock_timestamp() WHERE name = $1", [name]).catch(unknown);
  }

  private async holder(): Promise<string | undefined> {
    return (await this.site.coordinator.query<{ what: string }>(OLDEST_TRANSACTION).catch(() => undefined))?.rows[0]?.what;
  }

  private tell(event: { kind: "waits"; what: string } | { kind: "runs"; line: number } | { kind: "warns"; message: string }): void {
    this.options.onEvent?.({ ...event, cluster: this.site.name, file: this.file.name });
  }
}

/** Sends one statement. By this way of the protocol PostgreSQL refuses a text that has several: it is its own parser that says so, whoever has split the file. */
function alone(session: Client, text: string): Promise<unknown> {
  return session.query({ text, queryMode: "extended" } as QueryConfig);
}

/** The line of the file that an error is about. */
function lineOf({ text, line }: { readonly text: string; readonly line: number }, error: unknown): number {
  const position = Number((error as { position?: string }).position ?? 1);
  return line + text.slice(0, position - 1).split("\n").length - 1;
}
