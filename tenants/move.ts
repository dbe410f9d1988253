import { setTimeout as delay } from "node:timers/promises";
import { escapeLiteral, type Client } from "pg";
import { Applier } from "./applier";
import { ChangeStream } from "./changeStream";
import { checksumOf } from "./checksum";
import type { ClusterAccess } from "./clusterAccess";
import { copyRows } from "./copyTenant";
import { BUCKET, writersAreGone } from "./fenceLock";
import { refuseHindered, refuseUnfencedShards } from "./hindrances";
import { decide } from "./handover";
import { publicationOf } from "./leftovers";
import { sessionNameOf } from "./orphans";
import { lsnOf } from "./pgoutput";
import { announce, horizonOf, recordOf, ringOf, winnerOf, writeRecord, type RecordChange } from "./record";
import { lockMover, newestRecord, newMove, OvertakenError, settle } from "./settle";
import { abandon, messageOf, Site, writeAs } from "./site";
import { TenantError } from "./tenantError";
import { canonicalTenant, commonNodes, nodesOf, placementsOf, refuseUnlike, tenantShards, tenantTables, type TenantShard, type TenantTable } from "./tenantTables";

/** What a move does, in this order. */
export type MoveStep = "announced" | "emptied" | "copied" | "caught up" | "verified" | "closed" | "drained" | "complete" | "decided" | "opened" | "told" | "cleaned";

export interface MoveOptions {
  /** Gives the move up, up to the moment that it is decided. */
  readonly signal?: AbortSignal;
  /** Is called after each step, and awaited. */
  readonly onStep?: (step: MoveStep) => void | Promise<void>;
  /** Is called with the bytes copied so far. */
  readonly onBytes?: (bytes: number) => void;
  /** Whether a rebalance may move it again, as it may who never was moved; else it stays, because somebody wants it there. @default false */
  readonly byRing?: boolean;
  /** How long the tenant may stay closed while transactions that write it end; then it is opened again for a while. @default 150 */
  readonly drainMs?: number;
  /** How long it goes on trying, if transactions are always in the way. @default 30000 */
  readonly patienceMs?: number;
}

/** What a move did. */
export interface MoveReport {
  readonly tenant: string;
  readonly from: string;
  readonly to: string;
  /** The tenant's epoch at its new home. */
  readonly epoch: number;
  /** Rows that were copied or followed, by table. */
  readonly rows: Readonly<Record<string, number>>;
  /** Rows that changed while it was copied. */
  readonly followed: number;
  /** How long nobody took writes, from the moment that the old home was closed until the new was open, in milliseconds. */
  readonly closedMs: number;
  /** How often it was closed; more than once if transactions were in the way. */
  readonly attempts: number;
  /** All in all, in milliseconds. */
  readonly tookMs: number;
}

/** How far behind the new home may be when the old one is closed, and how often it is asked to be nearer. */
const NEAR_MS = 8;
const NEAR_ATTEMPTS = 50;

/** How long a step may take while the tenant is closed; then the move is given up and it is opened again. */
const CLOSED_STEP_MS = 2000;

/** How long the clusters are left in peace before the tenant is closed, again and again until a commit on both is quick. */
const CALM_MS = 150;
const QUICK_COMMIT_MS = 15;
const CALM_ATTEMPTS = 20;

/** A cluster that takes longer to let somebody in does not answer. */
const ANSWER_MS = 1000;

/** A stream that is further behind is not catching up. */
const CATCH_UP_MS = 60_000;

/** How often one looks whether a slot that is being made is still wanted. */
const SLOT_LOOK_MS = 250;

/** The transaction on a worker that has been writing for the longest time, in words. */
const OLDEST_WRITER = `
  SELECT what FROM (
    SELECT format('the transaction of process %s (%s)', pid, concat_ws(', ', 'user ' || usename, nullif(application_name, ''))) AS what, xact_start AS since
      FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    UNION ALL SELECT format('the prepared transaction %s', gid), prepared FROM pg_prepared_xacts
  ) AS writers ORDER BY since LIMIT 1`;

/** How far a counter of the new home is put ahead of the old one's, and how near it may be before it is: more than either gives out between the moment that it is read and the moment that it is set, or the tenant closed. */
const SEQUENCE_LEAP = 10_000n;
const SEQUENCE_LEAD = 5_000n;

/**
 * Moves a tenant to another cluster while it is used. Rows are copied from one snapshot, changes are followed by logical replication, both are verified, then the tenant is closed for some milliseconds, the
 * last changes follow, the move is decided and the tenant opens at its new home. Until it is decided it can be given up, and nothing has happened; from then on it goes forward.
 *
 * @param id the tenant, in any form that its column takes.
 * @throws {@link TenantError} if it was not moved: then the tenant is where it was, or `recover` brings it back.
 */
export async function moveTenant(clusters: readonly ClusterAccess[], id: string, to: string, options: MoveOptions = {}): Promise<MoveReport> {
  const startedAt = performance.now();
  const move = newMove();
  const sites = await openSites(clusters, sessionNameOf(move), [to]);
  try {
    const tenant = await canonicalTenant(sites[0] as Site, id);
    const unlock = await lockMover(sites, tenant);
    if (unlock === undefined) throw new TenantError(`Tenant ${tenant} is being moved by another run. Wait until it has ended`);
    try {
      const from = await giverOf(sites, clusters, tenant);
      if (from.name === to) throw new TenantError(`Tenant ${tenant} lives in cluster ${to} already`);
      const attempt = new Move(sites, from, sites.find(({ name }) => name === to) as Site, tenant, move, options);
      try {
        return { ...(await attempt.run()), tookMs: performance.now() - startedAt };
      } catch (error) {
        throw await attempt.undo(error, clusters.map(({ name }) => name));
      } finally {
        attempt.end();
      }
    } finally {
      await unlock();
    }
  } finally {
    for (const site of sites) site.close();
  }
}

/** Opens the clusters that answer. @throws {@link TenantError} if one of `needed` is not known or does not. */
export async function openSites(clusters: readonly ClusterAccess[], applicationName: string, needed: readonly string[]): Promise<Site[]> {
  for (const name of needed) {
    if (!clusters.some((cluster) => cluster.name === name)) throw new TenantError(`There is no cluster ${name}. There is ${clusters.map((cluster) => cluster.name).join(", ")}`);
  }
  const opened = await Promise.allSettled(clusters.map((cluster) => Site.open(cluster, applicationName)));
  const sites = opened.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const failures = opened.flatMap((outcome, index) => (outcome.status === "rejected" ? [{ name: (clusters[index] as ClusterAccess).name, reason: outcome.reason as Error }] : []));
  const missing = failures.find(({ name }) => needed.includes(name)) ?? (sites.length === 0 ? failures[0] : undefined);
  if (missing === undefined) return sites;
  for (const site of sites) site.close();
  throw missing.reason;
}

/** The cluster that has the tenant. A move of it that stopped half-way is ended first. */
async function giverOf(sites: readonly Site[], clusters: readonly ClusterAccess[], tenant: string): Promise<Site> {
  const names = clusters.map(({ name }) => name);
  const locate = async (): Promise<{ home: string; unsettled: boolean }> => {
    const found = await Promise.all(sites.map(async (site) => [site.name, await recordOf(site, tenant)] as const));
    const records = new Map(found.flatMap(([cluster, record]) => (record === undefined ? [] : [[cluster, record] as const])));
    const newest = newestRecord(tenant, records);
    if (newest !== undefined) return { home: newest.home, unsettled: [...records.values()].some(({ move, state }) => move !== null || state !== "settled") };
    const rings = await Promise.all(sites.map(ringOf));
    const ring = rings.sort((one, other) => other.version - one.version)[0] as Awaited<ReturnType<typeof ringOf>>;
    if (ring.next !== null) throw new TenantError("The ring of clusters is being changed. Finish that first: npm run tenant -- rebalance");
    return { home: await winnerOf(sites[0] as Site, tenant, ring.clusters), unsettled: false };
  };
  const first = await locate();
  let { home } = first;
  if (first.unsettled) {
    await settle(sites, names, tenant);
    ({ home } = await locate());
  }
  const site = sites.find(({ name }) => name === home);
  if (site === undefined) throw new TenantError(`Tenant ${tenant} lives in cluster ${home}, which does not answer. Bring it back, or wait until it is`);
  return site;
}

/** Which tables are distributed in a cluster, as one text to compare: rows of a new one would stay behind. */
async function spreadTables({ coordinator }: Site): Promise<string> {
  const { rows } = await coordinator.query<{ spread: string }>("SELECT string_agg(logicalrelid::oid::text, ' ' ORDER BY logicalrelid::oid) AS spread FROM pg_dist_partition WHERE partmethod = 'h'");
  return (rows[0] as { spread: string }).spread;
}

/** One attempt to move a tenant. */
class Move {
  private readonly sessions: Client[] = [];
  private stream: ChangeStream | undefined;
  private epoch = 0;
  private wasPinned = true;
  private announced = false;
  private barriers = 0;

  constructor(
    private readonly sites: readonly Site[],
    private readonly from: Site,
    private readonly to: Site,
    private readonly tenant: string,
    private readonly move: string,
    private readonly options: MoveOptions,
  ) {}

  async run(): Promise<Omit<MoveReport, "tookMs">> {
    const { from, to, tenant, move } = this;
    await refuseHindered([from, to]);
    const tables = await tenantTables(from);
    refuseUnlike(from.name, tables, to.name, await tenantTables(to));
    const [sources, targets] = [await tenantShards(from, tables, tenant), await tenantShards(to, tables, tenant)];
    const sourceNode = commonNodes(from.name, sources)[0] as string;
    const targetNodes = commonNodes(to.name, targets);
    const relationsOn = (shards: readonly TenantShard[], node: string): string[] => shards.flatMap(({ relation, placements }) => (placements.some((placement) => placement.node === node) ? [relation] : []));
    await Promise.all([
      ...nodesOf(sources).map((node) => refuseUnfencedShards(from, node, relationsOn(sources, node))),
      ...nodesOf(targets).map((node) => refuseUnfencedShards(to, node, relationsOn(targets, node))),
    ]);
    const spread = await Promise.all([from, to].map(spreadTables));

    await this.announce();
    await this.step("announced");

    await this.keepInPlace(targets);
    const writers = await Promise.all(targetNodes.map((node) => this.own(to.copying(node))));
    for (const writer of writers) await writeAs(writer, move);
    for (const { table, relation } of targets) {
      await Promise.all(writers.map((writer) => writer.query(`DELETE FROM ${relation} WHERE ${table.column} = ${escapeLiteral(tenant)}`)));
    }
    await this.step("emptied");

    const source = await from.node(sourceNode);
    await this.publish(source, sources);
    const pairs = sources.map((shard, index) => [shard, targets[index] as TenantShard] as const);
    const applier = new Applier(writers, pairs, (full) => this.stream?.rest(full));
    const rows = await this.copyAndFollow(sourceNode, source, pairs, writers, applier);
    await this.step("copied");

    await this.catchUp(source, applier);
    await this.step("caught up");
    await this.verify(sourceNode, source, pairs, writers, applier);
    await this.copySequences(tables);
    await this.step("verified");
    await this.calm();
    await this.catchUp(source, applier);

    const { closedMs, attempts } = await this.handOver(source, applier, [sources, targets], tables, spread);
    await this.tell();
    await this.step("told");
    this.end();
    await source.query(`DROP PUBLICATION IF EXISTS ${publicationOf(move)}`);
    await settle(this.sites, this.sites.map(({ name }) => name), tenant, move).catch((error: unknown) => {
      // Who settled it has cleaned up, and may be moving the tenant again.
      if (!(error instanceof OvertakenError)) throw error;
    });
    await this.step("cleaned");
    return { tenant, from: from.name, to: to.name, epoch: this.epoch + 1, rows, followed: applier.applied, closedMs, attempts };
  }

  /** Gives the move up, or finishes it where it was decided. @returns the error to end with. */
  async undo(error: unknown, names: readonly string[]): Promise<Error> {
    this.end();
    const cause = error instanceof TenantError ? error.message : messageOf(error);
    if (!this.announced) return error instanceof TenantError ? error : new TenantError(`Tenant ${this.tenant} was not moved: ${cause}`, { cause: error });
    const sites = await this.answering();
    try {
      const { home, unreached } = await settle(sites, names, this.tenant, this.move);
      const left = unreached.length === 0 ? "" : `; ${unreached.join(", ")} did not answer and is cleaned later: npm run tenant -- recover`;
      return new TenantError(home === this.to.name ? `Tenant ${this.tenant} has moved to cluster ${home}, but what follows failed: ${cause}${left}` : `Tenant ${this.tenant} was not moved and is open in cluster ${home}: ${cause}${left}`, { cause: error });
    } catch (trouble) {
      if (trouble instanceof OvertakenError) return new TenantError(`${cause}. ${trouble.message}`, { cause: error });
      return new TenantError(`Tenant ${this.tenant} was not moved (${cause}), and could not be settled: ${messageOf(trouble)}. Run npm run tenant -- recover`, { cause: error });
    } finally {
      for (const site of sites) site.close();
    }
  }

  /** Ends the stream and the sessions that the move alone used. */
  end(): void {
    this.stream?.stop();
    for (const session of this.sessions) abandon(session);
    this.sessions.length = 0;
  }

  /** The clusters that answer, by new sessions: what failed may be one of the move's. The caller closes them. */
  private async answering(): Promise<Site[]> {
    const opening = this.sites.map((site) => site.again());
    // A frozen cluster is not waited for: the tenant may be closed meanwhile.
    const opened = await Promise.all(opening.map((one) => Promise.race([one.catch(() => undefined), delay(ANSWER_MS, undefined, { ref: false })])));
    for (const [index, one] of opening.entries()) if (opened[index] === undefined) void one.then((late) => late.close(), () => undefined);
    return opened.filter((site) => site !== undefined);
  }

  private async own(opening: Promise<Client>): Promise<Client> {
    const session = await opening;
    this.sessions.push(session);
    return session;
  }

  private async step(step: MoveStep): Promise<void> {
    await this.options.onStep?.(step);
    if (step !== "decided" && step !== "opened" && step !== "told" && step !== "cleaned") this.options.signal?.throwIfAborted();
  }

  /** What a side knows while the move is under way. Each has in it whether a rebalance may move the tenant again if it lives there afterwards. */
  private underWay(site: Site): RecordChange {
    const { from, to, tenant, move, epoch } = this;
    return { tenant, home: from.name, epoch, state: "moving", target: to.name, move, pinned: site === from ? this.wasPinned : this.options.byRing === true };
  }

  /** Waits until both clusters commit quickly: what was copied may still be on its way to the disk, and would make the moment that the tenant is closed longer. */
  private async calm(): Promise<void> {
    for (let attempt = 0; attempt < CALM_ATTEMPTS; attempt += 1) {
      await delay(CALM_MS);
      const began = performance.now();
      await Promise.all([this.from, this.to].map((site) => this.keepUnderWay(site)));
      if (performance.now() - began <= QUICK_COMMIT_MS) return;
      this.options.signal?.throwIfAborted();
    }
  }

  private async announce(): Promise<void> {
    const { from, to, tenant } = this;
    // Who never was moved is where the ring put it.
    const known = (await recordOf(from, tenant)) ?? { epoch: 0, pinned: true };
    this.epoch = Math.max(known.epoch, (await horizonOf(this.sites)) + 1);
    this.wasPinned = known.pinned;
    this.announced = true;
    if (!(await writeRecord(from.coordinator, this.underWay(from), []))) throw new TenantError(`Tenant ${tenant} is being moved by another run. Wait until it has ended`);
    if (!(await writeRecord(to.coordinator, this.underWay(to), []))) throw new TenantError(`Cluster ${to.name} knows of another move of tenant ${tenant}. End that first: npm run tenant -- recover`);
  }

  /** Has the target's shards stay where they are: what is written into a shard directly would not follow it. */
  private async keepInPlace(targets: readonly TenantShard[]): Promise<void> {
    const keeper = await this.own(this.to.another());
    await keeper.query("BEGIN");
    // 5 is PostgreSQL's ShareLock, which writes take as well, and moves of shards wait for.
    await keeper.query("SELECT lock_shard_metadata(5, $1::bigint[])", [targets.map(({ shardId }) => shardId)]);
  }

  private async publish(source: Client, sources: readonly TenantShard[]): Promise<void> {
    const filtered = sources.map(({ table, relation }) => `${relation} WHERE (${table.column} = ${escapeLiteral(this.tenant)})`);
    await source.query(`CREATE PUBLICATION ${publicationOf(this.move)} FOR TABLE ${filtered.join(", ")}`);
  }

  private async copyAndFollow(node: string, source: Client, pairs: readonly (readonly [TenantShard, TenantShard])[], writers: readonly Client[], applier: Applier): Promise<Record<string, number>> {
    const reader = await this.own(this.from.replication(node));
    const slot = `tenancy_${this.move}`;
    await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    await this.createSlot(node, reader, source, slot);
    const rows: Record<string, number> = {};
    let bytes = 0;
    for (const [{ table, relation }, target] of pairs) {
      const query = `SELECT ${table.columns.join(", ")} FROM ${relation} WHERE ${table.column} = ${escapeLiteral(this.tenant)}`;
      rows[table.name] = await copyRows(reader, query, writers, `${target.relation} (${table.columns.join(", ")})`, (more) => {
        bytes += more;
        this.options.onBytes?.(bytes);
      });
      this.options.signal?.throwIfAborted();
    }
    await reader.query("COMMIT");
    this.stream = new ChangeStream(reader, slot, publicationOf(this.move), applier.receive, applier.fail);
    return rows;
  }

  /**
   * Makes a slot, and takes its snapshot. PostgreSQL has that wait for every transaction that has written anything on the worker, however long it takes.
   *
   * @returns the position that the slot begins at.
   * @throws {@link TenantError} that names what is in the way, if that does not end in time.
   */
  private async createSlot(node: string, reader: Client, source: Client, slot: string): Promise<string> {
    const { patienceMs = 30_000, signal } = this.options;
    const made = reader.query<{ consistent_point: string }>(`CREATE_REPLICATION_SLOT ${slot} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'use')`);
    // Where it is given up, nobody waits for it any more.
    made.catch(() => undefined);
    const until = performance.now() + patienceMs;
    for (;;) {
      const answer = await Promise.race([made, delay(SLOT_LOOK_MS, undefined, { ref: false })]);
      if (answer !== undefined) return (answer.rows[0] as { consistent_point: string }).consistent_point;
      if (signal?.aborted !== true && performance.now() < until) continue;
      const { rows } = await source.query<{ what: string }>(OLDEST_WRITER);
      abandon(reader);
      signal?.throwIfAborted();
      throw new TenantError(`a copy on ${node} of cluster ${this.from.name} cannot begin before ${rows[0]?.what ?? "some transaction"} has ended, and that took more than ${patienceMs / 1000} s. End it, or try again later`);
    }
  }

  /** Waits until the new home has all that was committed at the old one before now. */
  private async pass(source: Client, applier: Applier, timeoutMs: number): Promise<void> {
    const barrier = `${this.move} ${++this.barriers}`;
    await Promise.all([applier.passed(barrier, timeoutMs), source.query("SELECT pg_logical_emit_message(false, 'tenancy', $1, true)", [barrier])]);
  }

  private async catchUp(source: Client, applier: Applier): Promise<void> {
    for (let attempt = 0; attempt < NEAR_ATTEMPTS; attempt += 1) {
      const began = performance.now();
      await this.pass(source, applier, CATCH_UP_MS);
      if (performance.now() - began <= NEAR_MS) return;
      this.options.signal?.throwIfAborted();
    }
  }

  /**
   * Compares both clusters at one moment, while the tenant is used: a second slot tells a position in the log and has the snapshot of it; the new home waits at that position until both are summed up.
   */
  private async verify(node: string, source: Client, pairs: readonly (readonly [TenantShard, TenantShard])[], writers: readonly Client[], applier: Applier): Promise<void> {
    const reader = await this.own(this.from.replication(node));
    await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    // Before the position is known: what is committed after it may already be on its way.
    applier.holdFrom();
    try {
      applier.holdFrom(lsnOf(await this.createSlot(node, reader, source, `tenancy_verify_${this.move}`)));
      await this.pass(source, applier, CATCH_UP_MS);
      for (const [shard, target] of pairs) {
        const here = await checksumOf(reader, shard, this.tenant);
        // One after the other: those who use the clusters meanwhile need processors, too.
        for (const writer of writers) {
          const { rows: count, sum } = await checksumOf(writer, target, this.tenant);
          if (count === here.rows && sum === here.sum) continue;
          throw new TenantError(`The copy of ${shard.table.name} is not the same: ${here.rows} rows, checksum ${here.sum} in ${this.from.name}; ${count} rows, checksum ${sum} in ${this.to.name}`);
        }
      }
      await reader.query("COMMIT");
    } finally {
      applier.goOn();
      abandon(reader);
    }
    await this.catchUp(source, applier);
  }

  /** Has the new home count on from where the old one is, so that it gives out no identity twice. */
  private async copySequences(tables: readonly TenantTable[]): Promise<void> {
    for (const name of new Set(tables.flatMap(({ sequences }) => sequences))) {
      const { rows } = await this.from.coordinator.query<{ last: string }>(`SELECT last_value AS last FROM ${name}`);
      const last = BigInt((rows[0] as { last: string }).last);
      await this.to.coordinator.query(`SELECT setval($1::regclass, $2) FROM ${name} WHERE last_value < $3`, [name, (last + SEQUENCE_LEAP).toString(), (last + SEQUENCE_LEAD).toString()]);
    }
  }

  /** Closes the tenant, has the last changes follow, decides and opens it; steps back while transactions are in the way. */
  private async handOver(source: Client, applier: Applier, sides: readonly [readonly TenantShard[], readonly TenantShard[]], tables: readonly TenantTable[], spread: readonly string[]): Promise<{ closedMs: number; attempts: number }> {
    const { drainMs = 150, patienceMs = 30_000 } = this.options;
    const closed = { move: this.move, state: "closed" } as const;
    const until = performance.now() + patienceMs;
    for (let attempts = 1; ; attempts += 1) {
      if (await this.close(drainMs)) {
        const closedAt = performance.now();
        await this.step("closed");
        if ((await Promise.all(nodesOf(sides[0]).map((node) => writersAreGone(this.from, node, this.tenant, closed, drainMs)))).every((gone) => gone)) {
          await this.step("drained");
          await Promise.all([this.pass(source, applier, CLOSED_STEP_MS), this.refuseMoved(this.from, sides[0], spread[0]), this.refuseMoved(this.to, sides[1], spread[1]), this.copySequences(tables)]);
          await this.step("complete");
          await this.give();
          await this.step("decided");
          await this.open();
          const closedMs = performance.now() - closedAt;
          await this.step("opened");
          return { closedMs, attempts };
        }
        await this.keepUnderWay(this.from);
      }
      if (performance.now() > until) throw new TenantError(`transactions that write the tenant were open all the time, or a node had not got that it is closed, for ${patienceMs / 1000} s. End the longest, or try again when there are fewer`);
      await delay(Math.min(50 * attempts, 1000));
      await this.catchUp(source, applier);
    }
  }

  /** @returns whether it is closed: not while a transaction with an old snapshot is in the way. */
  private async close(waitMs: number): Promise<boolean> {
    const { coordinator, name } = this.from;
    await coordinator.query("BEGIN");
    try {
      await coordinator.query(`SET LOCAL lock_timeout = ${waitMs}`);
      // What began before trips over this where its snapshot is too old to see the tenant closed. First, because it may wait, and nothing is closed meanwhile.
      await coordinator.query(`UPDATE tenancy.generation SET n = n + 1 WHERE bucket = ${BUCKET}`, [this.tenant]);
      const { rowCount } = await coordinator.query("UPDATE tenancy.tenant SET state = 'closed' WHERE tenant = $1 AND move = $2", [this.tenant, this.move]);
      if (rowCount !== 1) throw new TenantError("somebody else settled the tenant meanwhile");
      await announce(coordinator, { tenant: this.tenant, home: name, epoch: this.epoch, state: "closed" });
      await coordinator.query("COMMIT");
      return true;
    } catch (error) {
      await coordinator.query("ROLLBACK").catch(() => undefined);
      if ((error as { code?: string }).code === "55P03") return false;
      throw error;
    }
  }

  /** Writes on one side that the move goes on, and the tenant is open. */
  private async keepUnderWay(site: Site): Promise<void> {
    if (!(await writeRecord(site.coordinator, this.underWay(site), [this.move]))) throw new TenantError("somebody else settled the tenant meanwhile");
  }

  /** @throws {@link TenantError} if a copy of a shard is another than in the beginning: its worker was away, and missed changes; or if there is another table. */
  private async refuseMoved(site: Site, shards: readonly TenantShard[], spread: string | undefined): Promise<void> {
    if ((await spreadTables(site)) !== spread) throw new TenantError(`a table was distributed or dropped in cluster ${site.name} meanwhile`);
    const now = await tenantShards(site, shards.map(({ table }) => table), this.tenant);
    if (placementsOf(now) !== placementsOf(shards)) throw new TenantError(`a shard of the tenant was moved or copied in cluster ${site.name} meanwhile`);
  }

  private async give(): Promise<void> {
    const { epoch, move, taker } = await decide(this.from.coordinator, this.tenant, { epoch: this.epoch, move: this.move, taker: this.to.name });
    if (epoch !== this.epoch || move !== this.move || taker !== this.to.name) throw new TenantError("somebody else settled the tenant meanwhile");
  }

  private async open(): Promise<void> {
    const opened = await writeRecord(this.to.coordinator, { tenant: this.tenant, home: this.to.name, epoch: this.epoch + 1, state: "settled", pinned: this.options.byRing === true }, [this.move]);
    if (!opened) throw new TenantError("somebody else settled the tenant meanwhile");
  }

  /** Tells the old home, which keeps the move's name until it is cleaned, and every other cluster. */
  private async tell(): Promise<void> {
    const record = { tenant: this.tenant, home: this.to.name, epoch: this.epoch + 1, state: "settled" } as const;
    await writeRecord(this.from.coordinator, { ...record, move: this.move }, [this.move]);
    const others = this.sites.filter((site) => site !== this.from && site !== this.to);
    await Promise.allSettled(others.map(({ coordinator }) => writeRecord(coordinator, record, [])));
  }
}
