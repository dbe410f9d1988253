import { Client, type QueryConfig, type QueryResultRow } from "pg";
import { SET_UP_LOCK, TAKING_OUT_LOCK } from "../topology/locks";
import type { Endpoint, NodeAddress } from "../topology/plan";

/** What one node answered. */
export interface NodeAnswer {
  readonly ok: boolean;
  /** The single value that the statement gave; the error where it failed. */
  readonly result: string;
}

/** A session that is there answers sooner. */
const ANSWER_MS = 3000;

const SESSION_SETTINGS = [
  // A worker that is gone costs seconds, not Citus's 30.
  "citus.node_connection_timeout=5s",
  // A set-up that was killed leaves no statement running behind it.
  "client_connection_check_interval=500ms",
  "client_min_messages=warning",
];

/** The set-up's way to a cluster: a session on the coordinator, which reaches every node as the coordinator reaches it. */
export class Coordinator {
  private constructor(
    /** The coordinator's name in messages. */
    readonly name: string,
    private readonly endpoint: Endpoint,
    private client: Client,
  ) {}

  /** Connects once. @throws the driver's error if that fails. */
  static async connect(name: string, endpoint: Endpoint): Promise<Coordinator> {
    return new Coordinator(name, endpoint, await openSession(endpoint));
  }

  /** The rows that a statement gives. */
  async query<Row extends QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.client.query<Row>(text, [...values])).rows;
  }

  /** The first row that a statement gives. */
  async row<Row extends QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row> {
    const [row] = await this.query<Row>(text, values);
    if (row === undefined) throw new Error(`no row from: ${text}`);
    return row;
  }

  /** Runs statements in one transaction. */
  async transaction<Result>(work: () => Promise<Result>): Promise<Result> {
    await this.client.query("BEGIN");
    try {
      const result = await work();
      await this.client.query("COMMIT");
      return result;
    } catch (error) {
      await this.client.query("ROLLBACK").catch(() => undefined);
      throw error;
    }
  }

  /**
   * Runs a statement that gives one value on each node, registered or not, over connections that the coordinator opens:
   * an answer proves that name, port, credentials and TLS between nodes are right.
   */
  async onNodes(nodes: readonly NodeAddress[], statement: string): Promise<NodeAnswer[]> {
    return this.runOnNodes(nodes.map((node) => ({ node, statement })));
  }

  /** Runs statements on nodes, each on a connection of its own, all at once. The answers are in the order of the statements. */
  async runOnNodes(statements: readonly { readonly node: NodeAddress; readonly statement: string }[]): Promise<NodeAnswer[]> {
    if (statements.length === 0) return [];
    return this.query<{ ok: boolean; result: string }>("SELECT success AS ok, result FROM master_run_on_worker($1::text[], $2::int[], $3::text[], true)", [
      statements.map(({ node }) => node.host),
      statements.map(({ node }) => node.port),
      statements.map(({ statement }) => statement),
    ]);
  }

  /** Why the coordinator does not reach a node, in libpq's words; undefined if it does. */
  async unreachableBecause(node: NodeAddress): Promise<string | undefined> {
    let warning: string | undefined;
    const listen = ({ message }: { message?: string | undefined }): void => void (warning = message?.replace(/^.*following error: /s, "").replace(/\s+/g, " ").trim());
    this.client.on("notice", listen);
    const { reached } = await this.row<{ reached: boolean }>("SELECT citus_check_connection_to_node($1, $2) AS reached", [node.host, node.port]);
    this.client.off("notice", listen);
    return reached ? undefined : (warning ?? "no reason was given");
  }

  /** Another session, for statements that run beside each other. The caller ends it. */
  open(): Promise<Client> {
    return openSession(this.endpoint);
  }

  /** Makes this set-up the cluster's only one, if there is no other; the guard takes the same lock while it brings a worker back. The lock goes with the session, so a killed set-up leaves none. */
  async lock(): Promise<boolean> {
    return (await this.row<{ alone: boolean }>(`SELECT pg_try_advisory_lock(${SET_UP_LOCK}) AS alone`)).alone;
  }

  /** Whether the guard takes a worker out of service right now, and breaks connections to it. */
  async isTakingOut(): Promise<boolean> {
    return !(await this.row<{ over: boolean }>(`SELECT pg_try_advisory_xact_lock_shared(${TAKING_OUT_LOCK}) AS over`)).over;
  }

  /** Connects anew, once: a session remembers connections to nodes that have restarted since. The lock went with the session before. */
  async reconnect(): Promise<void> {
    await this.close();
    this.client = await openSession(this.endpoint);
  }

  /** Whether the session is still there. A coordinator that is frozen does not answer. */
  answers(): Promise<boolean> {
    return this.client.query({ text: "SELECT", query_timeout: ANSWER_MS } as QueryConfig).then(
      () => true,
      () => false,
    );
  }

  async close(): Promise<void> {
    await this.client.end().catch(() => undefined);
  }

  /** The session itself. */
  get session(): Client {
    return this.client;
  }
}

async function openSession({ host, port, user, database }: Endpoint): Promise<Client> {
  const client = new Client({
    host,
    port,
    user,
    database,
    password: process.env["PGPASSWORD"],
    // Whatever PGSSLMODE says: the port is this machine's, and the server's certificate is self-signed.
    ssl: false,
    application_name: "citus-sharding set-up",
    options: SESSION_SETTINGS.map((setting) => `-c ${setting}`).join(" "),
    connectionTimeoutMillis: 3000,
  });
  // A session that breaks makes its next statement fail; without a listener it would end the process.
  client.on("error", () => undefined);
  try {
    await client.connect();
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
  return client;
}
