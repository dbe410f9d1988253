import { EventEmitter } from "node:events";
import type { Client, ClientConfig, QueryResult, QueryResultRow } from "pg";
import { ClusterClient } from "./clusterClient";
import type { Run } from "./confirm";
import { tell } from "./diagnostics";
import { Directory, type Claim, type TenantRecord } from "./directory";
import { ClusterDownError, ConfigurationError } from "./errors";
import { idTypeOf, TENANT_TABLES, type IdType, type TenantTable } from "./tenantId";

/** How often a cluster is asked whether it is there, and how long it may take to answer. */
const PROBE_INTERVAL_MS = 250;
const PROBE_TIMEOUT_MS = 500;

/** Whoever moves a tenant leaves its rows where they were for half a second after that cluster was told. A router that has heard of all that was told until so long ago meets no home that is being emptied. */
const HEARD_WITHIN_MS = 450;

/** So often in a row a cluster may answer statements and not the probe, until the connection is taken for the one that does not work. */
const UNANSWERED_PROBES = 4;

/** Every so many probes the cluster is asked what has changed: a notification that was lost costs seconds, not for ever; and where nobody hears any, a second. */
const PROBES_PER_LOOK = 8;
const PROBES_PER_LOOK_UNHEARD = 4;

/** How long reading of the directory may take. */
const READ_TIMEOUT_MS = 5000;

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 250;
/** What is refused for a reason that somebody has to mend is not tried four times a second. */
const REFUSED_RETRY_MS = 5000;

const RING = "SELECT self FROM tenancy.ring";
/** The ring, and what has changed since a snapshot; without one, what is not settled. */
const CHANGES = "SELECT upto, version, clusters, tenant, home, epoch, state, target, over FROM tenancy.changes($1::pg_snapshot)";
const CLAIMS = "SELECT tenant, home, epoch, state, target, over FROM tenancy.claims($1::text[])";
/** Where it is another than the one that the connection was told of, there is a pooler between. */
const BACKEND = "SELECT pg_backend_pid() AS pid";

/** What is told of a hook that sets up sessions where there is a pooler. */
const MIXED_UP = "is reached through a pooler, where what onConnect sets would be missing in some transactions, and met by those of others. Give the database's own address, or leave onConnect out and set what is needed with ALTER ROLE … SET";

/** The application's connections to a cluster. */
export interface Pooled {
  /** When the cluster last answered a statement of the application, by `performance.now()`. */
  readonly answeredAt: number;
  /** Whether sessions are set up, which has to stay so. */
  readonly setsSessions: boolean;
  query<Row extends QueryResultRow>(text: string, values: readonly unknown[] | undefined, signal?: AbortSignal): Promise<QueryResult<Row>>;
}

/**
 * The router's own connection to a cluster. It hears of tenants that move, and notices when the cluster is gone or frozen: `up` and `down` tell. Where only this connection is lost, the cluster stays up.
 */
export class Link extends EventEmitter<{ up: []; down: [Error] }> {
  private client: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private retryMs = FIRST_RETRY_MS;
  private refusedAt = Number.NEGATIVE_INFINITY;
  private probes = 0;
  private ended = false;
  private retired = false;
  private reachable = false;
  /** Whether the connection is complete. */
  private standing = false;
  private trouble: Error | undefined;
  /** What is done with the connection is done one after the other. */
  private work: Promise<unknown> = Promise.resolve();
  /** Tenants that were announced, until the news is read. */
  private readonly announced = new Set<string>();
  private news = false;
  private reading: Promise<void> | undefined;
  /** Up to where the cluster's changes have been read: a `pg_snapshot`. */
  private since: string | null = null;
  private deaf = false;
  /** When what the cluster last answered here was sent: of all that was announced before, the router has heard. */
  private heardAt = Number.NEGATIVE_INFINITY;
  /** Tenants that are asked for together, once the connection is free. */
  private wanted: { readonly tenants: Set<string>; readonly claims: Promise<ReadonlyMap<string, Claim>> } | undefined;

  constructor(
    private readonly cluster: string,
    private readonly config: ClientConfig,
    private directory: Directory,
    private readonly pooled: Pooled,
    private readonly agree: (type: IdType) => void,
  ) {
    super();
  }

  /** Whether the cluster answers. */
  get up(): boolean {
    return this.reachable;
  }

  /** What is wrong with the connection; undefined while it stands. */
  get reason(): Error | undefined {
    return this.trouble;
  }

  /** Whether nothing that is announced arrives, because there is a pooler between: then the cluster is asked every second. */
  get behindPooler(): boolean {
    return this.deaf;
  }

  /** Whether a move may have been announced that was not heard: always behind a pooler, while the connection is silent or lost, and where the router has left the cluster. */
  get unheard(): boolean {
    return this.deaf || this.retired || this.silent;
  }

  private get silent(): boolean {
    return performance.now() - this.heardAt > HEARD_WITHIN_MS;
  }

  /** Connects for the first time. @throws what went wrong, a {@link ConfigurationError} where somebody has to mend it; it goes on trying in the background. */
  async start(): Promise<void> {
    try {
      await this.connect();
    } catch (error) {
      this.retry();
      throw error;
    }
  }

  /** Runs a statement beside the application's: a cancellation. Its outcome does not matter. */
  async aside(text: string, values: readonly unknown[]): Promise<void> {
    await this.client?.query(text, [...values]).catch(() => undefined);
  }

  /** Asks the cluster outside of every transaction: over another connection of the pool where this one does not answer. */
  ask<Row extends QueryResultRow>(text: string, values: readonly unknown[]): Promise<QueryResult<Row>> {
    const { client } = this;
    return client === undefined || this.silent ? this.pooled.query<Row>(text, values, AbortSignal.timeout(READ_TIMEOUT_MS)) : client.query<Row>(text, [...values]);
  }

  /** Reads what the cluster says now of a tenant, and of the ring. Does not fail: where there is no connection, it is read when there is one. */
  async doubt(tenant: string): Promise<void> {
    this.news = true;
    await this.read();
    const claim = await this.claimOf(tenant).catch(() => null);
    if (claim !== null) this.directory.take(this.cluster, tenant, claim);
  }

  /**
   * What the cluster says of a tenant; undefined if it has no record. Tenants that are asked for meanwhile are asked for together.
   *
   * @throws {@link ClusterDownError} where it does not answer.
   */
  async claimOf(tenant: string): Promise<Claim | undefined> {
    if (!this.reachable) throw new ClusterDownError(this.cluster, "no", this.trouble);
    this.wanted ??= { tenants: new Set(), claims: this.serially(() => this.readWanted()) };
    const { tenants, claims } = this.wanted;
    tenants.add(tenant);
    return (await claims).get(tenant);
  }

  /**
   * Reads all that has changed in the cluster until now, also what is not announced yet: workers show a record before PostgreSQL sends the notification, and the coordinator has it before them.
   *
   * @returns whether that is certain.
   */
  async caughtUp(): Promise<boolean> {
    const { client } = this;
    if (client === undefined || !this.standing) {
      return this.serially(() => this.look((text, values) => this.pooled.query(text, values, AbortSignal.timeout(READ_TIMEOUT_MS)))).then(
        () => true,
        () => false,
      );
    }
    this.news = true;
    await this.read();
    return this.client === client;
  }

  /** Goes on watching the cluster for what still runs there, and tells the router nothing more: the cluster is not its any more, or another connection has taken over. */
  retire(): void {
    this.retired = true;
    this.directory.unhint(this.announced);
    this.announced.clear();
    this.directory = new Directory(1);
  }

  end(): void {
    this.ended = true;
    this.reachable = false;
    clearTimeout(this.timer);
    this.drop();
  }

  private async connect(): Promise<void> {
    let broken: Error | undefined;
    try {
      const client = new ClusterClient({ ...this.config, application_name: "citus-sharding router", query_timeout: READ_TIMEOUT_MS });
      const lose = (error: Error): void => {
        broken ??= error;
        this.lose(client, error);
      };
      client.on("error", lose);
      client.on("end", () => lose(new Error("the connection was closed")));
      client.on("notification", ({ payload }) => this.hear(payload ?? ""));
      this.client = client;
      await client.connect();
      const run: Run = (text, values) => client.query(text, values as unknown[]);
      const [{ pid } = { pid: 0 }] = (await run<{ pid: number }>(BACKEND)).rows;
      this.deaf = pid !== (client as unknown as { processID: number }).processID;
      if (this.deaf && this.pooled.setsSessions) throw new ConfigurationError(`clusters.${this.cluster}: ${MIXED_UP}`);
      // Before the directory is read: what changes in between is heard.
      if (!this.deaf) await client.query("LISTEN tenancy");
      await this.identify(run);
      await this.serially(() => this.look(run));
      // Set while the last answer was on its way.
      if (broken !== undefined) throw broken;
      if (this.ended) return this.drop();
      this.standing = true;
      this.retryMs = FIRST_RETRY_MS;
      this.refusedAt = Number.NEGATIVE_INFINITY;
      this.trouble = undefined;
      if (!this.reachable) {
        this.reachable = true;
        this.emit("up");
      }
      this.schedule(client);
    } catch (error) {
      this.drop();
      const told = this.explained(error);
      this.trouble = told;
      if (told instanceof ConfigurationError) this.refusedAt = performance.now();
      throw told;
    }
  }

  /** Makes sure that it is the cluster that it was said to be, and learns how it writes ids. */
  private async identify(run: Run): Promise<void> {
    const [ring] = (await run<{ self: string }>(RING)).rows;
    if (ring !== undefined && ring.self !== this.cluster) throw new ConfigurationError(`clusters.${this.cluster}: leads to cluster ${ring.self}. Give each cluster's address under its own name`);
    for (const row of (await run<TenantTable>(TENANT_TABLES)).rows) this.agree(idTypeOf(this.cluster, row));
  }

  private explained(error: unknown): Error {
    if (error instanceof ConfigurationError) return error;
    const { code = "", message } = error as { code?: string; message: string };
    if (code === "42883") return new ConfigurationError(`clusters.${this.cluster}: has the directory of an older version (${message}). Run npm run up`, error);
    if (code === "42P01" || code === "3F000" || code === "42501") {
      const user = this.config.user ?? "this user";
      return new ConfigurationError(`clusters.${this.cluster}: has no directory of tenants that ${user} may read (${message}): it needs the fence (tenantFence: true, npm run up), and the right database`, error);
    }
    return isRefusal(code, message) ? new ConfigurationError(`clusters.${this.cluster}: no connection can be made: ${message}`, error) : (error as Error);
  }

  /** @param since when the last probe began: what it took is no reason to hear later of the next. */
  private schedule(client: Client, since = performance.now()): void {
    this.timer = setTimeout(() => void this.probe(client), Math.max(0, since + PROBE_INTERVAL_MS - performance.now()));
    this.timer.unref();
  }

  private async probe(client: Client): Promise<void> {
    const began = performance.now();
    try {
      await this.serially(async () => {
        const at = performance.now();
        await this.watched(client.query("SELECT"));
        this.heardAt = at;
      });
      this.probes += 1;
      if (this.probes % (this.deaf ? PROBES_PER_LOOK_UNHEARD : PROBES_PER_LOOK) === 0) {
        this.news = true;
        await this.read();
      }
      if (this.client === client) this.schedule(client, began);
    } catch (error) {
      this.lose(client, error as Error, error instanceof SilenceError);
    }
  }

  /** Waits for an answer. @throws {@link SilenceError} if the cluster answers nobody; another error if it answers the application's statements, and not this one. */
  private async watched<Result>(answer: Promise<Result>): Promise<Result> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const wait = (since: number, rounds: number): void => {
        timer = setTimeout(() => {
          // This process may have stood still itself, and not read the answer yet.
          if (performance.now() - since > 2 * PROBE_TIMEOUT_MS) wait(performance.now(), rounds);
          // A cluster that answers others is busy, not gone.
          else if (this.pooled.answeredAt > since && rounds < UNANSWERED_PROBES) wait(performance.now(), rounds + 1);
          else if (this.pooled.answeredAt > since) reject(new Error("the router's own connection does not answer"));
          else reject(new SilenceError(`no answer for ${PROBE_TIMEOUT_MS} ms`));
        }, PROBE_TIMEOUT_MS);
      };
      wait(performance.now(), 1);
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
      answer.catch(() => undefined);
    }
  }

  /** A notification says that there is something to look at, and not what: every role may send one. */
  private hear(payload: string): void {
    this.news = true;
    for (const tenant of tenantsOf(payload)) {
      this.announced.add(tenant);
      this.directory.hint(tenant);
    }
    void this.read();
  }

  /** Reads what there is news of; what comes up meanwhile is read together. Does not fail: a connection that does not answer is lost. */
  private async read(): Promise<void> {
    while (this.news) {
      this.reading ??= this.serially(() => this.readNews()).finally(() => void (this.reading = undefined));
      const { client } = this;
      try {
        await this.reading;
      } catch (error) {
        if (client !== undefined) this.lose(client, error as Error, error instanceof SilenceError);
      }
      if (this.client === undefined) break;
    }
    await this.reading?.catch(() => undefined);
  }

  private async readNews(): Promise<void> {
    const { client, directory } = this;
    const tenants = [...this.announced];
    this.announced.clear();
    this.news = false;
    try {
      // Whatever it was, it is read when there is a connection again.
      if (client !== undefined) await this.look((text, values) => this.watched(client.query(text, values as unknown[])));
    } finally {
      directory.unhint(tenants);
    }
  }

  private async readWanted(): Promise<ReadonlyMap<string, Claim>> {
    const { client, standing } = this;
    const tenants = [...(this.wanted?.tenants ?? [])];
    this.wanted = undefined;
    try {
      const { rows } = await (client !== undefined && standing
        ? this.watched(client.query<Row>(CLAIMS, [tenants]))
        : this.pooled.query<Row>(CLAIMS, [tenants], AbortSignal.timeout(READ_TIMEOUT_MS)));
      return new Map(rows.map((row) => [row.tenant, claimFrom(row)]));
    } catch (error) {
      if (client !== undefined) this.lose(client, error as Error, error instanceof SilenceError);
      throw new ClusterDownError(this.cluster, "no", error);
    }
  }

  /** Reads what has changed, and takes it in. */
  private async look(run: Run): Promise<void> {
    const at = performance.now();
    let { rows } = await run<ChangeRow>(CHANGES, [this.since]);
    if (this.since !== null && rows[0] !== undefined && endOf(rows[0].upto) < endOf(this.since)) {
      // The cluster is another than it was, or as it was before: its changes go on from elsewhere.
      this.since = null;
      ({ rows } = await run<ChangeRow>(CHANGES, [null]));
    }
    const [first] = rows;
    // Without a ring it takes no writes of anybody.
    if (first === undefined) return;
    this.heardAt = at;
    if (this.since === null) this.directory.forget(this.cluster);
    this.directory.spread(this.cluster, { version: Number(first.version), tickets: first.clusters });
    for (const { tenant, ...claim } of rows) if (tenant !== null) this.directory.take(this.cluster, tenant, claimFrom(claim));
    this.since = first.upto;
    if (!this.retired) tell("tenant-router:comparison", { cluster: this.cluster });
  }

  private serially<Result>(task: () => Promise<Result>): Promise<Result> {
    const done = this.work.then(task);
    this.work = done.catch(() => undefined);
    return done;
  }

  /** The connection is lost. @param gone whether the cluster is: it has answered nobody. */
  private lose(client: Client, error: Error, gone = false): void {
    if (this.client !== client || !this.standing || this.ended) return;
    this.drop();
    this.trouble = error;
    if (gone) this.fail(error);
    // At once: the others go on meanwhile.
    void this.reconnect();
  }

  private fail(error: Error): void {
    if (!this.reachable) return;
    this.reachable = false;
    this.directory.silence(this.cluster);
    this.emit("down", error);
  }

  private async reconnect(): Promise<void> {
    const waits = this.reachable && performance.now() - this.refusedAt < REFUSED_RETRY_MS;
    try {
      if (waits) throw this.trouble ?? new Error("it was refused");
      await this.connect();
    } catch (error) {
      if (this.ended) return;
      if (this.reachable && !(await this.answersOthers(error as Error))) this.fail(error as Error);
      this.retry();
    }
  }

  /** Whether a server that lets no connection in serves those that it has: they are asked for the directory as well. */
  private async answersOthers(error: Error): Promise<boolean> {
    const { severity } = ((error instanceof ConfigurationError ? error.cause : error) ?? {}) as { severity?: string };
    if (severity === undefined) return false;
    const began = performance.now();
    try {
      await this.serially(() => this.look((text, values) => this.pooled.query(text, values, AbortSignal.timeout(PROBE_TIMEOUT_MS))));
      return true;
    } catch {
      return this.pooled.answeredAt > began;
    }
  }

  private retry(): void {
    if (this.ended) return;
    clearTimeout(this.timer);
    const refused = !this.reachable && performance.now() - this.refusedAt < REFUSED_RETRY_MS;
    this.timer = setTimeout(() => void this.reconnect(), refused ? REFUSED_RETRY_MS : this.retryMs);
    this.timer.unref();
    this.retryMs = Math.min(LAST_RETRY_MS, this.retryMs * 2);
  }

  private drop(): void {
    const client = this.client;
    this.client = undefined;
    this.standing = false;
    clearTimeout(this.timer);
    if (client !== undefined) destroy(client);
  }
}

/** A cluster answers nobody. */
class SilenceError extends Error {}

interface Row {
  readonly tenant: string;
  readonly home: string;
  readonly epoch: string;
  readonly state: TenantRecord["state"];
  readonly target: string | null;
  readonly over: boolean;
}

/** A change, beside the ring; without a tenant where nothing has changed. */
type ChangeRow = Omit<Row, "tenant"> & { readonly tenant: string | null; readonly upto: string; readonly version: string; readonly clusters: string[] };

function claimFrom({ home, epoch, state, target, over }: Omit<Row, "tenant">): Claim {
  return { home, epoch: Number(epoch), state, target, over };
}

/** The transaction that a `pg_snapshot` ends before. */
function endOf(snapshot: string): bigint {
  return BigInt(snapshot.split(":")[1] ?? 0);
}

/** The tenants that a notification names. */
function tenantsOf(payload: string): string[] {
  try {
    const { tenant, tenants = [tenant] } = JSON.parse(payload) as { tenant?: unknown; tenants?: unknown };
    return (Array.isArray(tenants) ? (tenants as unknown[]) : []).filter((one): one is string => typeof one === "string" && one !== "");
  } catch {
    return [];
  }
}

/** Whether a connection fails for what somebody has to mend: a password, a database, a certificate, an address. */
function isRefusal(code: string, message: string): boolean {
  if (code.startsWith("28") || code === "3D000" || code === "ERR_INVALID_URL") return true;
  return /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH)/.test(code) || /^SASL|SSL connection/.test(message);
}

/** Drops a connection without a goodbye: a frozen server would not answer it. */
export function destroy(client: Client): void {
  (client as unknown as { connection: { stream: { destroy: () => void } } }).connection.stream.destroy();
}
