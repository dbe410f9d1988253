import { weightsOf } from "../router/tickets";
import { writeEveryShard } from "../setup/probe";
import { SPREAD } from "../setup/registry";
import { reason } from "../setup/setupError";
import { hindrancesOf } from "../tenants/hindrances";
import { migrationsIn, type Migration } from "../tenants/migrations";
import { connect } from "./connections";

/** A node as Citus has it registered. */
export interface RegisteredNode {
  readonly name: string;
  readonly active: boolean;
  /** Placements of the application's shards. */
  readonly placements: number;
}

/** What a cluster's coordinator tells, and what a write to every shard came to. */
export interface CitusStatus {
  readonly cluster: string;
  readonly nodes: readonly RegisteredNode[];
  /** Number of shards that were written to. */
  readonly shards: number;
  /** Shards that took no write: how many, by what they say. */
  readonly refusals: Readonly<Record<string, number>>;
  /** How long the writes took. */
  readonly writeMs: number;
  /** Tables of which each shard has one placement alone. */
  readonly singleCopies?: readonly string[];
  /** What it knows of tenants; absent where it fences none. */
  readonly tenancy?: TenancyStatus;
  /** Why nothing of this is known, if so. */
  readonly problem?: string;
}

/** What a cluster knows of the stack's tenants. */
export interface TenancyStatus {
  /** The clusters that tenants are spread over; empty: it was not told yet, and takes no writes. */
  readonly ring: readonly string[];
  /** The weight of each of them. */
  readonly weights: Readonly<Record<string, number>>;
  /** Where clusters are, by their names. */
  readonly regions: Readonly<Record<string, string>>;
  /** Whether a change of the ring is under way. */
  readonly changing: boolean;
  /** Tenants that are on their way, or whose move stopped half-way. */
  readonly unsettled: number;
  /** Why no tenant can be moved from here or to here, as sentences. */
  readonly hindrances: readonly string[];
  /** The migrations that it has; undefined where its fence is older than these. */
  readonly migrations?: readonly Migration[];
}

const NODES = `
  SELECT nodename AS name, isactive AS active, count(placementid) FILTER (WHERE s.shardid IS NOT NULL)::int AS placements
  FROM pg_dist_node LEFT JOIN pg_dist_placement p USING (groupid) LEFT JOIN pg_dist_shard s ON s.shardid = p.shardid AND s.logicalrelid::text = ANY ($1)
  WHERE noderole = 'primary' GROUP BY nodename, nodeport, isactive`;

const SINGLE_COPIES = `
  SELECT coalesce(array_agg(logicalrelid::text ORDER BY logicalrelid::text), '{}') AS tables
  FROM pg_dist_partition JOIN pg_dist_colocation USING (colocationid) WHERE ${SPREAD} AND replicationfactor = 1`;

const TENANCY = `
  SELECT coalesce((SELECT clusters FROM tenancy.ring), '{}') AS tickets, coalesce((SELECT next IS NOT NULL FROM tenancy.ring), false) AS changing,
    (SELECT count(*)::int FROM tenancy.tenant WHERE move IS NOT NULL OR state <> 'settled') AS unsettled`;

/** What {@link TENANCY} gives. */
interface Known extends Pick<TenancyStatus, "changing" | "unsettled"> {
  readonly tickets: readonly string[];
}

function told({ tickets, ...others }: Known, regions: TenancyStatus["regions"], hindrances: readonly string[]): TenancyStatus {
  const weights = weightsOf(tickets);
  return { ring: Object.keys(weights), weights, regions, ...others, hindrances };
}

/** Asks a cluster's coordinator, and writes to every shard. Takes at most some 20 s, whatever the nodes do. */
export async function citusStatus(cluster: string, uri: string, tables: readonly string[]): Promise<CitusStatus> {
  const unknown = (problem: string): CitusStatus => ({ cluster, nodes: [], shards: 0, refusals: {}, writeMs: 0, problem });
  let client;
  try {
    client = await connect(uri);
  } catch (error) {
    return unknown(reason(error));
  }
  try {
    const { rows: nodes } = await client.query<RegisteredNode>(NODES, [tables]);
    const { rows: [single] } = await client.query<{ tables: string[] }>(SINGLE_COPIES);
    const { rows: known } = await client.query("SELECT FROM pg_class WHERE oid = to_regclass('tenancy.tenant')");
    const { rows: [tenancy] } = known.length === 0 ? { rows: [] } : await client.query<Known>(TENANCY);
    // One that an older version made has no such column.
    const { rows: [ring] } = tenancy === undefined ? { rows: [] } : await client.query<{ regions?: Record<string, string> }>("SELECT * FROM tenancy.ring");
    const hindrances = tenancy === undefined ? [] : await hindrancesOf(client);
    const migrations = tenancy === undefined ? undefined : await migrationsIn(client);
    const startedAt = performance.now();
    const { shards, failed } = await writeEveryShard(client);
    const refusals: Record<string, number> = {};
    for (const { error } of failed) {
      // What the driver says of a statement that hangs, mostly on a lock that a frozen worker holds.
      const answer = error === "Query read timeout" ? "no answer in time" : error;
      refusals[answer] = (refusals[answer] ?? 0) + 1;
    }
    return { cluster, nodes, shards, refusals, writeMs: Math.round(performance.now() - startedAt), singleCopies: single?.tables ?? [], ...(tenancy !== undefined && { tenancy: { ...told(tenancy, ring?.regions ?? {}, hindrances), ...(migrations !== undefined && { migrations }) } }) };
  } catch (error) {
    return unknown(reason(error));
  } finally {
    // Not waited for: a coordinator that is frozen does not say goodbye.
    void client.end().catch(() => undefined);
  }
}
