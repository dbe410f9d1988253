import * as path from "node:path";
import colors from "picocolors";
import { isDuration, toMilliseconds } from "../../config/duration";
import { hindrancesOf, hindranceWarning } from "../../tenants/hindrances";
import { migrate as applyMigrations, type MigrateEvent, type MigrateReport, type Verdict } from "../../tenants/migrate";
import { MIGRATE } from "../../tenants/migrationLock";
import { dueIn, migrationsOf, type MigrationFile } from "../../tenants/migrations";
import { openSites } from "../../tenants/move";
import type { ClusterAccess } from "../../tenants/clusterAccess";
import { Failure } from "../failure";
import { duration, listed, say, warn } from "../print";
import { table } from "../table";
import { untilInterrupted } from "./interrupt";
import { migrationFolder } from "./migrationFolder";
import { chooseTenantStack, clustersOf, explained, onlyWord } from "./stacks";

export interface MigrateCommandOptions {
  readonly plan: boolean;
  readonly lockTimeout: string;
  readonly retry?: string;
  readonly markDone?: string;
  readonly cluster?: string;
  readonly json: boolean;
}

/** How often one that runs for long is told of. */
const STILL_MS = 10_000;

/** `npm run tenant -- migrate [stack] <folder>`: applies SQL files to all clusters, one after the other. */
export async function migrate(words: readonly string[], options: MigrateCommandOptions): Promise<void> {
  const { stack, rest } = chooseTenantStack("tenant -- migrate", words);
  const word = onlyWord(rest, "folder", "npm run tenant -- migrate migrations");
  // npm runs in the project's folder, wherever it was called.
  const folder = path.resolve(process.env["INIT_CWD"] ?? ".", word);
  const verdict = verdictOf(options);
  const lockTimeoutMs = timeoutOf(options.lockTimeout);
  const files = migrationFolder(folder);
  const clusters = await clustersOf(stack);
  if (options.plan) return plan(stack.name, folder, clusters, files, options.json);
  const progress = new Progress(options.json);
  const report = await explained(() => untilInterrupted((signal) => applyMigrations(clusters, files, { lockTimeoutMs, signal, onEvent: (event) => progress.take(event), ...(verdict !== undefined && { verdict }) }))).finally(() => progress.end());
  const hindrances = report.failure === undefined ? await hindrancesIn(clusters) : [];
  if (options.json) console.log(JSON.stringify({ stack: stack.name, folder, ...report, hindrances }, undefined, 2));
  if (report.failure !== undefined) throw new Failure(`${report.failure}.${options.json ? "" : ` ${doneSoFar(report)}`}`);
  if (options.json) return;
  for (const hindrance of hindrances) warn(hindrance);
  console.log(done(report));
}

/** What was done, as a sentence. */
export function done({ clusters }: MigrateReport): string {
  const names = listed(clusters.map(({ cluster }) => cluster));
  const applied = clusters.filter((one) => one.applied.length > 0);
  if (applied.length === 0) return `Clusters ${names} have every migration already.`;
  return `✓ Clusters ${names} have every migration; applied ${applied.map((one) => `${listed(one.applied)} to ${one.cluster}`).join(", ")}.`;
}

/** What a run did that came to a stop, and what is left. */
export function doneSoFar({ clusters }: MigrateReport): string {
  const words = (what: readonly string[]): string => (what.length === 0 ? "nothing" : listed(what));
  return `${clusters.map(({ cluster, applied, left }) => `${cluster}: applied ${words(applied)}${left.length > 0 ? `, left ${words(left)}` : ""}`).join("; ")}. No tenant is moved between clusters that differ. The same command goes on where it was.`;
}

function verdictOf({ plan: only, retry, markDone, cluster }: MigrateCommandOptions): Verdict | undefined {
  const file = retry ?? markDone;
  if (file === undefined) {
    if (cluster !== undefined) throw new Failure("--cluster is for --retry and --mark-done: migrations are applied to every cluster.");
    return undefined;
  }
  if (only) throw new Failure("--plan changes nothing: leave --retry and --mark-done out.");
  if (retry !== undefined && markDone !== undefined) throw new Failure("--retry and --mark-done say different things: give one of them.");
  if (cluster === undefined) throw new Failure(`In which cluster? For example: ${retry === undefined ? "--mark-done" : "--retry"} ${file} --cluster a`);
  return { file, cluster, verdict: retry === undefined ? "done" : "retry" };
}

function timeoutOf(text: string): number {
  if (isDuration(text) && toMilliseconds(text) >= 1) return Math.round(toMilliseconds(text));
  throw new Failure(`--lock-timeout is "${text}": it must be a duration, such as "3 s" or "500 ms".`);
}

/** What a run would apply. As that does, it needs every cluster. */
async function plan(stack: string, folder: string, clusters: readonly ClusterAccess[], files: readonly MigrationFile[], json: boolean): Promise<void> {
  const found = await explained(async () => {
    const sites = await openSites(clusters, MIGRATE, clusters.map(({ name }) => name));
    try {
      return await Promise.all(
        sites.map(async (site) => {
          const migrations = await migrationsOf(site);
          const { pending, problem } = dueIn({ name: site.name, migrations }, files);
          return { cluster: site.name, has: migrations.length, pending: pending.map(({ name }) => name), ...(problem !== undefined && { problem }) };
        }),
      );
    } finally {
      for (const site of sites) site.close();
    }
  });
  if (json) console.log(JSON.stringify({ stack, folder, clusters: found }, undefined, 2));
  else {
    const rows = found.map(({ cluster, has, pending }) => [cluster, String(has), pending.length === 0 ? "nothing" : pending.join(", ")]);
    console.log(table([["cluster", "has", "would be applied"], ...rows], (cell, row) => (row === 0 ? colors.dim(cell) : cell)).join("\n"));
  }
  const problem = found.find((one) => one.problem !== undefined)?.problem;
  if (problem !== undefined) throw new Failure(`${problem}.`);
}

/** What is in the way of moves now: a migration may have made a table that has no fence yet. */
async function hindrancesIn(clusters: readonly ClusterAccess[]): Promise<string[]> {
  const sites = await explained(() => openSites(clusters, MIGRATE, []));
  try {
    return (await Promise.all(sites.map(async ({ name, coordinator }) => (await hindrancesOf(coordinator)).map((hindrance) => hindranceWarning(name, hindrance))))).flat();
  } finally {
    for (const site of sites) site.close();
  }
}

/** Tells a person what is being done, and again where that takes long. */
class Progress {
  private waitsFor = "";
  private running: { readonly what: string; readonly since: number } | undefined;
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly quiet: boolean) {
    this.timer = setInterval(() => {
      if (this.running !== undefined) this.say(`  ${this.running.what} has run for ${duration(performance.now() - this.running.since)}`);
    }, STILL_MS);
  }

  take(event: MigrateEvent): void {
    const what = event.kind === "waits" && event.file === undefined ? event.cluster : `${event.cluster}: ${event.file ?? ""}`;
    if (event.kind !== "waits") this.waitsFor = "";
    this.running = event.kind === "runs" ? { what: `${what}, line ${event.line},`, since: performance.now() } : event.kind === "warns" ? this.running : undefined;
    if (event.kind === "applied") this.say(`  ${what} in ${duration(event.tookMs)}`);
    if (event.kind === "warns") this.say(`  ${what}: ${event.message}`);
    if (event.kind === "waits") {
      const line = `  ${what} waits for ${event.what.replace(/ began \d+ s ago/, "")}`;
      if (line !== this.waitsFor) this.say(`  ${what} waits for ${event.what}`);
      this.waitsFor = line;
    }
  }

  end(): void {
    clearInterval(this.timer);
  }

  private say(line: string): void {
    if (!this.quiet) say(line);
  }
}
