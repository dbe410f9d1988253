import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { VIOLATIONS, type Violation } from "../../chaos/checker";
import { CATALOGUE } from "../../chaos/faults/catalogue";
import type { Judgement } from "../../chaos/judge";
import { hasImage, Project } from "./project";

/** What must not happen on any machine; how long it takes and how fast one connects depends on the machine. */
const NEVER = (Object.keys(VIOLATIONS) as Violation[]).filter((violation) => violation !== "slowConnects");

interface Case {
  readonly title: string;
  readonly stack: string;
  readonly prefix: string;
  readonly settings: Readonly<Record<string, unknown>>;
  /** The faults' names, as `--fault` takes them. */
  readonly faults: readonly string[];
  /** What has to be among what happened. */
  readonly happened: readonly string[];
}

/** Those after which a stack takes a minute or more to be whole again are left to long runs. */
const LONG = ["kill-after-outage", "holder", "holder-crash", "partition", "two-faults", "engine"];
const SHORT = CATALOGUE.map(({ name }) => name).filter((name) => !LONG.includes(name));
/** What meets Patroni, etcd or HAProxy, and the machine. */
const OF_GROUPS = ["switchover", "postmaster", "kill", "pause", "standby", "etcd", "etcd-majority", "haproxy-reload", "fencer", "power-cut"];
/** What a stack of plain nodes can have: most of what is short, among it what groups are spared here. */
const OF_NODES = SHORT.filter((name) => !["switchover", "standby", "etcd", "etcd-majority", "haproxy-reload", "fencer"].includes(name));

const cases: Case[] = [
  {
    title: "coordinators and workers that are Patroni groups",
    stack: "active-passive",
    prefix: "e2e-cp-",
    settings: { prefix: "e2e-cp-", shardCount: 4, workers: { groups: 2, members: 3 }, ports: { leader: 15620, standbys: 15621, nodes: 15622, statistics: 15623 } },
    faults: OF_GROUPS,
    happened: ["switchover coordinator", "switchover worker", "postmaster coordinator", "postmaster worker", "kill coordinator", "kill worker", "pause coordinator", "pause worker", "standby standby", "etcd etcd", "etcd-majority etcd", "haproxy-reload haproxy", "fencer fencer", "power-cut stack"],
  },
  {
    title: "workers with copies and the guard",
    stack: "active-active",
    prefix: "e2e-ca-",
    settings: { prefix: "e2e-ca-", shardCount: 4, clusters: { a: { workers: 3, port: 15632 } } },
    faults: OF_NODES,
    happened: ["restart worker", "postmaster worker", "crash worker", "kill worker", "pause worker", "network worker", "everything stack", "everything-killed stack", "power-cut stack"],
  },
];

test("every fault that is short happens somewhere", () => {
  expect([...new Set([...OF_GROUPS, ...OF_NODES])].sort()).toEqual([...SHORT].sort());
});

describe.skipIf(!hasImage("citusdata/citus:13.2.0")).each(cases)("faults once, $title", ({ stack, prefix, settings, faults, happened }) => {
  const project = new Project(stack);
  beforeAll(async () => {
    project.configure(settings);
    await project.create();
    await project.up();
  });
  afterAll(() => project.dispose(prefix));

  test("nothing that was acknowledged is lost or doubled, and the stack is whole again after each", async () => {
    const { stdout, stderr } = await project.command("chaos", stack, "--fault", faults.join(","), "--hold", "5", "--seed", "1", "--json");
    expect(stdout, stderr).not.toBe("");
    const { verdict, effects, summaries } = JSON.parse(stdout) as Judgement;
    expect(summaries.map(({ fault, role }) => `${fault} ${role}`)).toEqual(expect.arrayContaining([...happened]));
    expect(effects.flatMap(({ fault, role, problem }) => (problem === undefined ? [] : [`${fault} ${role}: ${problem}`]))).toEqual([]);
    const violations = NEVER.flatMap((violation) => verdict.violations[violation].examples.map(({ key, sentence }) => `${violation} ${key}: ${sentence}`));
    expect(violations).toEqual([]);
    expect(verdict.lostWrites).toBe(0);
    // Far above what a quiet machine takes, and far below a lease or a worker that nobody takes out.
    for (const { fault, role, gapMs } of summaries.filter(({ role }) => role === "worker" || (role === "coordinator" && stack === "active-passive"))) expect(gapMs?.max, `${fault} ${role}`).toBeLessThan(15_000);
  }, 20 * 60_000);

  test("up has nothing to change afterwards", async () => {
    const { same: _, ...changes } = await project.up();
    expect(changes).toEqual({});
  });
});
