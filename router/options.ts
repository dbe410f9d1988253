import type { ClientBase, ClientConfig, PoolConfig } from "pg";
import { z } from "zod";
import { ConfigurationError } from "./errors";

/** Limits that a cluster may have of its own. */
export interface ClusterLimits {
  /** How long a connection to a cluster may take to open, in milliseconds. @default 900 */
  readonly connectTimeoutMs?: number | undefined;
  /** How long a statement waits for a connection where all that it may have are in use, in milliseconds. @default 10000 */
  readonly poolTimeoutMs?: number | undefined;
  /**
   * How many connections to a cluster one tenant may have at once, so that it cannot take those of the others; its statements wait for one another then. Where connections are scarce, tenants get them in turn.
   *
   * @default no limit, and whoever came first is first
   */
  readonly maxPerTenant?: number | undefined;
  /**
   * How long a tenant's statement may run in the database, in milliseconds; 0: as long as it takes. Then it is cancelled, and fails with `StatementTimeoutError`. In a transaction the database itself sees to that
   * (`SET LOCAL statement_timeout`). Cursors, streams and `router.all` outside of transactions are not limited.
   *
   * @default 0
   */
  readonly statementTimeoutMs?: number | undefined;
}

/** What one tenant may have, where that is another than what its cluster gives. */
export interface TenantLimits {
  /** Connections to a cluster at once; see `maxPerTenant`. */
  readonly max?: number | undefined;
  /** How long its statements wait for a connection, in milliseconds. */
  readonly poolTimeoutMs?: number | undefined;
  /** How long its statements may run, in milliseconds; 0: as long as they take. */
  readonly statementTimeoutMs?: number | undefined;
}

/** How a cluster is left. */
export interface DrainOptions {
  /** How long statements, transactions and connections of one's own that have begun may take to end, in milliseconds, before they are given up (`ClusterDownError`); 0: at once. @default 30000 */
  readonly drainMs?: number | undefined;
}

/** Options of the driver's pool that a router takes; the others are the driver's client's. */
type PoolBounds = Pick<PoolConfig, "max" | "min" | "idleTimeoutMillis" | "allowExitOnIdle" | "maxUses" | "maxLifetimeSeconds">;

/**
 * A cluster's address and limits: what a `pg` pool takes, at least `connectionString` or `host`, and the router's limits where they are others than those of {@link RouterOptions}. A `password` may be a function, which
 * is asked for each connection that is opened, also beside a `connectionString` that has none.
 */
export interface ClusterOptions extends Omit<ClientConfig, "connectionTimeoutMillis">, PoolBounds, ClusterLimits {}

/** Sets up a connection that was opened to a cluster; the connection is used when its promise is fulfilled. */
export type ConnectHook = (client: ClientBase, cluster: string) => unknown;

/** How a router is made. */
export interface RouterOptions extends ClusterLimits {
  /** The clusters by name. The names are those of the stack's `clusters`. */
  readonly clusters: Readonly<Record<string, ClusterOptions>>;
  /**
   * Limits of single tenants, by the id as the databases write it; undefined: the cluster's. It is asked when a tenant is used, and again when the answer is older than 10 seconds, so it has to give it at once.
   *
   *     limits: (tenant) => (trials.has(tenant) ? { max: 2, statementTimeoutMs: 1000 } : undefined)
   */
  readonly limits?: ((tenant: string) => TenantLimits | undefined) | undefined;
  /**
   * Sets up each connection for statements after it was opened, and before it is used: `SET search_path`, `SET ROLE`. What it sets stays, since the router resets nothing. It may take what is left of `connectTimeoutMs`; if it fails,
   * the connection is closed, and who waited for it is told so (`RouterError` `CONNECT_HOOK`, with the `cause`). Behind PgBouncer it is refused: what a session is set to does not stay there, and meets others.
   *
   *     onConnect: (client) => client.query("SET ROLE application")
   */
  readonly onConnect?: ConnectHook | undefined;
  /** For how long, from the first refusal, a statement or a transaction is tried again while its tenant moves, in milliseconds. @default 5000 */
  readonly moveTimeoutMs?: number;
  /**
   * Whether the databases check that what `Tenant.query` runs writes that tenant and no other, wherever both live: each statement is run in a transaction of its own, which costs three round trips. For development
   * and tests; a transaction is bound to its tenant always. @default false
   */
  readonly bindStatements?: boolean;
  /** Of how many tenants the router remembers where they live; of others it asks again. 100,000 take about 12 MB. @default 100000 */
  readonly cachedTenants?: number;
  /** The table that `router.lookup` keeps keys in, with its schema where it needs one. @default "lookups" */
  readonly lookupTable?: string;
}

/** A cluster's limits as they count. No limit of connections is Infinity. */
export type Limits = { readonly [Limit in keyof ClusterLimits]-?: Exclude<ClusterLimits[Limit], undefined> };

/** A cluster's options, sorted by who takes them. */
export interface ClusterSettings {
  readonly given: ClusterOptions;
  readonly connection: ClientConfig;
  readonly bounds: PoolBounds;
  readonly limits: Limits;
}

/** A router's options as they count. */
export interface RouterSettings extends Limits, Required<Omit<RouterOptions, keyof ClusterLimits>> {}

const whole = (from: number, to: number, of = "must be a whole number"): z.ZodInt => {
  const message = `${of} from ${from} to ${to}`;
  return z.int(message).min(from, message).max(to, message);
};
const milliseconds = (from: number, to: number): z.ZodInt => whole(from, to, "must be a whole number of milliseconds");
const flag = z.boolean("must be true or false");

const limits = {
  connectTimeoutMs: milliseconds(50, 60_000).optional(),
  poolTimeoutMs: milliseconds(1, 600_000).optional(),
  maxPerTenant: whole(1, 10_000).optional(),
  statementTimeoutMs: milliseconds(0, 86_400_000).optional(),
};

const { poolTimeoutMs, maxPerTenant: max, statementTimeoutMs } = limits;
const tenantLimits = z.strictObject({ max, poolTimeoutMs, statementTimeoutMs }, { error: ({ code }) => (code === "invalid_type" ? "must be an object such as { max: 2 }, or undefined" : undefined) });

const bounds = {
  max: whole(1, 10_000).optional(),
  min: whole(0, 10_000).optional(),
  idleTimeoutMillis: milliseconds(0, 86_400_000).nullish(),
  allowExitOnIdle: flag.optional(),
  maxUses: z.union([z.literal(Number.POSITIVE_INFINITY), whole(1, 1_000_000_000)], "must be a whole number from 1 to 1000000000, or Infinity").optional(),
  maxLifetimeSeconds: whole(0, 31_536_000).optional(),
};

/** What the driver's client takes: all that its types have, and what they leave out. */
const CLIENT: Readonly<Record<Exclude<keyof ClientConfig, "connectionTimeoutMillis">, true> & Record<string, true>> = {
  ...{ user: true, database: true, password: true, port: true, host: true, connectionString: true, keepAlive: true, keepAliveInitialDelayMillis: true, stream: true, ssl: true, sslnegotiation: true, enableChannelBinding: true },
  ...{ statement_timeout: true, query_timeout: true, lock_timeout: true, idle_in_transaction_session_timeout: true, application_name: true, fallback_application_name: true },
  ...{ types: true, options: true, client_encoding: true, pipeline: true, binary: true, replication: true, scramMaxIterations: true },
};

/** What is told of options that go by another name here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  connectionTimeoutMillis: "is the router's connectTimeoutMs; leave it out",
  poolSize: "is max",
};

const LOOKUP_TABLE = 'must be the name of a table as the database has it, such as "lookups" or "app.lookups"';
const CACHED_TENANTS = "must be a whole number from 1000 to 10000000";
const CLUSTERS = 'must name one cluster or more, such as { a: { connectionString: "postgresql://…" } }';

const cluster = z
  .looseObject({ ...limits, ...bounds }, 'must be a pool\'s configuration, such as { connectionString: "postgresql://…" }')
  .superRefine((options, context) => {
    const problem = (message: string, ...path: string[]): void => context.addIssue({ code: "custom", path, message });
    const { connectionString, host, password, max = 10, min } = options;
    if (typeof connectionString !== "string" && typeof host !== "string") problem("needs a connectionString or a host");
    for (const key of Object.keys(options)) {
      if (key in limits || key in bounds || key in CLIENT) continue;
      problem(ELSEWHERE[key] ?? `is no option of a cluster: those are what a client of pg takes, ${[...Object.keys(bounds), ...Object.keys(limits)].join(", ")}`, key);
    }
    if (password !== undefined && typeof password !== "string" && typeof password !== "function") problem("must be a text, or a function that gives one or a promise of it", "password");
    // The driver takes those of the text, without a word.
    for (const key of ["user", "host", "port", "database"]) if (typeof connectionString === "string" && options[key] !== undefined) problem("is taken from connectionString: leave one of them out", key);
    if (password !== undefined && typeof connectionString === "string" && hasPassword(connectionString)) problem("is in connectionString as well: leave it out there", "password");
    if (min !== undefined && min > max) problem(`must be ${max} at most, which is max`, "min");
  });

const schema = z.strictObject({
  ...limits,
  clusters: z.record(z.string().min(1, "must not be an empty name"), cluster, CLUSTERS).refine((clusters) => Object.keys(clusters).length > 0, CLUSTERS),
  limits: z.custom<RouterOptions["limits"]>((given) => given === undefined || typeof given === "function", "must be a function that gives a tenant's limits, such as (tenant) => ({ max: 2 })").optional(),
  onConnect: z.custom<RouterOptions["onConnect"]>((given) => given === undefined || typeof given === "function", 'must be a function, such as (client) => client.query("SET ROLE application")').optional(),
  moveTimeoutMs: milliseconds(0, 600_000).prefault(5000),
  bindStatements: flag.prefault(false),
  cachedTenants: z.int(CACHED_TENANTS).min(1000, CACHED_TENANTS).max(10_000_000, CACHED_TENANTS).prefault(100_000),
  lookupTable: z.string(LOOKUP_TABLE).regex(/^[^."\0]+(?:\.[^."\0]+)?$/, LOOKUP_TABLE).prefault("lookups"),
});

/** Options with every default applied. @throws {@link ConfigurationError} that names the key and says what would be right. */
export function parseOptions(options: RouterOptions): RouterSettings {
  const parsed = parse(schema, options, "the router's options");
  return { ...parsed, clusters: options.clusters, limits: parsed.limits, onConnect: parsed.onConnect, ...limitsOf(parsed, { connectTimeoutMs: 900, poolTimeoutMs: 10_000, maxPerTenant: Number.POSITIVE_INFINITY, statementTimeoutMs: 0 }) };
}

/**
 * A cluster's options, with limits of the router where it has none of its own.
 *
 * @throws {@link ConfigurationError} that names the key and says what would be right.
 */
export function parseCluster(name: string, options: ClusterOptions, defaults: Limits): ClusterSettings {
  parse(schema.pick({ clusters: true }), { clusters: { [name]: options } }, "clusters");
  const has = (kind: object) => ([key, value]: [string, unknown]): boolean => key in kind && value !== undefined;
  const given = Object.entries(options);
  return {
    given: options,
    connection: Object.fromEntries(given.filter(([key, value]) => !(key in limits || key in bounds) && value !== undefined)),
    bounds: Object.fromEntries(given.filter(has(bounds))),
    limits: limitsOf(options, defaults),
  };
}

/** @throws {@link ConfigurationError} */
export function parseDrain(options: DrainOptions): number {
  return parse(z.strictObject({ drainMs: milliseconds(0, 86_400_000).prefault(30_000) }), options, "the options").drainMs;
}

/** What the application's function gives for a tenant. @throws {@link ConfigurationError} that names the tenant. */
export function parseTenantLimits(tenant: string, give: () => TenantLimits | undefined): TenantLimits {
  const name = `limits(${JSON.stringify(tenant)})`;
  try {
    const given = give() ?? {};
    if ((given as { then?: unknown }).then !== undefined) throw new ConfigurationError(`${name}: must be given at once, and not as a promise`);
    return parse(z.object({ [name]: tenantLimits }), { [name]: given }, name)[name] as TenantLimits;
  } catch (error) {
    throw error instanceof ConfigurationError ? error : new ConfigurationError(`${name}: the function failed${error instanceof Error ? `: ${error.message}` : ""}`, error);
  }
}

function limitsOf(given: ClusterLimits, defaults: Limits): Limits {
  const of = (limit: keyof Limits): number => given[limit] ?? defaults[limit];
  return { connectTimeoutMs: of("connectTimeoutMs"), poolTimeoutMs: of("poolTimeoutMs"), maxPerTenant: of("maxPerTenant"), statementTimeoutMs: of("statementTimeoutMs") };
}

function parse<Schema extends z.ZodType>(by: Schema, given: unknown, whole: string): z.output<Schema> {
  const parsed = by.safeParse(given);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.length === 0 ? whole : path.join(".")}: ${message}`);
  throw new ConfigurationError(problems.join("; "), parsed.error);
}

/** Whether a connection's text has a password. */
function hasPassword(connectionString: string): boolean {
  try {
    const { password, searchParams } = new URL(connectionString, "postgres://base");
    return password !== "" || searchParams.has("password");
  } catch {
    return false;
  }
}
