import { EventEmitter } from "node:events";
import type { QueryResultRow } from "pg";
import { Cluster } from "./cluster";
import { Directory, type Change, type Location } from "./directory";
import { ClusterDownError, ConfigurationError, RouterError } from "./errors";
import { parseOptions, type RouterOptions } from "./options";
import { Tenant, type QueryOptions, type Shared, type TenantId } from "./tenant";

/** What a statement on every cluster gave. */
export interface Gathered<Row> {
  /** The rows, each with the cluster that it comes from, in the order of the clusters' names. */
  readonly rows: readonly { readonly cluster: string; readonly row: Row }[];
  /** The clusters that answered. */
  readonly answered: readonly string[];
  /** The clusters that did not, each with the reason: their rows are missing. */
  readonly missing: readonly { readonly cluster: string; readonly error: Error }[];
  /** Whether every cluster answered. */
  readonly complete: boolean;
}

export interface GatherOptions extends QueryOptions {
  /** How long each cluster may take, in milliseconds. @default no limit while it is up */
  readonly timeoutMs?: number;
}

/** What is known of a cluster. */
export interface ClusterState {
  readonly name: string;
  readonly up: boolean;
  /** Connections for statements: open, idle among them, and statements that wait for one. */
  readonly connections: { readonly open: number; readonly idle: number; readonly waiting: number };
}

/** What a router tells: where tenants go, and clusters that come and go. */
export interface RouterEvents {
  change: [Change];
  up: [cluster: string];
  down: [cluster: string, reason: Error];
}

/** Sends each tenant's statements to the cluster that it lives in. Make it with {@link createRouter}. */
export class Router extends EventEmitter<RouterEvents> {
  private ended = false;

  /** @internal */
  constructor(
    private readonly shared: Shared,
    private readonly members: ReadonlyMap<string, Cluster>,
  ) {
    super();
    shared.directory.on("change", (change) => this.emit("change", change));
    for (const [name, { link }] of members) {
      link.on("up", () => this.emit("up", name));
      link.on("down", (reason) => this.emit("down", name, reason));
    }
  }

  /** A tenant, whose statements go to its home. Cheap: make one whenever you need it. @throws {@link ConfigurationError} if the id cannot be one. */
  for(tenant: TenantId): Tenant {
    if (this.ended) throw new RouterError("ENDED", "The router was ended: make another with createRouter");
    return new Tenant(idOf(tenant), this.shared);
  }

  /** Where a tenant lives, as far as the router knows. */
  locate(tenant: TenantId): Location {
    return this.shared.directory.locate(idOf(tenant));
  }

  /** The clusters, and whether they are up. */
  get clusters(): ClusterState[] {
    return [...this.members.values()].map(({ name, up, counts }) => ({ name, up, connections: counts }));
  }

  /** Runs a reading statement on every cluster and gathers the rows. Clusters that do not answer are named, never silently left out. */
  async all<Row extends QueryResultRow = QueryResultRow>(text: string, values?: readonly unknown[], { signal, timeoutMs }: GatherOptions = {}): Promise<Gathered<Row>> {
    if (this.ended) throw new RouterError("ENDED", "The router was ended: make another with createRouter");
    signal?.throwIfAborted();
    const members = [...this.members.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
    const outcomes = await Promise.allSettled(
      members.map((cluster) => {
        const limit = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
        const signals = [signal, limit].filter((one) => one !== undefined);
        return cluster.query<Row>(text, values, signals.length > 1 ? AbortSignal.any(signals) : signals[0]);
      }),
    );
    signal?.throwIfAborted();
    const answers = outcomes.map((outcome, index) => ({ cluster: (members[index] as Cluster).name, outcome }));
    const missing = answers.flatMap(({ cluster, outcome }) => (outcome.status === "rejected" ? [{ cluster, error: outcome.reason as Error }] : []));
    return {
      rows: answers.flatMap(({ cluster, outcome }) => (outcome.status === "fulfilled" ? outcome.value.rows.map((row) => ({ cluster, row })) : [])),
      answered: answers.flatMap(({ cluster, outcome }) => (outcome.status === "fulfilled" ? [cluster] : [])),
      missing,
      complete: missing.length === 0,
    };
  }

  /** Ends every connection, once what runs has ended. */
  async end(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    await Promise.all([...this.members.values()].map((cluster) => cluster.end()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }
}

/**
 * Makes a router: connects to every cluster and reads where tenants live. One cluster that answers is enough; the others are waited for in the background.
 *
 * @throws {@link ConfigurationError} that names the option; {@link ClusterDownError} if no cluster answers.
 */
export async function createRouter(options: RouterOptions): Promise<Router> {
  const { clusters, connectTimeoutMs, moveTimeoutMs } = parseOptions(options);
  const directory = new Directory();
  const members = new Map(Object.entries(clusters).map(([name, config]) => [name, new Cluster(name, config, connectTimeoutMs, directory)]));
  const router = new Router({ directory, clusters: members, moveTimeoutMs }, members);
  const outcomes = await Promise.allSettled([...members.values()].map(({ link }) => link.start()));
  const problems = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as Error] : []));
  const wrong = problems.find((problem) => problem instanceof ConfigurationError);
  if (wrong === undefined && directory.ready) return router;
  await router.end();
  if (wrong !== undefined) throw wrong;
  if (problems.length < members.size) throw new ConfigurationError("No cluster knows yet which tenants are its own: the stack's set-up did not reach its end. Run npm run up");
  throw new ClusterDownError([...members.keys()].join(", "), "no", problems[0]);
}

function idOf(tenant: TenantId): string {
  if (typeof tenant === "bigint") return tenant.toString();
  if (typeof tenant === "number" ? Number.isSafeInteger(tenant) : typeof tenant === "string" && tenant !== "") return String(tenant);
  throw new ConfigurationError(`A tenant's id must be a bigint, a safe integer or a text that is not empty, and is ${typeof tenant === "string" ? "empty" : String(tenant)}`);
}
