import { isDeepStrictEqual } from "node:util";
import { isNewer } from "../router/isNewer";
import { clusterOf, ringInWords, ticketsOf, weightsOf } from "../router/tickets";
import { bucketOf } from "../topology/fence";
import { RECORDS_LOCK } from "../topology/locks";
import type { TenancySpec } from "../topology/plan";
import { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import { quickenFence } from "./quickenFence";
import type { Report } from "./report";
import { reason, SetupError } from "./setupError";

/** How a cluster spreads tenants, as it knows. */
interface Ring {
  readonly version: number;
  /** The tickets of its clusters (router/tickets.ts). */
  readonly clusters: readonly string[];
  readonly next: readonly string[] | null;
}

/** Where a tenant lives. */
export interface Settled {
  readonly tenant: string;
  readonly home: string;
  readonly epoch: number;
  readonly pinned: boolean;
}

/** What a cluster knows of a tenant. */
export interface Known extends Settled {
  readonly cluster: string;
  /** Where it is moving to; null: no move of it is under way. */
  readonly target: string | null;
}

/** What the clusters shall know of tenants. */
export interface Knowledge {
  /** The newest record of every tenant. */
  readonly newest: readonly Settled[];
  /** Tenants whose home is lost: they begin anew where the ring puts them, in an epoch above all that is known, so that routers that were told of the lost home believe it. */
  readonly bereft: readonly { readonly tenant: string; readonly epoch: number }[];
  /** Tenants of {@link newest} whose move to a cluster that is lost ends where it began. */
  readonly givenUp: readonly string[];
}

/** A cluster of the stack, and what it knows. */
interface Member {
  readonly name: string;
  readonly coordinator: Coordinator;
  readonly ring: Ring | undefined;
  /** What its records come to, by bucket. */
  readonly digests: ReadonlyMap<number, Digest>;
}

/** What the records of a bucket come to: where two clusters have the same, they know the same. */
interface Digest {
  readonly records: number;
  readonly digest: string;
  /** Records with a home or a target that is not of the stack. */
  readonly lost: number;
}

/** So many records of a cluster are looked at together. */
const RECORDS_AT_ONCE = 50_000;

/** A set-up that stands still holds moves and changes of the ring up for no longer. */
const IDLE_MS = 60_000;

/**
 * Brings what the clusters of a stack know of their tenants to one state: the ring of all of them where there is none yet; the newest ring and record where one cluster has it. A cluster that knows nothing takes no
 * writes until it has them. Moves that are under way are left alone.
 *
 * @param acceptLoss clusters that are gone for good, with the tenants that lived there.
 * @throws {@link SetupError} if a cluster that owns tenants is not of the stack any more.
 */
export async function reconcileTenancy(spec: TenancySpec, acceptLoss: ReadonlySet<string>, deadline: Deadline, report: Report): Promise<void> {
  report.activity = "reading what the clusters know of their tenants";
  const members: Member[] = [];
  try {
    for (const { name, endpoint } of spec.clusters) {
      const coordinator = await deadline.poll(
        () => Coordinator.connect(name, endpoint).catch(() => undefined),
        () => `Cluster ${name} does not answer at ${endpoint.host}:${endpoint.port}. Run the update again when it does`,
      );
      members.push(await read(name, coordinator, spec.clusters.map((cluster) => cluster.name)));
    }
    const names = members.map(({ name }) => name).sort();
    const weights = Object.fromEntries(spec.clusters.map(({ name, weight }) => [name, weight]));
    const regions = Object.fromEntries(spec.clusters.flatMap(({ name, region }) => (region === undefined ? [] : [[name, region]])));
    const rings = members.flatMap(({ ring }) => (ring === undefined ? [] : [ring]));
    const newest = rings.reduce<Ring | undefined>((known, ring) => (known === undefined || ring.version > known.version ? ring : known), undefined);
    const differing = bucketsToSettle(members);
    const lost = differing.map((buckets) => buckets.filter((bucket) => members.some(({ digests }) => (digests.get(bucket)?.lost ?? 0) > 0))).filter((buckets) => buckets.length > 0);
    const ring = withoutLost(await homesIn(members, lost), weights, newest ?? { version: 1, clusters: ticketsOf(weights), next: null }, acceptLoss, report);
    const told = new Map(members.map(({ name }) => [name, 0]));
    const tell = async (knowledge: Knowledge, tenants: (member: Member) => ReadonlyMap<string, Known>): Promise<void> => {
      await Promise.all(members.map(async (member) => told.set(member.name, (told.get(member.name) as number) + (await bringRecords(member, ring, knowledge, tenants(member))))));
    };
    if (newest === undefined) {
      const strayed = await strays(members, ring, report);
      await keepingRecords(members, () => tell({ newest: strayed, bereft: [], givenUp: [] }, () => new Map()));
    }
    let halfReported = false;
    for (const buckets of newest === undefined ? [] : differing) {
      await keepingRecords(members, async () => {
        const known = new Map(await Promise.all(members.map(async (member) => [member.name, await recordsIn(member, buckets)] as const)));
        const of = ({ name }: Member): ReadonlyMap<string, Known> => known.get(name) as ReadonlyMap<string, Known>;
        const knowledge = knowledgeOf(members.flatMap((member) => [...of(member).values()]), names);
        const [half] = knowledge.bereft.filter(({ tenant }) => members.some((member) => typeof of(member).get(tenant)?.target === "string"));
        if (half !== undefined && !halfReported) report.did("tenants", `${half.tenant} was on its way out of a cluster that is lost: what had been copied is there, and may not be all`);
        halfReported ||= half !== undefined;
        await tell(knowledge, of);
      });
    }
    await Promise.all(members.map((member) => bringRing(member, ring, told.get(member.name) as number, report)));
    await Promise.all(members.map((member) => bringRegions(member, regions, report)));
    // After everything that writes the ring, which has every node take its marks for set.
    await Promise.all(members.map(({ coordinator }) => quickenFence(coordinator)));
    const spread = weightsOf(ring.clusters);
    for (const name of names.filter((one) => spread[one] === undefined)) report.found(name, "owns no tenants yet: npm run tenant -- rebalance");
    for (const name of names.filter((one) => spread[one] !== undefined && spread[one] !== weights[one])) {
      report.found(name, `shall have weight ${weights[name]}, and its share of the tenants is that of ${spread[name]}: npm run tenant -- rebalance`);
    }
    if (!report.changed) report.found("tenants", `spread over ${ringInWords(ring.clusters)} already`);
  } finally {
    await Promise.all(members.map(({ coordinator }) => coordinator.close()));
  }
}

/**
 * Tenants that are where the first ring would not put them, in clusters that were used before there was a fence: they stay. One that is in several clusters stays where the ring puts it, or else in the first.
 */
async function strays(members: readonly Member[], { clusters }: Ring, report: Report): Promise<Settled[]> {
  const found = new Map<string, { readonly winner: string; readonly where: readonly string[] }>();
  for (const { name, coordinator } of members) {
    const tables = await coordinator.query<{ name: string; column: string }>(
      `SELECT logicalrelid::text AS name, quote_ident(column_to_column_name(logicalrelid, partkey)) AS "column"
       FROM pg_dist_partition WHERE partmethod = 'h' AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = logicalrelid AND tgname = 'tenancy_insert')`,
    );
    if (tables.length === 0) continue;
    const present = tables.map((table) => `SELECT DISTINCT ${table.column}::text AS tenant FROM ${table.name}`).join(" UNION ");
    const here = await coordinator.query<{ tenant: string; winner: string }>(`WITH present AS MATERIALIZED (${present}) SELECT tenant, tenancy.winner(tenant, $1) AS winner FROM present`, [clusters]);
    for (const { tenant, winner } of here) {
      const where = found.get(tenant)?.where ?? [];
      // The first of the list is the home.
      found.set(tenant, { winner, where: winner === name ? [name, ...where] : [...where, name] });
    }
  }
  const strayed = [...found].flatMap(([tenant, { winner, where: [home = winner] }]) => (home === winner ? [] : [{ tenant, home, epoch: 1, pinned: true }]));
  if (strayed.length > 0) report.did("tenants", `${strayed.length} live where they are, and not where their hash says, until npm run tenant -- rebalance moves them`);
  const several = [...found].filter(([, { where }]) => where.length > 1);
  const [first] = several;
  if (first !== undefined) {
    const [tenant, { where }] = first;
    report.did("tenants", `${several.length} have rows in several clusters, ${tenant} for one in ${where.join(" and ")}: they live in the first of these, and their rows elsewhere can be read and not be written`);
  }
  return strayed;
}

async function ringOf(coordinator: Coordinator): Promise<Ring | undefined> {
  const [ring] = await coordinator.query<{ version: string; clusters: string[]; next: string[] | null }>("SELECT version, clusters, next FROM tenancy.ring");
  return ring && { ...ring, version: Number(ring.version) };
}

async function read(name: string, coordinator: Coordinator, names: readonly string[]): Promise<Member> {
  const ring = await ringOf(coordinator);
  const rows = await coordinator.query<{ bucket: number; records: string; digest: string; lost: string }>("SELECT bucket, records, digest, lost FROM tenancy.digests($1)", [names]);
  return {
    name,
    coordinator,
    ring,
    digests: new Map(rows.map(({ bucket, records, digest, lost }) => [bucket, { records: Number(records), digest, lost: Number(lost) }])),
  };
}

/** The buckets that clusters know different things of, or that have to do with a cluster that is gone: in parts that are not too large to be looked at. */
export function bucketsToSettle(members: readonly Pick<Member, "digests">[]): number[][] {
  const all = [...new Set(members.flatMap(({ digests }) => [...digests.keys()]))].sort((one, other) => one - other);
  const differing = all.filter((bucket) => {
    const said = members.map(({ digests }) => digests.get(bucket));
    return said.some((digest) => digest?.digest !== said[0]?.digest || digest?.records !== said[0]?.records || (digest?.lost ?? 0) > 0);
  });
  const parts: number[][] = [];
  let left = 0;
  for (const bucket of differing) {
    const records = Math.max(...members.map(({ digests }) => digests.get(bucket)?.records ?? 0));
    if (records > left) parts.push([]);
    left = (records > left ? RECORDS_AT_ONCE : left) - records;
    parts.at(-1)?.push(bucket);
  }
  return parts;
}

async function recordsIn({ name, coordinator }: Member, buckets: readonly number[]): Promise<Map<string, Known>> {
  const rows = await coordinator.query<Omit<Known, "cluster" | "epoch"> & { epoch: string }>(`SELECT tenant, home, epoch, pinned, target FROM tenancy.tenant WHERE ${bucketOf("tenant")} = ANY ($1)`, [buckets]);
  return new Map(rows.map((row) => [row.tenant, { ...row, cluster: name, epoch: Number(row.epoch) }]));
}

/** The clusters that tenants of these buckets live in or are moving to, as the newest records say. */
async function homesIn(members: readonly Member[], parts: readonly (readonly number[])[]): Promise<Set<string>> {
  const homes = new Set<string>();
  for (const buckets of parts) {
    const records = await Promise.all(members.map((member) => recordsIn(member, buckets)));
    for (const { home, target } of newestRecords(records.flatMap((known) => [...known.values()]))) {
      homes.add(home);
      if (target !== null) homes.add(target);
    }
  }
  return homes;
}

/** The ring that the stack's clusters can keep. @throws {@link SetupError} if one that is not of the stack any more owns tenants. */
function withoutLost(homes: ReadonlySet<string>, weights: Readonly<Record<string, number>>, ring: Ring, acceptLoss: ReadonlySet<string>, report: Report): Ring {
  const isOurs = (name: string): boolean => Object.hasOwn(weights, name);
  const gone = [...new Set([...[...ring.clusters, ...(ring.next ?? [])].map(clusterOf), ...homes])].filter((name) => !isOurs(name)).sort();
  const owner = gone.find((name) => !acceptLoss.has(name));
  if (owner !== undefined) {
    throw new SetupError(
      `Cluster ${owner} still owns tenants, and is no longer among the stack's clusters: nothing was removed. Put it back, run npm run tenant -- drain ${owner}, and then take it out. ` +
        `If it is lost for good, with its tenants' data: npm run up -- <stack> --accept-loss ${owner}`,
    );
  }
  if (gone.length === 0) return ring;
  const left = ring.clusters.filter((ticket) => isOurs(clusterOf(ticket)));
  const clusters = left.length > 0 ? left : ticketsOf(weights);
  report.did("tenants", `those of ${gone.join(", ")} are lost; they begin anew in ${ringInWords(clusters)}`);
  return { version: ring.version + 1, clusters, next: null };
}

/**
 * What the clusters shall know, of what they know.
 *
 * @param names the stack's clusters; every other one is lost.
 */
export function knowledgeOf(records: readonly Known[], names: readonly string[]): Knowledge {
  const lost = (name: string | null): boolean => name !== null && !names.includes(name);
  const [decided, bereft, givenUp]: [Settled[], { tenant: string; epoch: number }[], string[]] = [[], [], []];
  for (const { tenant, home, epoch, pinned, target } of newestRecords(records)) {
    // The next epoch may be that of the cluster that is lost.
    if (lost(home)) bereft.push({ tenant, epoch: epoch + 2 });
    else if (lost(target)) {
      decided.push({ tenant, home, epoch: epoch + 2, pinned });
      givenUp.push(tenant);
    } else decided.push({ tenant, home, epoch, pinned });
  }
  return { newest: decided, bereft, givenUp };
}

/** The record of each tenant that is to be believed: what a cluster missed is no owner any more. */
function newestRecords(records: readonly Known[]): Known[] {
  const newest = new Map<string, Known>();
  for (const record of records) {
    const known = newest.get(record.tenant);
    if (known === undefined || isNewer(record, known)) newest.set(record.tenant, record);
  }
  return [...newest.values()];
}

/**
 * Has records looked at and written in one transaction of each cluster, which keeps them from being forgotten meanwhile: one that was looked at before may not come back where it has gone.
 *
 * @param work ends with {@link bringRecords} of each cluster, which commits.
 * @throws {@link SetupError} if a cluster has another ring than it had.
 */
async function keepingRecords(members: readonly Member[], work: () => Promise<void>): Promise<void> {
  try {
    await Promise.all(
      members.map(async ({ name, coordinator, ring }) => {
        await coordinator.query(`BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${IDLE_MS}; SELECT pg_advisory_xact_lock_shared(${RECORDS_LOCK})`);
        if (!isDeepStrictEqual(await ringOf(coordinator), ring)) throw new SetupError(`Cluster ${name} got another ring meanwhile, by a rebalance or drain. Run the update again when that has ended`);
      }),
    );
    await work();
  } catch (error) {
    await Promise.all(members.map(({ coordinator }) => coordinator.query("ROLLBACK").catch(() => undefined)));
    throw error;
  }
}

/** Records come before the ring: a cluster that has no ring takes no writes at all. Of {@link keepingRecords}' transactions it ends the cluster's. @returns how many tenants the cluster was told of. */
async function bringRecords({ name, coordinator }: Member, ring: Ring, { newest, bereft, givenUp }: Knowledge, tenants: ReadonlyMap<string, Known>): Promise<number> {
  const behind = newest.filter(({ tenant, epoch }) => (tenants.get(tenant)?.epoch ?? -1) < epoch);
  const lost = bereft.filter(({ tenant, epoch }) => (tenants.get(tenant)?.epoch ?? -1) < epoch);
  try {
    if (behind.length > 0 || lost.length > 0 || givenUp.length > 0) {
      // What is decided by these records is there after a crash, whatever is set.
      await coordinator.query("SET LOCAL synchronous_commit = on");
      await coordinator.query(
        `INSERT INTO tenancy.tenant AS known (tenant, home, epoch, state, pinned) SELECT tenant, tenancy.winner(tenant, $3), epoch, 'settled', true FROM unnest($1::text[], $2::bigint[]) AS newer (tenant, epoch)
         ON CONFLICT (tenant) DO UPDATE SET home = excluded.home, epoch = excluded.epoch, state = 'settled', target = NULL, move = NULL, pinned = true WHERE known.epoch < excluded.epoch`,
        [lost.map(({ tenant }) => tenant), lost.map(({ epoch }) => epoch), ring.clusters],
      );
      if (givenUp.length > 0) await coordinator.query("UPDATE tenancy.tenant SET state = 'settled', target = NULL, move = NULL WHERE tenant = ANY ($1)", [givenUp]);
      await coordinator.query(
        `INSERT INTO tenancy.tenant AS known (tenant, home, epoch, state, pinned) SELECT tenant, home, epoch, 'settled', pinned FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[]) AS newer (tenant, home, epoch, pinned)
         ON CONFLICT (tenant) DO UPDATE SET home = excluded.home, epoch = excluded.epoch, pinned = excluded.pinned WHERE known.epoch < excluded.epoch AND known.move IS NULL AND known.state = 'settled'`,
        [behind.map(({ tenant }) => tenant), behind.map(({ home }) => home), behind.map(({ epoch }) => epoch), behind.map(({ pinned }) => pinned)],
      );
    }
    await coordinator.query("COMMIT");
  } catch (error) {
    throw new SetupError(`Cluster ${name} could not be told where tenants live: ${reason(error)}. Mend that and run the update again`);
  }
  return behind.length + lost.length;
}

/** @param told how many tenants the cluster was told of. */
async function bringRing({ name, coordinator, ring: known }: Member, ring: Ring, told: number, report: Report): Promise<void> {
  if (told === 0 && known?.version === ring.version) return;
  await coordinator.transaction(async () => {
    await coordinator.query(`SELECT pg_advisory_xact_lock(${RECORDS_LOCK})`);
    await coordinator.query(
      `INSERT INTO tenancy.ring AS known (self, version, clusters, next) VALUES ($1, $2, $3, $4)
       ON CONFLICT (self) DO UPDATE SET version = excluded.version, clusters = excluded.clusters, next = excluded.next WHERE known.version < excluded.version`,
      [name, ring.version, ring.clusters, ring.next],
    );
    await coordinator.query("SELECT pg_notify('tenancy', $1)", [JSON.stringify({ ring: ring.version })]);
  });
  report.did(name, [`tenants are spread over ${ringInWords(ring.clusters)}`, ...(told > 0 ? [`${told} that live elsewhere than their hash says were told`] : [])].join("; "));
}

async function bringRegions({ name, coordinator }: Member, regions: Readonly<Record<string, string>>, report: Report): Promise<void> {
  // An update that meets no row has every node look closer at its writes all the same.
  const [other] = await coordinator.query("SELECT FROM tenancy.ring WHERE self = $2 AND regions IS DISTINCT FROM $1::jsonb", [JSON.stringify(regions), name]);
  if (other === undefined) return;
  const changed = await coordinator.query("UPDATE tenancy.ring SET regions = $1::jsonb WHERE self = $2 AND regions IS DISTINCT FROM $1::jsonb RETURNING self", [JSON.stringify(regions), name]);
  if (changed.length > 0) report.did(name, Object.keys(regions).length === 0 ? "clusters have no regions any more" : `regions: ${Object.entries(regions).map(([cluster, region]) => `${cluster} in ${region}`).join(", ")}`);
}
