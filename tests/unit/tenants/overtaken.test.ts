import { expect, test } from "vitest";
import type { Ring } from "../../../tenants/record";
import { changeRing, refuseOtherRing } from "../../../tenants/ring";
import type { Site } from "../../../tenants/site";

/** What a run does next, before it does it. */
type Watch = (statement: string) => Promise<void>;

/** A cluster whose records and ring several runs change. Hashing gives every tenant to the last cluster of a ring. */
class Cluster {
  readonly records = new Map<string, { readonly home: string; readonly epoch: number }>();
  readonly rows = new Set<string>();
  horizon = -1;
  written = 0;

  constructor(
    readonly name: string,
    public ring: Ring,
  ) {}

  /** As one run sees it. */
  site(watch: Watch): Site {
    const query = async (statement: string | { readonly text: string; readonly values?: readonly unknown[] }, values: readonly unknown[] = []): Promise<unknown> => {
      const text = typeof statement === "string" ? statement : statement.text;
      await watch(text);
      return this.answer(text, values);
    };
    const another = (): Promise<unknown> => {
      let page: readonly unknown[] = [];
      const paged = (statement: string | { readonly text: string; readonly values?: readonly unknown[] }): Promise<unknown> => {
        if (typeof statement === "string") return Promise.resolve({ rows: [] });
        if (statement.text.startsWith("FETCH")) return Promise.resolve({ rows: page });
        page = statement.text.includes("WITH present") ? this.unpinned(statement.values as [string[], string[]]) : [...this.records].map(([tenant, { home, epoch }]) => ({ tenant, home, epoch: String(epoch), pinned: true }));
        return Promise.resolve({ rows: [] });
      };
      return Promise.resolve({ query: paged, connection: { stream: { destroy: () => undefined } } });
    };
    const ownCopy = async (table: string): Promise<string> => {
      await watch(`ownCopy ${table}`);
      return `${table}_1`;
    };
    return { name: this.name, coordinator: { query }, another, ownCopy } as unknown as Site;
  }

  private unpinned([clusters, next]: [string[], string[]]): unknown[] {
    return clusters.at(-1) === this.name && next.at(-1) !== this.name ? [...this.rows].filter((tenant) => !this.records.has(tenant)).map((tenant) => ({ tenant })) : [];
  }

  private answer(text: string, values: readonly unknown[]): unknown {
    const ring = { ...this.ring, version: String(this.ring.version) };
    const horizon = { epoch: String(this.horizon) };
    if (text.includes("SELECT epoch FROM tenancy.horizon;")) return [{}, {}, {}, { rows: [horizon] }, { rows: [ring] }];
    if (text.startsWith("SELECT epoch FROM tenancy.horizon")) return { rows: [horizon] };
    if (text.startsWith("SELECT version")) return { rows: [ring] };
    if (text.startsWith("SELECT bucket")) return { rows: [{ bucket: 1, digest: JSON.stringify([...this.records]) }] };
    if (text.includes("pg_dist_partition")) return { rows: [{ name: "rooms", column: "room_id" }] };
    if (text.startsWith("UPDATE tenancy.ring SET")) {
      const [version, clusters, next] = values as [number, string[], string[] | null];
      this.ring = { version, clusters, next };
      this.written += 1;
    }
    if (text.startsWith("INSERT INTO tenancy.tenant")) {
      const [tenants, home, epoch] = values as [string[], string | string[], number | number[]];
      for (const [index, tenant] of tenants.entries()) {
        if (!this.records.has(tenant)) this.records.set(tenant, { home: typeof home === "string" ? home : (home[index] as string), epoch: typeof epoch === "number" ? epoch : (epoch[index] as number) });
      }
      this.written += 1;
    }
    return { rows: [], rowCount: 0 };
  }
}

const OLD: Ring = { version: 1, clusters: ["a", "b"], next: null };
const WIDER = ["a", "b", "c"];
const NARROWER = ["a"];
const said = "Another rebalance or drain has been at work in cluster";

const clustersOf = (ring: Ring): Cluster[] => WIDER.map((name) => new Cluster(name, ring));
const run = (clusters: readonly Cluster[], next: readonly string[], watch: Watch = () => Promise.resolve()): Promise<number> => changeRing(clusters.map((cluster) => cluster.site(watch)), next);

/** Has a run stand still, as a process that is stopped does, before it does something for the first time, until the others are done. */
const standingStill = (before: (statement: string) => boolean, meanwhile: () => Promise<unknown>): Watch => {
  let over: Promise<unknown> | undefined;
  return async (statement) => {
    if (over === undefined && before(statement)) over = meanwhile();
    await over;
  };
};
/** As a run that is killed. */
const killed = (before: (statement: string) => boolean): Watch => standingStill(before, () => Promise.reject(new Error("killed")));

const WRITES_RECORDS = (statement: string): boolean => /^(BEGIN; .*tenancy\.horizon|INSERT INTO tenancy\.tenant)/.test(statement);
const HAS_SHARED = (statement: string): boolean => statement === "ownCopy tenant";
const CHANGES_RING = (statement: string): boolean => statement.startsWith("UPDATE tenancy.generation");

/** What a rebalance does after its change of the ring: its tenants are moved, and what a move left on record is forgotten. */
const movedAndForgotten = (clusters: readonly Cluster[]): void => {
  for (const cluster of clusters) {
    cluster.horizon = Math.max(...[...cluster.records.values()].map(({ epoch }) => epoch + 1));
    cluster.records.clear();
    cluster.rows.clear();
    cluster.written = 0;
  }
};

test.each<[string, Ring, (clusters: readonly Cluster[]) => void, (statement: string) => boolean]>([
  ["pins before it has begun", OLD, ([, b]) => void b?.rows.add("7"), WRITES_RECORDS],
  ["pins in a change that was begun", { ...OLD, next: WIDER }, ([, b]) => void b?.rows.add("7"), WRITES_RECORDS],
  ["records that others missed", { ...OLD, next: WIDER }, ([, b]) => void b?.records.set("7", { home: "b", epoch: 3 }), WRITES_RECORDS],
])("a run that stood still writes no %s, once another has moved the tenants and forgotten their records", async (_, ring, prepare, before) => {
  const clusters = clustersOf(ring);
  prepare(clusters);
  const late = run(clusters, WIDER, standingStill(before, async () => {
    await run(clusters, WIDER);
    for (const { records } of clusters) expect(records.get("7")?.home).toBe("b");
    movedAndForgotten(clusters);
  }));
  await expect(late).rejects.toThrow(said);
  expect(clusters.map(({ written, records }) => [written, records.size])).toEqual([[0, 0], [0, 0], [0, 0]]);
});

test.each<[string, Ring, (statement: string) => boolean]>([
  ["has finished the change", OLD, () => false],
  ["has begun it", OLD, HAS_SHARED],
  ["has taken it up", { ...OLD, next: WIDER }, HAS_SHARED],
])("a run that stood still pins nobody whose rows were deleted, once another %s", async (_, ring, until) => {
  const clusters = clustersOf(ring);
  clusters[1]?.rows.add("7");
  let written: number[] = [];
  const late = run(clusters, WIDER, standingStill(WRITES_RECORDS, async () => {
    clusters[1]?.rows.clear();
    await run(clusters, WIDER, killed(until)).catch(() => undefined);
    written = clusters.map((cluster) => cluster.written);
  }));
  await expect(late).rejects.toThrow(said);
  expect(clusters.map((cluster) => [cluster.records.size, cluster.written])).toEqual(written.map((times) => [0, times]));
});

test("a run that stood still before its last write takes back no change that was begun since", async () => {
  const clusters = clustersOf(OLD);
  let after: Ring | undefined;
  const late = run(clusters, WIDER, standingStill(HAS_SHARED, async () => {
    await run(clusters, WIDER);
    await expect(run(clusters, NARROWER, killed(HAS_SHARED))).rejects.toThrow("killed");
    after = clusters[0]?.ring;
  }));
  await expect(late).rejects.toThrow(said);
  expect(after).toMatchObject({ clusters: WIDER, next: NARROWER });
  expect(clusters.map(({ ring }) => ring)).toEqual([after, after, after]);
});

test("a change that stopped half-way is finished by the next run, under a version of its own", async () => {
  const clusters = clustersOf(OLD);
  await expect(run(clusters, WIDER, killed(HAS_SHARED))).rejects.toThrow("killed");
  expect(clusters.map(({ ring }) => ring)).toEqual(clusters.map(() => ({ version: 1, clusters: OLD.clusters, next: WIDER })));
  // Came since, and was written while nobody changed anything.
  clusters[1]?.rows.add("8");
  await expect(run(clusters, NARROWER)).rejects.toThrow("A change of the ring to a, b, c stopped half-way");
  const done: string[] = [];
  expect(await run(clusters, WIDER, (statement) => Promise.resolve(void done.push(statement)))).toBe(1);
  // Nobody who writes is waited for before.
  expect(done.findIndex((statement) => statement.startsWith("INSERT"))).toBeLessThan(done.indexOf("ownCopy ring"));
  expect(clusters.map(({ ring }) => ring)).toEqual(clusters.map(() => ({ version: 3, clusters: WIDER, next: null })));
  expect(clusters.map(({ records }) => records.get("8")?.home)).toEqual(["b", "b", "b"]);
});

test.each([["the same", WIDER], ["another", NARROWER]])("of a change and %s that begin at once one cluster takes the first, and the other writes nothing", async (_, wanted) => {
  const clusters = clustersOf(OLD);
  let written: number[] = [];
  const late = run(clusters, wanted, standingStill(CHANGES_RING, async () => {
    await expect(run(clusters, WIDER, killed(HAS_SHARED))).rejects.toThrow("killed");
    written = clusters.map((cluster) => cluster.written);
  }));
  await expect(late).rejects.toThrow(said);
  expect(clusters.map((cluster) => cluster.written)).toEqual(written);
  expect(clusters.map(({ ring }) => ring.next)).toEqual([WIDER, WIDER, WIDER]);
});

test("nobody is pinned in an epoch that records were forgotten of meanwhile", async () => {
  const clusters = clustersOf(OLD);
  clusters[1]?.rows.add("7");
  const late = run(clusters, WIDER, standingStill(WRITES_RECORDS, () => {
    for (const cluster of clusters) cluster.horizon = 9;
    return Promise.resolve();
  }));
  await expect(late).rejects.toThrow(said);
  expect(clusters.map(({ written }) => written)).toEqual([0, 0, 0]);
});

test("tenants are moved by the ring that the clusters have, and by no other", async () => {
  const sites = (ring: Ring): Site[] => clustersOf(ring).map((cluster) => cluster.site(() => Promise.resolve()));
  await refuseOtherRing(sites(OLD), ["b", "a"]);
  await expect(refuseOtherRing(sites(OLD), WIDER)).rejects.toThrow(said);
  await expect(refuseOtherRing(sites({ ...OLD, next: WIDER }), ["a", "b"])).rejects.toThrow(said);
});
