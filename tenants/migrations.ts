import type { Client } from "pg";
import { messageOf, type Site } from "./site";
import { TenantError } from "./tenantError";

/** A file of migrations, to be applied to every cluster. */
export interface MigrationFile {
  /** The file's name: `004_add_topic.sql`. */
  readonly name: string;
  /** SHA-256 of its text. */
  readonly checksum: string;
  /** Whether it runs in a transaction, together with its record. */
  readonly transaction: boolean;
  /** Its statements, each with the line that it begins on. One, where it runs outside of a transaction. */
  readonly statements: readonly { readonly text: string; readonly line: number }[];
}

/** A migration as a cluster has it (`tenancy.migration`). */
export interface Migration {
  readonly name: string;
  readonly checksum: string;
  /** Begun outside of a transaction, and not known to have ended. */
  readonly begun: boolean;
}

/** The migrations of a cluster, of which its coordinator is asked; undefined if it keeps none, because its fence is older or not there. */
export async function migrationsIn(coordinator: Client): Promise<Migration[] | undefined> {
  const { rows: [known] } = await coordinator.query<{ there: boolean }>("SELECT to_regclass('tenancy.migration') IS NOT NULL AS there");
  if (known?.there !== true) return undefined;
  return (await coordinator.query<Migration>('SELECT name, checksum, applied_at IS NULL AS begun FROM tenancy.migration ORDER BY name COLLATE "C"')).rows;
}

/** @throws {@link TenantError} if the cluster keeps none. */
export async function migrationsOf({ name, coordinator }: Site): Promise<Migration[]> {
  const known = await migrationsIn(coordinator);
  if (known === undefined) throw new TenantError(`Cluster ${name} has no fence, or that of an older version. Set tenantFence to true, if it is not, and run npm run up`);
  return known;
}

/** A cluster with its migrations. */
export interface Migrated {
  readonly name: string;
  readonly migrations: readonly Migration[];
}

/** What one cluster has, or does not know to have, and another has not, as a sentence; undefined if all have the same. */
export function migrationGap(clusters: readonly Migrated[]): string | undefined {
  for (const { name, migrations } of clusters) {
    const begun = migrations.find((migration) => migration.begun);
    if (begun !== undefined) return `The migration ${begun.name} was begun in cluster ${name} and is not known to have ended`;
  }
  const [first, ...others] = clusters;
  if (first === undefined) return undefined;
  for (const other of others) {
    for (const [one, two] of [[first, other], [other, first]] as const) {
      const theirs = new Map(two.migrations.map((migration) => [migration.name, migration.checksum]));
      const missing = one.migrations.find((migration) => !theirs.has(migration.name));
      if (missing !== undefined) return `Cluster ${two.name} has not got the migration ${missing.name}, which ${one.name} has`;
      const unlike = one.migrations.find((migration) => theirs.get(migration.name) !== migration.checksum);
      if (unlike !== undefined) return `The migration ${unlike.name} was another in cluster ${two.name} than in ${one.name}`;
    }
  }
  return undefined;
}

/** {@link migrationGap} as a warning of its own. */
export function gapWarning(gap: string): string {
  return `No tenant can be moved between clusters that have not the same migrations. ${gap}: npm run tenant -- migrate.`;
}

/**
 * Refuses a move between clusters that have not the same migrations: what a migration does to rows would be done to a tenant's twice, or never.
 *
 * @throws {@link TenantError} that names the migration.
 */
export async function refuseUnmigrated(sites: readonly Site[]): Promise<void> {
  const gap = migrationGap(await Promise.all(sites.map(async (site) => ({ name: site.name, migrations: await migrationsOf(site) }))));
  if (gap !== undefined) throw new TenantError(`${gap}: no tenant is moved between them, whose rows would be changed twice, or never. Run npm run tenant -- migrate`);
}

/** What a cluster shall do with the files, of what it has. */
export interface Due {
  /** Those that it has not, in their order. */
  readonly pending: readonly MigrationFile[];
  /** Why none may be applied; undefined if they may. */
  readonly problem: string | undefined;
}

/** Compares the files, in their order, with what a cluster has. */
export function dueIn({ name: cluster, migrations }: Migrated, files: readonly MigrationFile[]): Due {
  const byName = new Map(files.map((file) => [file.name, file]));
  const known = new Set(migrations.map(({ name }) => name));
  const pending = files.filter(({ name }) => !known.has(name));
  const problemOf = ({ name, checksum, begun }: Migration): string | undefined => {
    const file = byName.get(name);
    if (file === undefined) return `${name}, which cluster ${cluster} has, is not in the folder: it was renamed or removed, or the folder is another. Put it back`;
    if (begun) return `${name} was begun in cluster ${cluster}, outside of a transaction, and is not known to have ended. Look what of it is there; then --mark-done ${name} --cluster ${cluster} if all is, or else --retry ${name} --cluster ${cluster}`;
    if (checksum !== file.checksum) return `${name} is not as it was when it was applied in cluster ${cluster}. Put its text back, and write what is to change into a file of its own`;
    return undefined;
  };
  const newest = files.findLastIndex(({ name }) => known.has(name));
  const [late] = pending.filter((file) => files.indexOf(file) < newest);
  const problem =
    migrations.map(problemOf).find((one) => one !== undefined) ??
    (late === undefined ? undefined : `${late.name} comes before ${(files[newest] as MigrationFile).name}, which cluster ${cluster} has already. Give it a higher number, so that every cluster has them in one order`);
  return { pending, problem };
}

/** Why a migration failed, as a person reads it: PostgreSQL's and Citus' hints are a way on. */
export function reasonOf(error: unknown): string {
  const { hint } = (error ?? {}) as { readonly hint?: string };
  return [messageOf(error), ...(hint === undefined ? [] : [hint.replace(/\s+/g, " ").replace(/\.$/, "")])].join("; ");
}
