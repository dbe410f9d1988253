import { Client, type ClientConfig, type QueryConfig } from "pg";
import type { ClusterAccess } from "./clusterAccess";
import { TenantError } from "./tenantError";

const CONNECT_TIMEOUT_MS = 3000;

/** Longer than any statement of a move takes but the copies, which set their own. */
const STATEMENT_TIMEOUT_MS = 15_000;

/** Rows that were copied, and what decides who has them, are there after a crash whatever a role or a database has set. */
const DURABLE = "synchronous_commit=on";

/** What waits for somebody else's transaction holds what it has locked up to then: not for one that is gone. */
const GONE = "client_connection_check_interval=500ms";

/**
 * Values are written the same way by every session, whatever a role or a database has set: what one cluster prints is what the other reads, and equal rows have equal texts.
 */
const OPTIONS = [
  "TimeZone=UTC",
  "DateStyle=ISO",
  "IntervalStyle=postgres",
  "extra_float_digits=1",
  "bytea_output=hex",
  "client_min_messages=warning",
  GONE,
  DURABLE,
  // What is made on a shard is the shard's alone.
  "citus.enable_ddl_propagation=off",
]
  .map((setting) => `-c ${setting}`)
  .join(" ");

/** Values stay the texts that PostgreSQL sends: a driver's Date would lose microseconds. */
const AS_TEXT = { getTypeParser: () => (value: string) => value } as unknown as NonNullable<ClientConfig["types"]>;

/** How one reaches a cluster whose coordinator the driver is configured for. */
export interface DriverAccess {
  readonly name: string;
  readonly client: ClientConfig;
  /** As {@link ClusterAccess.nodes}. @default where the cluster's own nodes reach each other */
  readonly nodes?: ClusterAccess["nodes"];
}

/** How one reaches a cluster. */
export type SiteAccess = ClusterAccess | DriverAccess;

/** A cluster that an operation works on: a session on its coordinator, and sessions on its workers as they are needed. */
export class Site {
  private readonly sessions = new Map<string, Promise<Client>>();
  private readonly copies = new Map<string, Promise<string>>();

  private constructor(
    private readonly access: SiteAccess,
    /** What its sessions are called in `pg_stat_activity`. */
    private readonly applicationName: string,
    /** The session on the coordinator. Its values come as JavaScript values. */
    readonly coordinator: Client,
  ) {}

  /** @throws {@link TenantError} that names the cluster, if its coordinator does not answer. */
  static async open(access: SiteAccess, applicationName: string): Promise<Site> {
    try {
      return new Site(access, applicationName, await session(coordinatorConfig(access, applicationName)));
    } catch (error) {
      throw new TenantError(`Cluster ${access.name} does not answer: ${messageOf(error)}. Bring it back, or wait until it is`, { cause: error });
    }
  }

  get name(): string {
    return this.access.name;
  }

  /** The session on a worker, opened once and kept. Values are texts. */
  node(name: string): Promise<Client> {
    const known = this.sessions.get(name);
    if (known !== undefined) return known;
    const opened = this.openNode(name, { options: OPTIONS });
    this.sessions.set(name, opened);
    return opened;
  }

  /** A session on a worker for a COPY, which may take as long as it moves. The caller ends it. */
  copying(name: string): Promise<Client> {
    return this.openNode(name, { query_timeout: 0, options: OPTIONS });
  }

  /** A session on a worker that speaks the replication protocol. The caller ends it. */
  replication(name: string): Promise<Client> {
    return this.openNode(name, { query_timeout: 0, replication: "database", options: OPTIONS } as ClientConfig);
  }

  /** The table that every node has its own copy of the ring, of the records or of the generations in. */
  ownCopy(table: "ring" | "tenant" | "generation"): Promise<string> {
    const known = this.copies.get(table);
    if (known !== undefined) return known;
    const found = this.coordinator
      .query<{ name: string }>("SELECT shard_name(logicalrelid, shardid, false) AS name FROM pg_dist_shard WHERE logicalrelid = $1::text::regclass", [`tenancy.${table}`])
      .then(({ rows }) => (rows[0] as { name: string }).name);
    this.copies.set(table, found);
    return found;
  }

  /** The same cluster by sessions of their own, none of which is broken yet. The caller closes it. @throws as {@link open} does. */
  again(): Promise<Site> {
    return Site.open(this.access, this.applicationName);
  }

  /** Another session on the coordinator. The caller ends it. @param timeoutMs how long each of its statements may take; 0: as long as it needs. */
  another(timeoutMs = STATEMENT_TIMEOUT_MS): Promise<Client> {
    return session({ ...coordinatorConfig(this.access, this.applicationName), query_timeout: timeoutMs });
  }

  /** Whether every session that is kept still answers. */
  async answers(timeoutMs: number): Promise<boolean> {
    const kept = [Promise.resolve(this.coordinator), ...this.sessions.values()];
    const asked = await Promise.allSettled(kept.map(async (opened) => (await opened).query({ text: "SELECT", query_timeout: timeoutMs } as QueryConfig)));
    return asked.every(({ status }) => status === "fulfilled");
  }

  /** Ends every session without waiting: a frozen server does not say goodbye. */
  close(): void {
    abandon(this.coordinator);
    for (const opened of this.sessions.values()) void opened.then(abandon, () => undefined);
  }

  private async openNode(name: string, more: ClientConfig): Promise<Client> {
    const address = this.addressOf(name);
    if (address === undefined) {
      throw new TenantError(`Cluster ${this.name} has a node ${name} whose address is not known here: it is not of the stack. Run npm run up, or move its shards away`);
    }
    // The coordinator's URI gives user, password and database.
    const { user, password, database } = this.coordinator;
    try {
      return await session({
        host: address.host,
        port: address.port,
        user,
        password,
        ...(database !== undefined && { database }),
        ...("client" in this.access && this.access.client.ssl !== undefined && { ssl: this.access.client.ssl }),
        application_name: this.applicationName,
        types: AS_TEXT,
        ...more,
      });
    } catch (error) {
      const where = address === this.access.nodes?.[name] ? "" : ` at ${name}, where the cluster has it: give its address in nodes where that is another from here`;
      throw new TenantError(`The worker ${name} of cluster ${this.name} does not answer${where}: ${messageOf(error)}. Bring it back, or wait until it is`, { cause: error });
    }
  }

  private addressOf(name: string): { readonly host: string; readonly port: number } | undefined {
    const { nodes } = this.access;
    if (nodes !== undefined) return nodes[name];
    const end = name.lastIndexOf(":");
    return { host: name.slice(0, end), port: Number(name.slice(end + 1)) };
  }
}

function coordinatorConfig(access: SiteAccess, applicationName: string): ClientConfig {
  const own = "client" in access ? access.client : { connectionString: access.uri };
  return { ...own, application_name: applicationName, options: `-c ${DURABLE} -c ${GONE}` };
}

/** Has a session on a worker write as a move does: the fence lets it through where a record names the move, and the triggers and foreign keys of the user rest, whose effects come with the rows. */
export async function writeAs(session: Client, move: string): Promise<void> {
  await session.query("SELECT set_config('tenancy.move', $1, false), set_config('session_replication_role', 'replica', false)", [move]);
}

async function session(config: ClientConfig): Promise<Client> {
  const client = new Client({ connectionTimeoutMillis: CONNECT_TIMEOUT_MS, query_timeout: STATEMENT_TIMEOUT_MS, keepAlive: true, ...config });
  // A session that breaks makes its next statement fail; without a listener it would end the process.
  client.on("error", () => undefined);
  try {
    await client.connect();
    return client;
  } catch (error) {
    abandon(client);
    throw error;
  }
}

/** Drops a session without a goodbye. */
export function abandon(client: Client): void {
  (client as unknown as { connection: { stream: { destroy: () => void } } }).connection.stream.destroy();
}

/** What went wrong, on one line without a full stop. */
export function messageOf(error: unknown): string {
  const { message = "", code = "", detail = "" } = (error ?? {}) as Partial<Record<"message" | "code" | "detail", string>>;
  return [message === "" ? code : message, detail].filter((part) => part !== "").join("; ").replace(/\s+/g, " ").replace(/\.$/, "");
}
