import { setMaxListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { countingClient, insertingClient, readingClient, transferPairs, transferringClient, type Work } from "./clients";
import { ClientSession } from "./clientSession";
import { movingClient } from "./movingClient";
import { nap } from "./nap";
import { Random } from "./random";
import type { Recorder } from "./recorder";
import { referenceClient } from "./referenceClient";
import { schemaClient } from "./schemaClient";
import type { Shard } from "./tables";

/** How long a client waits from an answer to the next request, in milliseconds; it may depend on the moment of the run. */
type Pause = number | ((now: number) => number);

/** How long a client waits after an error before it connects anew. Shorter, clients that log in again and again take the processors that the failover needs. */
const RETRY_MS = 50;
/** How long a dense client waits: there are many of them, and how long writes stay away is measured by the others. */
const DENSE_RETRY_MS = 500;
/** How often a shard is written to at the most: from one answer to the next request. */
const INSERT_INTERVAL_MS = 20;
const COUNT_INTERVAL_MS = 100;
const READ_INTERVAL_MS = 100;
const TRANSFER_INTERVAL_MS = 100;
const REFERENCE_INTERVAL_MS = 200;
const SCHEMA_INTERVAL_MS = 1500;
const MOVE_INTERVAL_MS = 15_000;
const BURST_MS = 15_000;
const BURST_EVERY_MS = 60_000;
/** Of so many dense clients one writes single rows, the others transfers. */
const DENSE_PER_SINGLE = 3;
/** Inserts per second at the most, so that two processors carry the load beside the stack. */
const INSERTS_PER_SECOND = 400;
const SHARDS_PER_READER = 4;

/** The pause of an inserting client between an answer and its next request, in milliseconds. */
export function insertInterval(shards: number): number {
  return Math.max(INSERT_INTERVAL_MS, Math.round((shards * 1000) / INSERTS_PER_SECOND));
}

/** Clients beside those that write and read rows: they change tables, and move shards. */
export type Disturber = "schema" | "moves";

export interface LoadOptions {
  /** Decides what transfers move between which accounts. */
  readonly seed: number;
  /** How many clients write without a pause, beside the others; 0 for none. */
  readonly dense: number;
  /** Whether dense clients rest but for some seconds of each minute. */
  readonly bursts: boolean;
  readonly disturbers: readonly Disturber[];
}

/** The clients of a run: an inserting one for each shard, a counting one for some, readers, one that transfers; and dense ones. */
export class Load {
  private readonly stopping = new AbortController();
  private clients = 0;
  private readonly running: Promise<void>[] = [];
  /** When the last acknowledged insert of each shard was sent. */
  private readonly acknowledged = new Map<string, number>();

  constructor(
    private readonly shards: readonly Shard[],
    private readonly recorder: Recorder,
    private readonly options: LoadOptions,
  ) {}

  start(): void {
    // Every client waits for it.
    setMaxListeners(0, this.stopping.signal);
    const interval = insertInterval(this.shards.length);
    const acknowledge = (shard: string, at: number): void => void this.acknowledged.set(shard, at);
    const { seed, dense, bursts, disturbers } = this.options;
    // Dense clients write to every shard by themselves; more connections would take the processors from them.
    if (dense === 0 || bursts) this.shards.forEach((shard) => this.begin((client) => insertingClient(client, shard, this.recorder, acknowledge), interval));
    for (const group of readGroups(this.shards)) {
      group.forEach((shard) => this.begin((client) => countingClient(client, shard, this.recorder), COUNT_INTERVAL_MS));
      this.begin((client) => readingClient(client, group, "leader", this.recorder), READ_INTERVAL_MS);
      if (group[0]?.cluster.standbysUri !== undefined) this.begin((client) => readingClient(client, group, "standbys", this.recorder), READ_INTERVAL_MS);
    }
    for (const own of byCluster(this.shards)) {
      const pairs = transferPairs(own);
      const transferring = (client: number): Work => transferringClient(client, pairs, new Random(seed + client), this.recorder, acknowledge);
      if (pairs.length > 0) this.begin(transferring, TRANSFER_INTERVAL_MS);
      const [{ cluster }] = own as [Shard];
      if (cluster.plain !== true) {
        this.begin((client) => referenceClient(client, cluster, this.recorder), REFERENCE_INTERVAL_MS);
        if (disturbers.includes("schema")) this.begin((client) => schemaClient(client, cluster, this.recorder), SCHEMA_INTERVAL_MS);
        if (disturbers.includes("moves")) this.begin((client) => movingClient(client, own, new Random(seed + client), this.recorder), MOVE_INTERVAL_MS);
      }
      const pause = bursts ? untilBurst : 0;
      for (let index = 0; index < dense; index += 1) {
        const shard = own[Math.floor(index / DENSE_PER_SINGLE) % own.length];
        if (pairs.length > 0 && index % DENSE_PER_SINGLE !== 0) this.begin(transferring, pause, DENSE_RETRY_MS);
        else if (shard !== undefined) this.begin((client) => insertingClient(client, shard, this.recorder, acknowledge), pause, DENSE_RETRY_MS);
      }
    }
  }

  /** Shards that have not acknowledged a write which was sent after a moment of the run. */
  silentSince(at: number): string[] {
    return this.shards.map(({ name }) => name).filter((name) => (this.acknowledged.get(name) ?? -1) <= at);
  }

  /** Stops the clients, and waits for the answers that are still due. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running);
  }

  /** The number of a client that the load does not run itself. */
  foreignClient(): number {
    this.clients += 1;
    return this.clients;
  }

  private begin(work: (client: number) => Work, pause: Pause, retryMs = RETRY_MS): void {
    this.clients += 1;
    this.running.push(this.run(this.clients, work(this.clients), pause, retryMs));
  }

  private async run(client: number, { uri, endpoint, request }: Work, pause: Pause, retryMs: number): Promise<void> {
    let session: ClientSession | undefined;
    while (!this.stopping.signal.aborted) {
      if (session === undefined || session.broken) {
        session?.close();
        session = await ClientSession.connect(uri, (connect) => this.recorder.record({ type: "connect", client, endpoint, ...connect }), () => this.recorder.now());
        if (session === undefined) {
          await delay(retryMs);
          continue;
        }
      }
      const wentWell = await request(session);
      if (wentWell) {
        const ms = typeof pause === "number" ? pause : pause(this.recorder.now());
        if (ms > 0) await nap(ms, this.stopping.signal);
        continue;
      }
      // A new session after every error: the old one may lead to a server that leads no more.
      session.close();
      session = undefined;
      await delay(retryMs);
    }
    session?.close();
  }
}

/** Shards with a counter, by the cluster that they are in, in groups that one reader reads. */
function readGroups(shards: readonly Shard[]): Shard[][] {
  const size = SHARDS_PER_READER / 2;
  return byCluster(shards.filter((shard) => shard.counted)).flatMap((own) => Array.from({ length: Math.ceil(own.length / size) }, (_, index) => own.slice(index * size, (index + 1) * size)));
}

function byCluster(shards: readonly Shard[]): Shard[][] {
  return [...new Set(shards.map(({ cluster }) => cluster))].map((cluster) => shards.filter((shard) => shard.cluster === cluster));
}

/** How long it is until the next burst; 0 in one. */
function untilBurst(now: number): number {
  const within = now % BURST_EVERY_MS;
  return within < BURST_MS ? 0 : BURST_EVERY_MS - within;
}
