import { readFileSync } from "node:fs";
import * as path from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { decodeConfig, parseSettings } from "../../../config/parse";
import { dangersOf, secretDangers } from "../../../config/safety";

const aa = (settings: Record<string, unknown>): Record<string, unknown> => ({ topology: "active-active", replicationFactor: 1, ...settings });
const ap = (settings: Record<string, unknown>): Record<string, unknown> => ({ topology: "active-passive", replicationFactor: 1, ...settings });

describe("a choice that is legal and dangerous", () => {
  test.each<[string, Record<string, unknown>, string, string]>([
    ["one coordinator", ap({ coordinators: 1 }), "coordinators", "when it is down, the cluster is down"],
    ["two coordinators", ap({ coordinators: 2 }), "coordinators", "no synchronous standby after the first failure"],
    ["one etcd member", ap({ etcdMembers: 1 }), "etcdMembers", "single point of failure: without it no failover happens"],
    ["replication factor 2 with its guard", aa({ replicationFactor: 2 }), "replicationFactor", "writes to its shards fail or wait for about a second, until the guard has disabled it"],
    ["replication factor 2 taken for high availability", aa({ replicationFactor: 2, guard: false }), "replicationFactor", "without the guard keeps reads alive when a worker dies, not writes"],
    ["replication factor 2 in active-passive", ap({ replicationFactor: 2 }), "replicationFactor", "rules out foreign keys between distributed tables and SELECT … FOR UPDATE"],
    ["fewer shards than workers", ap({ shardCount: 2 }), "shardCount", "2 shards over the 3 workers of workers leave 1 without data. Use at least 3."],
    ["fewer shards than one cluster's workers", aa({ shardCount: 3, clusters: { a: { workers: 3 }, b: { workers: 5 } } }), "shardCount", "3 shards over the 5 workers of clusters.b.workers leave 2 without data. Use at least 5."],
    ["a port for other machines", ap({ bindAddress: "0.0.0.0" }), "bindAddress", "the published ports on 0.0.0.0 are open to other machines"],
    ["a port for other machines over IPv6", ap({ bindAddress: "::" }), "bindAddress", "the published ports on :: are open to other machines"],
    ["one cluster", aa({ clusters: { a: {} } }), "clusters", "a is the only cluster: when its coordinator is down, everything is down"],
    ["a port that depends on the other clusters", aa({ clusters: { a: {}, east: {} } }), "clusters.east.port", "may move when one is added. Set it."],
  ])("%s", (_, input, key, core) => {
    const dangers = dangersOf(parseSettings(input).settings);
    expect(dangers.map((danger) => danger.key)).toEqual([key]);
    expect(dangers[0]?.consequence).toContain(core);
  });

  test("with replicas, fewer shards than workers can still reach all of them", () => {
    const dangers = dangersOf(parseSettings(aa({ replicationFactor: 2, shardCount: 2 })).settings);
    expect(dangers.map(({ key }) => key)).toEqual(["replicationFactor", "shardCount", "shardCount"]);
    expect(dangers[1]?.consequence).toBe("2 shards over the 3 workers of clusters.a.workers cannot be spread evenly. Use at least 3.");
  });

  test("each on its own, all of them together", () => {
    const { settings } = parseSettings(ap({ coordinators: 2, etcdMembers: 1, replicationFactor: 2, shardCount: 1, bindAddress: "192.0.2.1" }));
    expect(dangersOf(settings).map(({ key }) => key)).toEqual(["coordinators", "etcdMembers", "replicationFactor", "shardCount", "bindAddress"]);
  });
});

describe("no danger", () => {
  test.each<[string, Record<string, unknown>]>([
    ["active-passive without replicas", ap({})],
    ["worker groups", { topology: "active-passive", workers: { members: 3 } }],
    ["active-active without replicas", aa({})],
    ["as many shards as workers", aa({ shardCount: 3 })],
    ["another address of this machine alone", aa({ bindAddress: "127.0.0.2" })],
    ["this machine alone over IPv6", ap({ bindAddress: "::1" })],
    ["a long name with a port", aa({ clusters: { a: {}, east: { port: 9000 } } })],
    ["more members than the defaults", ap({ coordinators: 5, etcdMembers: 5 })],
  ])("%s", (_, input) => {
    expect(dangersOf(parseSettings(input).settings)).toEqual([]);
  });
});

/** The settings of a stack file of this project, as Pulumi hands them over. */
function stackSettings(stack: string): ReturnType<typeof parseSettings>["settings"] {
  const file = readFileSync(path.join(__dirname, `../../../Pulumi.${stack}.yaml`), "utf8");
  const { config } = parse(file) as { config: Record<string, unknown> };
  const texts = Object.fromEntries(Object.entries(config).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]));
  return parseSettings(decodeConfig(texts, "citus-sharding")).settings;
}

describe("the stacks of this project", () => {
  test("active-active warns of its replication factor only", () => {
    expect(dangersOf(stackSettings("active-active")).map(({ key }) => key)).toEqual(["replicationFactor"]);
  });

  test("active-passive warns of what replication factor 2 is not", () => {
    expect(dangersOf(stackSettings("active-passive")).map(({ key }) => key)).toEqual(["replicationFactor"]);
  });

  test.each(["active-active", "active-passive"] as const)("%s holds the schema's defaults", (stack) => {
    expect(stackSettings(stack)).toEqual(parseSettings({ topology: stack }).settings);
  });
});

test("a password as plain text in the configuration file", () => {
  expect(secretDangers(["superuserPassword", "rewindPassword"], ["superuserPassword"])).toEqual([{
    key: "rewindPassword",
    consequence: "stands in the stack's configuration file as plain text. Encrypt it: pulumi config set --secret rewindPassword",
  }]);
});

test("an encrypted setting that is not a password", () => {
  expect(secretDangers(["rewindPassword"], ["rewindPassword", "parameters"])).toEqual([{
    key: "parameters",
    consequence: "is a secret in the stack's configuration file, but only passwords stay secret: its value stands in the state as plain text.",
  }]);
});
