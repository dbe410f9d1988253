import type { PoolConfig } from "pg";
import { z } from "zod";
import { ConfigurationError } from "./errors";

/** How a router is made. */
export interface RouterOptions {
  /** The clusters by name, each as a `pg` pool is configured: at least `connectionString` or `host`. The names are those of the stack's `clusters`. */
  readonly clusters: Readonly<Record<string, PoolConfig>>;
  /** How long a connection to a cluster may take to open, in milliseconds. @default 900 */
  readonly connectTimeoutMs?: number;
  /** How long a statement waits for a connection of a pool whose connections are all in use, in milliseconds. @default 10000 */
  readonly poolTimeoutMs?: number;
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

/** Limits of time, in milliseconds. */
export type Limits = Required<Pick<RouterOptions, "connectTimeoutMs" | "poolTimeoutMs" | "moveTimeoutMs">>;

const milliseconds = (from: number, to: number): z.ZodInt => {
  const message = `must be a whole number of milliseconds from ${from} to ${to}`;
  return z.int(message).min(from, message).max(to, message);
};

const LOOKUP_TABLE = 'must be the name of a table as the database has it, such as "lookups" or "app.lookups"';
const CACHED_TENANTS = "must be a whole number from 1000 to 10000000";
const CLUSTERS = 'must name one cluster or more, such as { a: { connectionString: "postgresql://…" } }';

const schema = z.strictObject({
  clusters: z
    .record(z.string().min(1, "must not be an empty name"), z.looseObject({}, "must be a pool's configuration, such as { connectionString: \"postgresql://…\" }"), CLUSTERS)
    .superRefine((clusters, context) => {
      if (Object.keys(clusters).length === 0) context.addIssue({ code: "custom", message: CLUSTERS });
      for (const [name, { connectionString, host, connectionTimeoutMillis }] of Object.entries(clusters)) {
        if (typeof connectionString !== "string" && typeof host !== "string") context.addIssue({ code: "custom", path: [name], message: "needs a connectionString or a host" });
        if (connectionTimeoutMillis !== undefined) context.addIssue({ code: "custom", path: [name, "connectionTimeoutMillis"], message: "is the router's connectTimeoutMs; leave it out" });
      }
    }),
  connectTimeoutMs: milliseconds(50, 60_000).prefault(900),
  poolTimeoutMs: milliseconds(1, 600_000).prefault(10_000),
  moveTimeoutMs: milliseconds(0, 600_000).prefault(5000),
  bindStatements: z.boolean("must be true or false").prefault(false),
  cachedTenants: z.int(CACHED_TENANTS).min(1000, CACHED_TENANTS).max(10_000_000, CACHED_TENANTS).prefault(100_000),
  lookupTable: z.string(LOOKUP_TABLE).regex(/^[^."\0]+(?:\.[^."\0]+)?$/, LOOKUP_TABLE).prefault("lookups"),
});

/** Options with every default applied. @throws {@link ConfigurationError} that names the key and says what would be right. */
export function parseOptions(options: RouterOptions): Required<RouterOptions> {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.length === 0 ? "the router's options" : path.join(".")}: ${message}`);
  throw new ConfigurationError(problems.join("; "), parsed.error);
}
