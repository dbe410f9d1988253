import { EventEmitter } from "node:events";
import { Client, type ClientConfig, type QueryResult, type QueryResultRow } from "pg";
import { tell } from "./diagnostics";
import { FINGERPRINT, type Directory, type TenantRecord } from "./directory";
import { ConfigurationError } from "./errors";
import { idTypeOf, ID_TYPE, type IdType } from "./tenantId";

/** How often a cluster is asked whether it is there, and how long it may take to answer. */
const PROBE_INTERVAL_MS = 250;
const PROBE_TIMEOUT_MS = 500;

/** So often in a row a cluster may answer statements and not the probe, until the connection is taken for the one that does not work. */
const UNANSWERED_PROBES = 4;

/** Every so many probes the directory is compared as well: a notification that was lost costs seconds, not for ever. */
const PROBES_PER_COMPARISON = 8;

/** How long reading a part of the directory may take. */
const READ_TIMEOUT_MS = 5000;
const RECORDS_AT_ONCE = 10_000;

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 250;
/** What is refused for a reason that somebody has to mend is not tried four times a second. */
const REFUSED_RETRY_MS = 5000;

const RING = "SELECT self, version, clusters FROM tenancy.ring";
const RECORDS = "SELECT tenant, home, epoch, state FROM tenancy.tenant";

/** Runs a statement of the router's own on a cluster. */
type Run = <Row extends QueryResultRow>(text: string, values?: readonly unknown[]) => Promise<QueryResult<Row>>;

/** The application's connections to a cluster. */
export interface Pooled {
  /** When the cluster last answered a statement of the application, by `performance.now()`. */
  readonly answeredAt: number;
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
  private reachable = false;
  /** Whether the connection is complete. */
  private standing = false;
  private trouble: Error | undefined;
  /** What is done with the connection is done one after the other. */
  private work: Promise<unknown> = Promise.resolve();
  private readonly hints = new Set<string>();
  private reading: Promise<void> | undefined;
  private comparing = false;

  constructor(
    private readonly cluster: string,
    private readonly config: ClientConfig,
    private readonly directory: Directory,
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

  /** Asks the cluster outside of every transaction. @throws where there is no connection. */
  ask<Row extends QueryResultRow>(text: string, values: readonly unknown[]): Promise<QueryResult<Row>> {
    const { client } = this;
    if (client === undefined) return Promise.reject(new Error("there is no connection at the moment"));
    return client.query<Row>(text, [...values]);
  }

  /** Reads what the cluster says now of a tenant, and of the ring. Does not fail: where there is no connection, it is read when there is one. */
  async doubt(tenant: string): Promise<void> {
    this.comparing = true;
    this.hints.add(tenant);
    await this.read();
  }

  /** Resolves once everything that was announced before has been read. */
  async heard(): Promise<void> {
    await this.client?.query("SELECT").catch(() => undefined);
    await this.read();
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
      const client = new Client({ ...this.config, application_name: "citus-sharding router", query_timeout: READ_TIMEOUT_MS });
      const lose = (error: Error): void => {
        broken ??= error;
        this.lose(client, error);
      };
      client.on("error", lose);
      client.on("end", () => lose(new Error("the connection was closed")));
      client.on("notification", ({ payload }) => this.hear(payload ?? ""));
      this.client = client;
      await client.connect();
      // Before the directory is read: what changes in between is heard.
      await client.query("LISTEN tenancy");
      const run: Run = (text, values) => client.query(text, values as unknown[]);
      await this.identify(run);
      await this.serially(() => this.load(run));
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
    for (const row of (await run<{ table: string; type: string; kind: string }>(ID_TYPE)).rows) this.agree(idTypeOf(this.cluster, row));
  }

  private explained(error: unknown): Error {
    if (error instanceof ConfigurationError) return error;
    const { code = "", message } = error as { code?: string; message: string };
    if (code === "42P01" || code === "3F000" || code === "42501") {
      const user = this.config.user ?? "this user";
      return new ConfigurationError(`clusters.${this.cluster}: has no directory of tenants that ${user} may read (${message}): it needs the fence (tenantFence: true, npm run up), and the right database`, error);
    }
    return isRefusal(code, message) ? new ConfigurationError(`clusters.${this.cluster}: no connection can be made: ${message}`, error) : (error as Error);
  }

  private schedule(client: Client): void {
    this.timer = setTimeout(() => void this.probe(client), PROBE_INTERVAL_MS);
    this.timer.unref();
  }

  private async probe(client: Client): Promise<void> {
    try {
      await this.serially(() => this.watched(client.query("SELECT")));
      this.probes += 1;
      if (this.probes % PROBES_PER_COMPARISON === 0) {
        this.comparing = true;
        await this.read();
      }
      if (this.client === client) this.schedule(client);
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

  /** A notification says where to look and not what is there: every role may send one. */
  private hear(payload: string): void {
    const tenant = tenantOf(payload);
    if (tenant === undefined) this.comparing = true;
    else {
      this.hints.add(tenant);
      this.directory.hint(tenant);
    }
    void this.read();
  }

  /** Reads what there is news of; what comes up meanwhile is read together. Does not fail: a connection that does not answer is lost. */
  private async read(): Promise<void> {
    while (this.hints.size > 0 || this.comparing) {
      this.reading ??= this.serially(() => this.readHints()).finally(() => void (this.reading = undefined));
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

  private async readHints(): Promise<void> {
    const { client } = this;
    const [tenants, comparing] = [[...this.hints], this.comparing];
    this.hints.clear();
    this.comparing = false;
    try {
      // Whatever it was, it is read when there is a connection again.
      if (client === undefined) return;
      const run: Run = (text, values) => client.query(text, values as unknown[]);
      if (tenants.length > 0) this.directory.refresh(this.cluster, tenants, recordsOf((await this.watched(run<Row>(`${RECORDS} WHERE tenant = ANY ($1)`, [tenants]))).rows));
      if (comparing) await this.compare(run);
    } finally {
      this.directory.unhint(tenants);
    }
  }

  private async compare(run: Run): Promise<void> {
    const [{ fingerprint = "" } = {}] = (await run<{ fingerprint: string }>(FINGERPRINT)).rows;
    if (this.directory.has(this.cluster, fingerprint)) return tell("tenant-router:comparison", { cluster: this.cluster });
    // What was announced meanwhile may be all that differs.
    if (this.hints.size > 0) this.comparing = true;
    else await this.load(run);
  }

  /** Reads all that the cluster says, in parts. */
  private async load(run: Run): Promise<void> {
    const [ring] = (await run<{ version: string; clusters: string[] }>(RING)).rows;
    this.directory.beginLoad(this.cluster);
    for (let last: string | undefined = ""; last !== undefined; ) {
      const { rows }: QueryResult<Row> = await run<Row>(`${RECORDS} WHERE tenant > $1 ORDER BY tenant LIMIT ${RECORDS_AT_ONCE}`, [last]);
      this.directory.load(this.cluster, recordsOf(rows));
      last = rows.length < RECORDS_AT_ONCE ? undefined : rows.at(-1)?.tenant;
    }
    this.directory.endLoad(this.cluster, ring === undefined ? undefined : { version: Number(ring.version), clusters: ring.clusters });
    tell("tenant-router:comparison", { cluster: this.cluster });
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
      await this.serially(() => this.compare((text, values) => this.pooled.query(text, values, AbortSignal.timeout(PROBE_TIMEOUT_MS))));
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
}

function recordsOf(rows: readonly Row[]): Map<string, TenantRecord> {
  return new Map(rows.map(({ tenant, home, epoch, state }) => [tenant, { home, epoch: Number(epoch), state }]));
}

/** The tenant that a notification names; undefined if it names none. */
function tenantOf(payload: string): string | undefined {
  try {
    const { tenant } = JSON.parse(payload) as { tenant?: unknown };
    return typeof tenant === "string" && tenant !== "" ? tenant : undefined;
  } catch {
    return undefined;
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
