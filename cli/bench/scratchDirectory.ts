import { Client, type PoolConfig } from "pg";
import { writeRecords } from "../../tenants/record";
import { CREATE_CHANGES, CREATE_FENCE_TABLES, CREATE_HORIZON, CREATE_REGIONS, fenceFunctions } from "../../topology/fence";
import { Failure } from "../failure";

/** The database, and what tells it from one that somebody else calls so. */
const DATABASE = "citus_sharding_bench_directory";
const COMMENT = "Made by npm run bench:directory, and dropped by the next one";

/** Held on the cluster's own database as long as the bench runs. */
const BENCH_LOCK = 7780;

const RECORDS_AT_ONCE = 250_000;

/** What Citus has, and the scratch database has not: there the tables are the copies that Citus would keep on each node. The router finds no table of tenants, and takes ids for texts. */
const INSTEAD_OF_CITUS = [
  "CREATE FUNCTION create_reference_table(text) RETURNS void LANGUAGE sql AS 'SELECT'",
  "CREATE FUNCTION column_to_column_name(regclass, text) RETURNS text LANGUAGE sql AS 'SELECT $2'",
  'CREATE TABLE pg_dist_partition (logicalrelid regclass, partmethod "char", partkey text)',
];

/** A cluster that a bench is on. */
export interface BenchCluster {
  readonly name: string;
  /** Connection URI of the coordinator, of a superuser. */
  readonly uri: string;
}

/**
 * A directory of tenants in a database of its own beside the cluster's: with the tables, functions and triggers that the set-up makes, and none of the cluster's records. It plays as many clusters as there are names: to each
 * session it is the one that its setting `bench.self` says.
 */
export class ScratchDirectory {
  private session: Client | undefined;
  /** Whether no other bench can have it. */
  private locked = false;

  private constructor(
    private readonly cluster: BenchCluster,
    private readonly admin: Client,
  ) {}

  /** Makes it anew. One that a bench left behind that was killed goes first. @throws {@link Failure} where another bench has it, or somebody else. */
  static async make(cluster: BenchCluster, names: readonly string[]): Promise<ScratchDirectory> {
    const scratch = new ScratchDirectory(cluster, await connected({ connectionString: cluster.uri }));
    try {
      await scratch.create(names);
      return scratch;
    } catch (error) {
      await scratch.remove();
      throw error;
    }
  }

  /** How many connections more the server takes. */
  async freeConnections(): Promise<number> {
    const { rows } = await this.admin.query<{ free: number }>(
      "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS free",
    );
    return rows[0]?.free ?? 0;
  }

  /** How a router connects to one of the clusters that it plays. */
  as(name: string): PoolConfig {
    return { connectionString: this.uri, options: `-c bench.self=${name}` };
  }

  /** Fills it with records of tenants `t1`, `t2`, …, which live in these clusters in turn. @param told of how many there are. */
  async fill(records: number, homes: readonly string[], told: (records: number) => void): Promise<void> {
    const session = this.open;
    // Whether it survives a crash is of no interest, and nobody has to have a copy.
    await session.query("ALTER TABLE tenancy.tenant SET UNLOGGED");
    for (let from = 1; from <= records; from += RECORDS_AT_ONCE) {
      const to = Math.min(records, from + RECORDS_AT_ONCE - 1);
      await session.query("INSERT INTO tenancy.tenant (tenant, home, epoch, state) SELECT 't' || n, ($1::text[])[1 + n % cardinality($1::text[])], 1, 'settled' FROM generate_series($2::int, $3::int) AS n", [homes, from, to]);
      told(to);
    }
    await session.query("BEGIN");
    for (const statement of CREATE_CHANGES) await session.query(statement);
    await session.query("COMMIT");
    const shards = { ring: "tenancy.ring", tenant: "tenancy.tenant", generation: "tenancy.generation" };
    for (const { statement } of fenceFunctions([], "text", shards)) await session.query(statement);
    await session.query("ANALYZE tenancy.tenant");
  }

  /** Spreads tenants without a record over clusters. */
  async spread(version: number, clusters: readonly string[]): Promise<void> {
    await this.open.query("UPDATE tenancy.rings SET version = $1, clusters = $2", [version, clusters]);
  }

  /** Writes a tenant's record as a move does. */
  async write(tenant: string, home: string, epoch: number): Promise<void> {
    await writeRecords(this.open, [{ tenant, home, epoch, state: "settled" }], []);
  }

  /** Drops it, whoever is connected. */
  async remove(): Promise<void> {
    await this.session?.end().catch(() => undefined);
    try {
      if (this.locked && (await this.isOwn())) await this.admin.query(`DROP DATABASE ${DATABASE} WITH (FORCE)`);
    } finally {
      await this.admin.end().catch(() => undefined);
    }
  }

  private get open(): Client {
    if (this.session === undefined) throw new Error("the scratch directory is not made yet");
    return this.session;
  }

  private get uri(): string {
    const uri = new URL(this.cluster.uri);
    uri.pathname = `/${DATABASE}`;
    return uri.href;
  }

  private async create(names: readonly string[]): Promise<void> {
    const { name } = this.cluster;
    const { rows: [lock] } = await this.admin.query<{ mine: boolean }>("SELECT pg_try_advisory_lock($1, 0) AS mine", [BENCH_LOCK]);
    if (lock?.mine !== true) throw new Failure(`Another bench:directory runs on cluster ${name}. Wait for its end.`);
    this.locked = true;
    if (await this.isOwn()) await this.admin.query(`DROP DATABASE ${DATABASE} WITH (FORCE)`);
    await this.admin.query(`CREATE DATABASE ${DATABASE} TEMPLATE template0`).catch((error: unknown) => {
      if ((error as { code?: string }).code === "42P04") throw new Failure(`Cluster ${name} has a database ${DATABASE} that is not marked as this bench's. Drop it if nobody needs it: DROP DATABASE ${DATABASE}`);
      throw error;
    });
    await this.admin.query(`COMMENT ON DATABASE ${DATABASE} IS '${COMMENT}'`);
    this.session = await connected({ connectionString: this.uri, options: `-c bench.self=${name}` });
    for (const statement of [...INSTEAD_OF_CITUS, ...CREATE_FENCE_TABLES, ...CREATE_HORIZON, ...CREATE_REGIONS]) await this.session.query(statement);
    await this.session.query("ALTER TABLE tenancy.ring RENAME TO rings");
    await this.session.query("CREATE VIEW tenancy.ring AS SELECT * FROM tenancy.rings WHERE self = current_setting('bench.self', true)");
    await this.session.query("INSERT INTO tenancy.rings (self, version, clusters) SELECT self, 1, $1 FROM unnest($1::text[]) AS self", [names]);
  }

  /** Whether it is there, and of this bench. */
  private async isOwn(): Promise<boolean> {
    const { rowCount } = await this.admin.query("SELECT FROM pg_database WHERE datname = $1 AND shobj_description(oid, 'pg_database') = $2", [DATABASE, COMMENT]);
    return rowCount === 1;
  }
}

async function connected(config: PoolConfig): Promise<Client> {
  const client = new Client({ ...config, application_name: "citus-sharding bench" });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}
