import { escapeIdentifier, type QueryResultRow } from "pg";
import type { Cluster } from "./cluster";
import { ConfigurationError } from "./errors";
import type { Shared } from "./home";
import { lookupBucket } from "./lookupBucket";
import { Tenant, type QueryOptions } from "./tenant";
import { idOf, type IdType, type TenantId } from "./tenantId";

/** Whose a key is after somebody claimed it. */
export interface Claimed {
  /** Whether it is the tenant's that it was claimed for; also where it was before. */
  readonly claimed: boolean;
  /** The tenant that has it. */
  readonly tenant: string;
}

/** What keeps a table from keeping keys apart, as a text; null: nothing. */
const PROBLEM = `
  SELECT CASE
    WHEN t.oid IS NULL THEN 'does not exist'
    WHEN p.partmethod IS DISTINCT FROM 'h' THEN 'is not distributed'
    WHEN column_to_column_name(p.logicalrelid, p.partkey) <> 'bucket' THEN 'is not distributed by bucket'
    WHEN NOT EXISTS (SELECT FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid WHERE g.tgrelid = t.oid AND f.pronamespace = 'tenancy'::regnamespace) THEN 'has no fence'
    WHEN NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND (SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute WHERE attrelid = t.oid AND attnum = ANY (i.indkey)) = '{bucket,key,kind}') THEN 'has no primary key of bucket, kind and key'
    WHEN (SELECT count(*) FROM pg_attribute a JOIN pg_collation l ON l.oid = a.attcollation WHERE attrelid = t.oid AND attname IN ('kind', 'key') AND atttypid = 'text'::regtype AND collisdeterministic) <> 2
      THEN 'has a kind or a key that is no text, or has a collation by which different texts are equal'
  END AS problem
  FROM (SELECT to_regclass($1)::oid AS oid) AS t LEFT JOIN pg_dist_partition p ON p.logicalrelid = t.oid`;

/**
 * Keys that lead to tenants, such as an e-mail to the account that it belongs to: each key of a kind belongs to one tenant of all clusters. Make it with `router.lookup`.
 *
 * A key is a row of a table that is fenced as those of tenants are, by a bucket that its hash gives it. A bucket has one home, as a tenant has, and moves as one.
 */
export class KeyLookup {
  private readonly table: string;

  /** @internal */
  constructor(
    /** What the keys are. */
    readonly kind: string,
    private readonly shared: Shared,
    private readonly idType: IdType | undefined,
    private readonly options: { readonly table: string; readonly checked: Set<Cluster> },
  ) {
    refuseText("kind", kind);
    this.table = options.table.split(".").map(escapeIdentifier).join(".");
  }

  /**
   * The tenant that has a key; undefined if none has. While the key's bucket moves this may be what was so a moment ago; {@link claim} is never.
   *
   * @throws what {@link Tenant.query} throws.
   */
  async find(key: string, options: QueryOptions = {}): Promise<string | undefined> {
    const { rows } = await this.ask<{ tenant: string }>(key, (table) => `SELECT tenant::text AS tenant FROM ${table} WHERE bucket = $1 AND kind = $2 AND key = $3`, [], options);
    return rows[0]?.tenant;
  }

  /**
   * Gives a key to a tenant, if no other has it. Of several who claim it at once one gets it, and the others are told whose it is. The same claim may be made again, as after an error whose `applied` is `unknown`.
   *
   * @throws what {@link Tenant.query} throws; {@link ConfigurationError} if the id cannot be one.
   */
  async claim(key: string, tenant: TenantId, options: QueryOptions = {}): Promise<Claimed> {
    const id = idOf(tenant, this.idType);
    // Who has it already is written as well, and not changed: only where the bucket lives can a row be written, so that the answer is true.
    const text = (table: string): string =>
      `INSERT INTO ${table} AS known (bucket, kind, key, tenant) VALUES ($1, $2, $3, $4) ON CONFLICT (bucket, kind, key) DO UPDATE SET tenant = known.tenant RETURNING tenant::text AS tenant`;
    const { rows } = await this.ask<{ tenant: string }>(key, text, [id], options);
    const owner = (rows[0] as { tenant: string }).tenant;
    return { claimed: owner === id, tenant: owner };
  }

  /** Takes a key away from a tenant, if it has it. @returns whether it had. @throws what {@link claim} throws. */
  async release(key: string, tenant: TenantId, options: QueryOptions = {}): Promise<boolean> {
    const { rowCount } = await this.ask(key, (table) => `DELETE FROM ${table} WHERE bucket = $1 AND kind = $2 AND key = $3 AND tenant = $4`, [idOf(tenant, this.idType)], options);
    return rowCount === 1;
  }

  private async ask<Row extends QueryResultRow>(key: string, textFor: (table: string) => string, more: readonly string[], options: QueryOptions): Promise<{ rows: Row[]; rowCount: number | null }> {
    refuseText("key", key);
    const bucket = new Tenant(lookupBucket(this.kind, key, this.idType), this.shared);
    await this.check((await bucket.locate()).home, options);
    return bucket.query<Row>(textFor(this.table), [bucket.id, this.kind, key, ...more], options);
  }

  /** Looks once whether a cluster's table keeps keys apart. */
  private async check(home: string, { signal }: QueryOptions): Promise<void> {
    const cluster = this.shared.clusters.get(home);
    if (cluster === undefined || this.options.checked.has(cluster)) return;
    const { rows } = await cluster.query<{ problem: string | null }>(PROBLEM, [this.table], signal);
    const problem = rows[0]?.problem;
    if (typeof problem === "string") {
      throw new ConfigurationError(
        `clusters.${home}: the table ${this.options.table} ${problem}, and keys of ${this.kind} cannot be kept there. Create it in the stack's schema.file with a bucket of the type of the tenants' ids, ` +
          `(bucket bigint NOT NULL, kind text NOT NULL, key text NOT NULL, tenant bigint NOT NULL, PRIMARY KEY (bucket, kind, key)) for one, put it into schema.tables by bucket, and run npm run up`,
      );
    }
    this.options.checked.add(cluster);
  }
}

/** @throws {@link ConfigurationError} if a text is none that PostgreSQL has. */
function refuseText(what: string, text: unknown): void {
  if (typeof text !== "string" || text === "" || /[\0\p{Surrogate}]/u.test(text)) throw new ConfigurationError(`The ${what} of a lookup must be a text that is not empty, without NUL and unpaired surrogates`);
}
