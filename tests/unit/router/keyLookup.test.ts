import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ConfigurationError, createRouter, OtherTenantError, type Router, type RouterOptions } from "../../../router/index";
import { lookupBucket } from "../../../router/lookupBucket";
import type { IdType } from "../../../router/tenantId";
import { FakeServer, type Answer } from "./fakeServer";

const KEY = "bob@example.org";

let servers: Readonly<Record<"a" | "b", FakeServer>>;
const routers: Router[] = [];

beforeEach(async () => {
  const [a, b] = await Promise.all([new FakeServer("a").start(), new FakeServer("b").start()]);
  servers = { a, b };
});
afterEach(async () => {
  await Promise.all(routers.splice(0).map((router) => router.end()));
  await Promise.all(Object.values(servers).map((server) => server.stop()));
});

async function routing(options: Partial<RouterOptions> = {}): Promise<Router> {
  const router = await createRouter({ clusters: { a: servers.a.config, b: servers.b.config }, ...options });
  routers.push(router);
  return router;
}

/** The cluster that the key's bucket lives in, and the other one. */
async function sides(router: Router): Promise<[FakeServer, FakeServer]> {
  const { home } = await router.locate(lookupBucket("email", KEY, "bigint"));
  return home === "a" ? [servers.a, servers.b] : [servers.b, servers.a];
}

const answering = (answer: Answer): void => Object.values(servers).forEach((server) => (server.answer = () => answer));

describe("a key", () => {
  test("is looked for in the cluster of its bucket", async () => {
    const router = await routing();
    answering({ rows: [{ tenant: "42" }] });
    expect(await router.lookup("email").find(KEY)).toBe("42");
    const [home, other] = await sides(router);
    expect(home.statements).toEqual(['SELECT tenant::text AS tenant FROM "lookups" WHERE bucket = $1 AND kind = $2 AND key = $3']);
    expect(other.statements).toEqual([]);
    answering({ rows: [] });
    expect(await router.lookup("email").find(KEY)).toBeUndefined();
  });

  test.each([
    ["42", { claimed: true, tenant: "42" }],
    ["7", { claimed: false, tenant: "7" }],
  ])("that is %s's is claimed, or it is said whose it is", async (owner, expected) => {
    const router = await routing();
    answering({ rows: [{ tenant: owner }], command: "INSERT 0 1" });
    // As the column gives it.
    expect(await router.lookup("email").claim(KEY, "042")).toEqual(expected);
  });

  test.each([
    ["DELETE 1", true],
    ["DELETE 0", false],
  ])("is released if the tenant has it: %s", async (command, had) => {
    const router = await routing();
    const [home] = await sides(router);
    home.known = { home: home.self, epoch: 0, state: "settled" };
    answering({ command });
    expect(await router.lookup("email").release(KEY, 42)).toBe(had);
  });

  test("is claimed where its bucket has moved to", async () => {
    const router = await routing();
    const [home, other] = await sides(router);
    const bucket = lookupBucket("email", KEY, "bigint");
    home.answer = () => ({ error: { code: "TN001", message: "elsewhere", detail: JSON.stringify({ tenant: bucket, home: other.self, epoch: 1 }) } });
    other.answer = () => ({ rows: [{ tenant: "42" }], command: "INSERT 0 1" });
    expect(await router.lookup("email").claim(KEY, 42)).toEqual({ claimed: true, tenant: "42" });
    expect([home.statements.length, other.statements.length]).toEqual([1, 1]);
  });

  test("is in the table that the options name", async () => {
    const router = await routing({ lookupTable: "app.Keys" });
    answering({ rows: [] });
    await router.lookup("email").find(KEY);
    expect((await sides(router))[0].statements[0]).toContain('FROM "app"."Keys" WHERE');
  });

  test("is nothing for the transaction of a tenant", async () => {
    const router = await routing();
    answering({});
    await expect(router.for(42).transaction(() => router.lookup("email").claim(KEY, 42))).rejects.toBeInstanceOf(OtherTenantError);
  });
});

describe("the table of a cluster", () => {
  test("is looked at once", async () => {
    const router = await routing();
    answering({ rows: [] });
    for (let times = 0; times < 3; times += 1) await router.lookup("email").find(KEY);
    expect((await sides(router)).map((server) => server.lookups.asked)).toEqual([1, 0]);
  });

  test("that would not keep keys apart is refused, until it is mended", async () => {
    const router = await routing();
    answering({ rows: [{ tenant: "42" }], command: "INSERT 0 1" });
    const [home] = await sides(router);
    home.lookups.problem = "has no fence";
    const refused = router.lookup("email").claim(KEY, 42);
    await expect(refused).rejects.toBeInstanceOf(ConfigurationError);
    await expect(refused).rejects.toThrow(/^clusters\.[ab]: the table lookups has no fence, and keys of email cannot be kept there\. Create it in the stack's schema\.file/);
    expect(home.statements).toEqual([]);
    home.lookups.problem = null;
    expect(await router.lookup("email").claim(KEY, 42)).toMatchObject({ claimed: true });
  });
});

test.each([
  ["kind", "", KEY],
  ["kind", "a\0", KEY],
  ["key", "email", ""],
  ["key", "email", "\ud800"],
])("a %s has to be a text that PostgreSQL has", async (what, kind, key) => {
  const router = await routing();
  await expect((async () => router.lookup(kind).find(key))()).rejects.toThrow(`The ${what} of a lookup must be a text that is not empty`);
});

test.each(["", "a.b.c", 'x"y', "."])("lookupTable %j is refused", async (lookupTable) => {
  await expect(routing({ lookupTable })).rejects.toThrow(/^lookupTable: must be the name of a table/);
});

describe("buckets", () => {
  const TYPES: readonly IdType[] = ["smallint", "integer", "bigint", "uuid", "text", "character"];

  test("are few, used evenly, and ids of every type", () => {
    for (const type of TYPES) {
      const counts = new Map<string, number>();
      for (let index = 0; index < 20_000; index += 1) {
        const bucket = lookupBucket("email", `user${index}@example.org`, type);
        counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
      }
      expect(counts.size).toBe(1024);
      expect(Math.max(...counts.values())).toBeLessThan(60);
      const form = { uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/, text: /^lookup-\d{1,4}$/, character: /^lookup-\d{1,4}$/ };
      for (const bucket of counts.keys()) expect(bucket).toMatch(type in form ? form[type as keyof typeof form] : /^-([1-9]\d{0,2}|10[01]\d|102[0-4])$/);
    }
  });

  test("hang on kind and key, and never change", () => {
    // SELECT -1 - (hashtextextended(key, hashtextextended(kind, 0)) & 1023)
    expect([lookupBucket("email", KEY, "bigint"), lookupBucket("phone", KEY, "bigint"), lookupBucket("email", "Bücher@example.org", "bigint"), lookupBucket("é", "x", "bigint")]).toEqual(["-906", "-308", "-534", "-382"]);
  });
});
