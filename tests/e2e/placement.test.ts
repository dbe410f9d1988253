import { execFile } from "node:child_process";
import * as path from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRouter, Placement, type Router } from "@citus-sharding/tenant-router";
import { createPlacement, PlacementError, type TenantPlacement } from "@citus-sharding/tenant-router/placement";
import type { ClusterAccess } from "../../tenants/clusterAccess";
import { moveTenant, openSites } from "../../tenants/move";
import { placeTenant, type PlaceStep } from "../../tenants/place";
import { rebalance } from "../../tenants/rebalance";
import { changeRing } from "../../tenants/ring";
import type { Site } from "../../tenants/site";
import { beforeStatement, LAST_LOOK, PINNING } from "./beforeStatement";
import { hasImage, Project } from "./project";

const CITUS = "citusdata/citus:13.2.0";
const PREFIX = "e2e-pl-";
const PORTS = { a: 16832, b: 16842, c: 16852 } as const;
const NAMES = ["a", "b", "c"] as const;
type Name = (typeof NAMES)[number];

/** Of one worker each: what matters here is that there are three clusters. */
const settings = (weights: Readonly<Record<Name, number>>): Record<string, object> =>
  Object.fromEntries(NAMES.map((name) => [name, { workers: 1, port: PORTS[name], weight: weights[name], region: name === "b" ? "us" : "eu" }]));

describe.skipIf(!hasImage(CITUS))("tenants of three clusters with weights and regions", () => {
  const project = new Project("active-active");
  const sessions = {} as Record<Name, Client>;
  let clusters: ClusterAccess[];
  let router: Router;
  let placement: TenantPlacement;
  let next = 100_000;

  const sql = async (cluster: Name, text: string, values: readonly unknown[] = []): Promise<Record<string, unknown>[]> => (await sessions[cluster].query<Record<string, unknown>>(text, [...values])).rows;
  const ring = async (): Promise<string[]> => (await sql("a", "SELECT clusters FROM tenancy.ring"))[0]?.["clusters"] as string[];

  /** A tenant that nobody has heard of, and that a ring puts into a cluster. */
  const fresh = async (home: Name, also: (tenant: string) => boolean = () => true): Promise<string> => {
    const hashing = new Placement(await ring());
    for (;;) {
      const tenant = String((next += 1));
      if (hashing.place(tenant) === home && also(tenant)) return tenant;
    }
  };

  /** The clusters that take a tenant's writes at this moment. */
  const open = async (tenant: string): Promise<Name[]> => {
    const taken = await Promise.all(
      NAMES.map(async (name) => {
        await sql(name, "BEGIN");
        const took = await sql(name, "INSERT INTO messages (room_id, message_id, user_id, body) VALUES ($1, 1, 1, 'tried')", [tenant]).then(() => true, (error: unknown) => {
          if (!/^TN00[12]$/.test((error as { code: string }).code)) throw error;
          return false;
        });
        await sql(name, "ROLLBACK");
        return took ? [name] : [];
      }),
    );
    return taken.flat();
  };

  /** The tenants of some that every node of a cluster passes without a query. */
  const passed = async (cluster: Name, tenants: string): Promise<string[]> => {
    const nodes = await sql(cluster, `SELECT DISTINCT result FROM run_command_on_all_nodes($$SELECT string_agg(n::text, ' ' ORDER BY n) FROM ${tenants} AS n WHERE tenancy.plain(n::text)$$)`);
    expect(nodes).toHaveLength(1);
    return (nodes[0]?.["result"] as string).split(" ");
  };

  const failure = async (work: Promise<unknown>): Promise<PlacementError> => {
    const error = await work.then(() => undefined, (reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    return error as PlacementError;
  };

  beforeAll(async () => {
    project.configure({ prefix: PREFIX, shardCount: 4, replicationFactor: 1, clusters: settings({ a: 1, b: 2, c: 1 }) });
    await project.create();
    await project.up();
    const { uris } = await project.outputs<{ uris: Record<Name, string> }>();
    clusters = NAMES.map((name) => ({ name, uri: uris[name], nodes: { [`${PREFIX}worker_${name}1:5432`]: { host: "127.0.0.1", port: PORTS[name] + 1 } } }));
    for (const { name, uri } of clusters) {
      const client = new Client({ connectionString: uri });
      client.on("error", () => undefined);
      await client.connect();
      sessions[name as Name] = client;
    }
    router = await createRouter({ clusters: Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max: 2 }])) });
    placement = createPlacement(router, { clusters: Object.fromEntries(clusters.map(({ name, nodes }) => [name, { nodes }])) });
  });
  afterAll(async () => {
    await router?.end();
    for (const session of Object.values(sessions)) void session.end().catch(() => undefined);
    project.dispose(PREFIX);
    expect(project.leftovers(PREFIX)).toEqual([]);
  });

  test("live where the weights say, in SQL as in the router", async () => {
    expect(await ring()).toEqual(["a", "b", "b#1", "c"]);
    const hashing = new Placement({ a: 1, b: 2, c: 1 });
    for (const name of NAMES) {
      const homes = await sql(name, "SELECT n::text AS tenant, tenancy.home(n::text) AS home FROM generate_series(1, 2000) n");
      expect(homes.filter(({ tenant, home }) => hashing.place(tenant as string) !== home)).toEqual([]);
      // By whichever of its tickets, and no other cluster's.
      expect(await passed(name, "generate_series(1, 2000)")).toEqual(homes.flatMap(({ tenant, home }) => (home === name ? [tenant] : [])));
    }
    const tenant = await fresh("b");
    await router.for(tenant).query("INSERT INTO rooms (room_id, name) VALUES ($1, 'by the router')", [tenant]);
    expect(await open(tenant)).toEqual(["b"]);
  });

  test("are placed by command in a cluster or a region, once and again, and not once they have rows or live elsewhere", async () => {
    const tenant = await fresh("a");
    const placed = await project.command("tenant", "place", tenant, "b");
    expect([placed.stdout, placed.code]).toEqual([`✓ Tenant ${tenant} lives in cluster b (epoch 2).\n`, 0]);
    expect(await open(tenant)).toEqual(["b"]);
    for (const name of NAMES) expect(await sql(name, "SELECT home, epoch::int, state, move, pinned FROM tenancy.tenant WHERE tenant = $1", [tenant])).toEqual([{ home: "b", epoch: 2, state: "settled", move: null, pinned: false }]);
    expect((await project.command("tenant", "place", tenant, "b")).stdout).toBe(`✓ Tenant ${tenant} lives already in cluster b (epoch 2).\n`);
    const elsewhere = await project.command("tenant", "place", tenant, "--region", "eu");
    expect([elsewhere.stderr, elsewhere.code]).toEqual([expect.stringContaining(`Tenant ${tenant} lives in cluster b already. To have it elsewhere: npm run tenant -- move ${tenant} --to`), 1]);
    const used = await fresh("a");
    await router.for(used).query("INSERT INTO rooms (room_id, name) VALUES ($1, 'in use')", [used]);
    expect((await project.command("tenant", "place", used, "b")).stderr).toContain(`Tenant ${used} has rows in cluster a, where it lives (public.rooms), so it has to be moved: npm run tenant -- move ${used} --to b`);
    expect(await open(used)).toEqual(["a"]);
    expect((await project.command("tenant", "list")).stdout).toMatch(/cluster +weight +region +tenants +rows +bytes\s+a +1 +eu .*\n.*b +2 +us/);
  });

  test("are placed by an application, also by several at once, and follow into the region that was asked for", async () => {
    const hashing = new Placement(["a", "c"]);
    const tenant = await fresh("b");
    await router.for(tenant).query("SELECT 1");
    const several = await Promise.all(["eu", "eu", "eu"].map((region) => placement.place(tenant, { region })));
    expect(several.filter(({ placed }) => placed)).toHaveLength(1);
    expect(new Set(several.map(({ cluster }) => cluster))).toEqual(new Set([hashing.place(tenant)]));
    expect((await router.locate(tenant)).home).toBe(hashing.place(tenant));
    await router.for(tenant).query("INSERT INTO rooms (room_id, name) VALUES ($1, 'placed')", [tenant]);
    const other = await fresh("c");
    const rivals = await Promise.allSettled(NAMES.map((cluster) => placement.place(other, { cluster })));
    expect(rivals.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await open(other)).toEqual([(await placement.locate(other)).home]);
    expect(await failure(placement.place(await fresh("a"), { region: "mars" }))).toMatchObject({ code: "PLACEMENT", message: "There is no region mars. There is eu, us" });
  });

  test("are moved by an application, which hears how far that is", async () => {
    const tenant = await fresh("a");
    await router.for(tenant).query("INSERT INTO messages (room_id, message_id, user_id, body) SELECT $1, n, 1, 'a message' FROM generate_series(1, 500) n", [tenant]);
    const steps = new Set<string | undefined>();
    let most = 0;
    const report = await placement.move(tenant, "b", { onProgress: ({ step, bytes }) => void (steps.add(step), (most = Math.max(most, bytes))) });
    expect(report).toMatchObject({ tenant, from: "a", to: "b", rows: { "public.messages": 500 } });
    expect([...steps]).toEqual(expect.arrayContaining(["announced", "copied", "decided", "cleaned"]));
    expect([most > 0, (await router.locate(tenant)).home, (await placement.locate(tenant)).home]).toEqual([true, "b", "b"]);
    await sql("a", "CREATE ROLE app LOGIN PASSWORD 'x'");
    const uri = new URL((clusters[0] as ClusterAccess).uri);
    [uri.username, uri.password] = ["app", "x"];
    const powerless = createPlacement(router, { clusters: { a: { connectionString: uri.href } } });
    expect((await failure(powerless.place(await fresh("a"), { cluster: "b" }))).message).toContain("The role app of cluster a cannot place tenants");
    expect((await failure(powerless.move(tenant, "c"))).message).toContain("The role app of cluster a cannot move tenants: that takes a superuser");
  });

  test.each<PlaceStep>(["closed", "drained", "decided", "opened"])("live in one cluster where a placing is killed when it is %s, and is done again", async (step) => {
    const tenant = await fresh("a");
    await new Promise<void>((resolve, reject) => {
      const child = execFile(process.execPath, ["--import", "tsx", path.join(__dirname, "placer.ts"), step, tenant, "b"], (error, _, stderr) => (error?.signal === "SIGKILL" ? resolve() : reject(new Error(`it was to be killed: ${stderr}`))));
      child.stdin?.end(JSON.stringify(clusters));
    });
    expect(await open(tenant)).toEqual(step === "opened" ? ["b"] : []);
    expect((await placement.place(tenant, { cluster: "b" })).cluster).toBe("b");
    expect(await open(tenant)).toEqual(["b"]);
  });

  test("have no second home where the ring changes while one is placed or moved by its hash", async () => {
    const rings = [["a", "b", "b#1"], ["a", "b", "b#1", "c"]] as const;
    const sites = await openSites(clusters, "citus-sharding test", NAMES);
    try {
      for (const moving of [false, true]) {
        await changeRing(sites, rings[0]);
        // The new ring gives it to a third cluster.
        const tenant = await fresh("a", (id) => new Placement(rings[1]).place(id) === "c");
        if (moving) await sql("a", "INSERT INTO rooms (room_id, name) VALUES ($1, 'moves')", [tenant]);
        let during: Name[] = [];
        const change = async (done: string): Promise<void> => {
          if (done !== (moving ? "announced" : "closed")) return;
          await changeRing(sites, rings[1]);
          during = await open(tenant);
        };
        if (moving) await moveTenant(clusters, tenant, "b", { onStep: change });
        else await placeTenant(clusters, tenant, { cluster: "b" }, { onStep: change });
        expect([during, await open(tenant)]).toEqual([moving ? ["a"] : [], ["b"]]);
      }
    } finally {
      for (const site of sites) site.close();
    }
  });

  describe("where a rebalance stood still while others went on", () => {
    const [without, whole] = [["a", "b", "b#1"], ["a", "b", "b#1", "c"]] as const;
    const overtaken = "Another rebalance or drain has been at work in cluster a meanwhile, so that this one ends here";
    const leavingForC = (): Promise<string> => fresh("a", (id) => new Placement(whole).place(id) === "c");
    const onSites = async (work: (sites: readonly Site[]) => Promise<void>): Promise<void> => {
      const sites = await openSites(clusters, "citus-sharding test", NAMES);
      try {
        await work(sites);
      } finally {
        for (const site of sites) site.close();
      }
    };

    test("have no second home, and the second rebalance is refused only as long as the first one's sessions live", async () => {
      await onSites(async (sites) => void (await changeRing(sites, without)));
      const tenant = await leavingForC();
      await sql("a", "INSERT INTO rooms (room_id, name) VALUES ($1, 'moves')", [tenant]);
      const spread = (): Promise<unknown> => rebalance(clusters, whole, () => undefined);
      const recorded = async (): Promise<Name[]> => (await Promise.all(NAMES.map(async (name) => ((await sql(name, "SELECT FROM tenancy.tenant WHERE tenant = $1", [tenant])).length > 0 ? [name] : [])))).flat();
      const end = beforeStatement(PINNING, async () => {
        const refused = await project.command("tenant", "rebalance");
        expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/Another rebalance or drain is at work \(process \d+ on the coordinator of cluster a\)\. Run this again when it has ended/)]);
        // As when a machine sleeps for long.
        for (const name of NAMES) expect(await sql(name, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7791")).toHaveLength(1);
        await spread();
        expect([await open(tenant), await recorded()]).toEqual([["c"], []]);
      });
      try {
        await expect(spread()).rejects.toThrow(overtaken);
      } finally {
        end();
      }
      expect([await open(tenant), await recorded()]).toEqual([["c"], []]);
      expect(await sql("c", "SELECT name FROM rooms WHERE room_id = $1", [tenant])).toEqual([{ name: "moves" }]);
      for (const name of NAMES) expect(await sql(name, "SELECT clusters, next FROM tenancy.ring")).toEqual([{ clusters: whole, next: null }]);
    });

    test("are not written for the first time past a change of the ring that it would have taken back", async () => {
      await onSites((late) =>
        onSites(async (others) => {
          const end = beforeStatement(LAST_LOOK, async () => {
            await changeRing(others, without);
            beforeStatement(LAST_LOOK, () => Promise.reject(new Error("killed")));
            await expect(changeRing(others, whole)).rejects.toThrow("killed");
          });
          try {
            await expect(changeRing(late, without)).rejects.toThrow(overtaken);
          } finally {
            end();
          }
          for (const name of NAMES) expect(await sql(name, "SELECT clusters, next FROM tenancy.ring")).toEqual([{ clusters: without, next: whole }]);
          const tenant = await leavingForC();
          expect(await open(tenant)).toEqual([]);
          // A router meets the tenant for the first time while nobody takes it, and is not stuck with what it heard then.
          const first = router.for(tenant).query("INSERT INTO rooms (room_id, name) VALUES ($1, 'waited')", [tenant]);
          first.catch(() => undefined);
          await new Promise((resolve) => setTimeout(resolve, 500));
          await changeRing(others, whole);
          await first;
          expect(await open(tenant)).toEqual(["c"]);
          expect((await router.for(tenant).query("SELECT name FROM rooms WHERE room_id = $1", [tenant])).rows).toEqual([{ name: "waited" }]);
        }),
      );
    });
  });

  test("move with a weight when it is rebalanced, and not before, and only to the cluster that got more", async () => {
    const before = new Placement(await ring());
    const ids = Array.from({ length: 60 }, (_, index) => String(900_000 + index));
    for (const id of ids) await router.for(id).query("INSERT INTO rooms (room_id, name) VALUES ($1, 'weighed')", [id]);
    project.configure({ clusters: settings({ a: 1, b: 2, c: 4 }) });
    await project.up();
    expect(await ring()).toEqual(["a", "b", "b#1", "c"]);
    expect((await project.command("status", "active-active")).stdout).toContain("c shall have weight 4, and its share of the tenants is that of 1: npm run tenant -- rebalance active-active changes that.");
    const now = new Placement({ a: 1, b: 2, c: 4 });
    const leaving = ids.filter((id) => before.place(id) !== now.place(id));
    const planned = JSON.parse((await project.command("tenant", "plan", "--json")).stdout) as { moves: { tenant: string; to: string }[] };
    expect(planned.moves.map(({ tenant }) => tenant)).toEqual(expect.arrayContaining(leaving));
    expect(new Set(planned.moves.map(({ to }) => to))).toEqual(new Set(["c"]));
    expect((await project.command("tenant", "rebalance")).stdout).toContain("Tenants are spread over a, b (weight 2), c (weight 4).");
    for (const name of NAMES) expect(await sql(name, "SELECT clusters, next FROM tenancy.ring")).toEqual([{ clusters: now.tickets, next: null }]);
    for (const id of ids) expect((await router.locate(id)).home).toBe(now.place(id));
    for (const name of NAMES) {
      const quick = await passed(name, "generate_series(1, 2000)");
      expect(quick.filter((id) => now.place(id) !== name)).toEqual([]);
      // Those that share a bucket with one that was placed elsewhere are looked at closer.
      expect(quick.length).toBeGreaterThan(Array.from({ length: 2000 }, (_, index) => String(index + 1)).filter((id) => now.place(id) === name).length / 2);
    }
    for (const name of NAMES) {
      const found = (await sql(name, "SELECT room_id::text AS id FROM rooms WHERE room_id = ANY ($1)", [ids])) as { id: string }[];
      expect(found.filter(({ id }) => now.place(id) !== name)).toEqual([]);
    }
  });
});
