import { describe, expect, test } from "vitest";
import { parseSettings } from "../../../config/parse";
import { planStack } from "../../../topology/stack";
import { containersOf, holderName } from "../../../topology/plan";
import type { LiveContainer } from "../../../cli/live";
import type { PatroniMember } from "../../../cli/patroniCluster";
import type { CitusStatus } from "../../../cli/citusStatus";
import { stackStatus, type Findings } from "../../../cli/stackStatus";
import type { Stack } from "../../../cli/stack";

const { settings } = parseSettings({ topology: "active-passive" });
const stack: Stack = { name: "s", settings, plan: planStack(settings, () => ""), ports: [], passwords: [] };

function container(name: string, more: Partial<LiveContainer> = {}): LiveContainer {
  const role = name.endsWith("-holder") ? "holder" : "member";
  const startedAt = new Date(role === "holder" ? 1000 : 2000);
  return { id: name, name, status: "running", ...(role === "member" && { health: "healthy" }), exitCode: 0, startedAt, createdAt: startedAt, image: "x", volumes: [], role, ...more };
}

const coordinators: readonly PatroniMember[] = [
  { name: "coord-1", role: "quorum_standby", state: "streaming", lag: 0 },
  { name: "coord-2", role: "leader", state: "running" },
  { name: "coord-3", role: "quorum_standby", state: "streaming", lag: 2048 },
];
const patroni = (members: readonly PatroniMember[] | undefined): Pick<Findings, "patroni"> => ({ patroni: new Map([["coord", members]]) });

const well: Findings = {
  containers: containersOf(stack.plan).flatMap(({ name, held }) => (held ? [container(holderName(name)), container(name)] : [container(name)])),
  patroni: new Map([["coord", coordinators]]),
  etcd: new Map([["etcd-1", true], ["etcd-2", true], ["etcd-3", true]]),
  clusters: [{ cluster: "citusap", nodes: ["coord-2", "worker1", "worker2", "worker3"].map((name) => ({ name, active: true, placements: name === "coord-2" ? 0 : 32 })), shards: 32, refusals: {}, writeMs: 100 }],
  guards: new Map(),
};

function without(name: string): readonly LiveContainer[] {
  return well.containers.filter((live) => live.name !== name);
}

function changed(name: string, more: Partial<LiveContainer>): readonly LiveContainer[] {
  return [...without(name), container(name, more)];
}

test("a fencer that is off is a warning, and no problem", () => {
  expect(stackStatus(stack, { ...well, fencersOff: ["coord-1", "coord-2"] })).toMatchObject({ healthy: true, warnings: [expect.stringMatching(/^Fencers of coord-1 and coord-2 are off: this Docker does not give containers control groups/)] });
  expect(stackStatus(stack, { ...well, fencersOff: [] }).warnings).toEqual([]);
});

describe("a disabled worker", () => {
  const guarded: Stack = { ...stack, plan: planStack(parseSettings({ topology: "active-passive", replicationFactor: 2 }).settings, () => "") };
  const clusters = well.clusters.map((cluster) => ({ ...cluster, nodes: cluster.nodes.map((node) => ({ ...node, active: node.name !== "worker2" })) }));
  const guard = (coordinator: "primary" | "standby", state: "disabled" | "returning" | "empty"): Findings["guards"] =>
    new Map([["guard-2", { at: "2026-01-01T00:00:00Z", coordinator, workers: [{ name: "worker2", state, since: "2026-01-01T00:00:00Z" }] }]]);

  test.each<[string, Findings["guards"], string]>([
    ["is left to its guard", guard("primary", "disabled"), "worker2 is disabled in Citus: its guard brings it back when it answers."],
    ["is being brought back", guard("primary", "returning"), "worker2 was disabled in Citus: its guard is bringing it back."],
    ["that lost its data needs an update", guard("primary", "empty"), "worker2 is disabled in Citus: npm run up -- s activates it."],
    ["whose guard does not act needs an update", guard("standby", "disabled"), "worker2 is disabled in Citus: npm run up -- s activates it."],
    ["without a guard needs an update", new Map(), "worker2 is disabled in Citus: npm run up -- s activates it."],
  ])("%s", (_, guards, problem) => {
    expect(stackStatus(guarded, { ...well, clusters, guards }).problems).toContain(problem);
  });
});

test.each<[string, { ring: string[]; changing: boolean; unsettled: number; hindrances?: string[] }, string[]]>([
  ["that knows its tenants", { ring: ["a", "b"], changing: false, unsettled: 0 }, []],
  ["that was told nothing", { ring: [], changing: false, unsettled: 0 }, ["citusap takes no writes of tenants before it is told which are its own: npm run up -- s tells it."]],
  [
    "whose tenants are on the way",
    { ring: ["a", "b"], changing: true, unsettled: 2 },
    ["citusap has begun to spread tenants anew: npm run tenant -- rebalance s ends that.", "citusap has 2 tenants on the way: npm run tenant -- recover s ends moves that stopped."],
  ],
  ["whose tenants cannot be moved", { ring: ["a", "b"], changing: false, unsettled: 0, hindrances: ["The partition public.events_3 is not wholly fenced yet"] }, ["No tenant can be moved from citusap or to it. The partition public.events_3 is not wholly fenced yet."]],
])("a cluster %s", (_, tenancy, warnings) => {
  const status = stackStatus(stack, { ...well, clusters: well.clusters.map((cluster) => ({ ...cluster, tenancy: { hindrances: [], weights: {}, regions: {}, ...tenancy } })) });
  expect(status).toMatchObject({ healthy: true, warnings });
});

test("a cluster whose share of the tenants is not that of its weight yet is told", () => {
  const settings = parseSettings({ topology: "active-active", clusters: { a: { weight: 3 }, b: {} } }).settings;
  const tenancy = { ring: ["a", "b"], regions: {}, changing: false, unsettled: 0, hindrances: [] };
  const clusters = (weights: Record<string, number>): CitusStatus[] => ["a", "b"].map((cluster) => ({ cluster, nodes: [], shards: 1, refusals: {}, writeMs: 1, tenancy: { ...tenancy, weights } }));
  const warnings = (weights: Record<string, number>): readonly string[] => stackStatus({ ...stack, settings }, { ...well, clusters: clusters(weights) }).warnings;
  expect(warnings({ a: 1, b: 1 })).toContain("a shall have weight 3, and its share of the tenants is that of 1: npm run tenant -- rebalance s changes that.");
  expect(warnings({ a: 3, b: 1 }).filter((warning) => warning.includes("weight"))).toEqual([]);
});

test("clusters that have not the same migrations are warned of", () => {
  const [found] = well.clusters as [Findings["clusters"][number]];
  const having = (cluster: string, ...names: string[]): Findings["clusters"][number] => ({
    ...found,
    cluster,
    tenancy: { ring: ["a", "b"], weights: { a: 1, b: 1 }, regions: {}, changing: false, unsettled: 0, hindrances: [], migrations: names.map((name) => ({ name, checksum: "x", begun: false })) },
  });
  expect(stackStatus(stack, { ...well, clusters: [having("a", "1_x.sql"), having("b")] }).warnings).toEqual([
    "No tenant can be moved between clusters that have not the same migrations. Cluster b has not got the migration 1_x.sql, which a has: npm run tenant -- migrate.",
  ]);
  expect(stackStatus(stack, { ...well, clusters: [having("a", "1_x.sql"), having("b", "1_x.sql"), found] }).warnings).toEqual([]);
});

describe("a stack that is well", () => {
  const status = stackStatus(stack, well);

  test("has no problem", () => {
    expect(status).toMatchObject({ healthy: true, problems: [] });
  });

  test("shows every node of the plan with its role, lag and placements", () => {
    expect(status.nodes.map(({ name }) => name)).toEqual(containersOf(stack.plan).map(({ name }) => name));
    expect(status.nodes).toContainEqual({ name: "coord-2", role: "leader", state: "healthy" });
    expect(status.nodes).toContainEqual({ name: "coord-3", role: "quorum standby", state: "healthy", lagBytes: 2048 });
    expect(status.nodes).toContainEqual({ name: "worker1", role: "worker", state: "healthy", placements: 32 });
  });
});

test.each<[string, Partial<Findings>, string, string?]>([
  ["a missing container", { containers: without("worker2") }, "worker2 has no container: npm run up -- s makes it again.", "missing"],
  ["a stopped one", { containers: changed("worker2", { status: "exited", exitCode: 137 }) }, "worker2 is stopped: npm run restart -- s worker2 brings it back.", "stopped (exit code 137)"],
  ["a paused one", { containers: changed("worker2", { status: "paused" }) }, "worker2 is paused: npm run restart -- s worker2 brings it back.", "paused"],
  ["an unhealthy one", { containers: changed("worker2", { health: "unhealthy" }) }, "worker2 runs, but its health check fails: docker logs worker2 has the reason, npm run restart -- s worker2 may mend it.", "unhealthy"],
  ["a holder that is gone", { containers: changed("worker2-holder", { status: "exited" }) }, "worker2 has lost its holder, which has its address: npm run restart -- s worker2 starts both."],
  [
    "a holder restarted alone",
    { containers: changed("worker2-holder", { startedAt: new Date(3000) }) },
    "worker2 is cut off: its holder was restarted alone, and it has no network since. npm run restart -- s worker2 mends it.",
    "cut off",
  ],
  ["a standby that does not stream", patroni(coordinators.map((member) => (member.name === "coord-1" ? { ...member, state: "starting" } : member))), "coord-1 is up, but Patroni has it as quorum_standby, starting"],
  ["a member that Patroni does not know", patroni(coordinators.filter(({ name }) => name !== "coord-1")), "coord-1 is up, but Patroni has it as no member"],
  ["no leader", patroni(coordinators.map((member) => ({ ...member, role: "replica", state: "streaming" }))), "coord has no leader"],
  ["no Patroni", patroni(undefined), "No Patroni of coord answers: coord-1, coord-2 and coord-3."],
  ["an unhealthy member of etcd", { etcd: new Map([["etcd-1", true], ["etcd-2", false], ["etcd-3", true]]) }, "etcd-2 is up, but not healthy as a member of etcd"],
  ["no etcd", { etcd: undefined }, "No member of etcd answers"],
  ["a worker that is not registered", { clusters: well.clusters.map((cluster) => ({ ...cluster, nodes: cluster.nodes.filter(({ name }) => name !== "worker3") })) }, "worker3 is not registered with its coordinator: npm run up -- s registers it."],
  ["a disabled worker", { clusters: well.clusters.map((cluster) => ({ ...cluster, nodes: cluster.nodes.map((node) => ({ ...node, active: node.name !== "worker3" })) })) }, "worker3 is disabled in Citus: npm run up -- s activates it."],
  ["shards that refuse", { clusters: well.clusters.map((cluster) => ({ ...cluster, refusals: { "worker2 does not answer the coordinator": 10 } })) }, "10 of 32 shards of citusap take no write: worker2 does not answer the coordinator."],
  ["a coordinator that is away", { clusters: [{ cluster: "citusap", nodes: [], shards: 0, refusals: {}, writeMs: 0, problem: "connect ECONNREFUSED" }] }, "The coordinator of citusap does not answer, so no shard takes a write: connect ECONNREFUSED."],
  ["no state", { clusters: [], uriProblem: "no passphrase" }, "The coordinators were not asked: no passphrase"],
])("%s is a problem, and the only one", (_, findings, problem, state) => {
  const status = stackStatus(stack, { ...well, ...findings });
  expect(status.healthy).toBe(false);
  expect(status.problems).toHaveLength(1);
  expect(status.problems[0]).toContain(problem);
  if (state !== undefined) expect(status.nodes.find(({ name }) => name === "worker2")?.state).toBe(state);
});

test("a group whose members are all down is not asked, and not complained about twice", () => {
  const containers = well.containers.map((live) => (/^etcd-\d$/.test(live.name) ? { ...live, status: "exited" } : live));
  expect(stackStatus(stack, { ...well, containers, etcd: undefined }).problems).toEqual(["etcd-1, etcd-2 and etcd-3 are stopped: npm run restart -- s etcd-1 etcd-2 etcd-3 brings them back."]);
});

test("many nodes with one ailment are one problem, and all nodes one restart", () => {
  const containers = well.containers.map((live) => (live.role === "holder" ? live : { ...live, status: "exited" }));
  const { problems } = stackStatus(stack, { ...well, containers });
  expect(problems).toEqual([expect.stringMatching(/^etcd-1, .*haproxy and keeper-active-passive are stopped: npm run restart -- s brings them back\.$/)]);
});

test("a pooler is a node like the others, and its absence a problem", () => {
  const pooled = parseSettings({ topology: "active-passive", pooler: true }).settings;
  const withPooler: Stack = { ...stack, settings: pooled, plan: planStack(pooled, () => "") };
  const status = stackStatus(withPooler, { ...well, containers: [...well.containers, container(holderName("pooler")), container("pooler")] });
  expect(status.problems).toEqual([]);
  expect(status.nodes.at(-2)).toEqual({ name: "pooler", role: "pooler", state: "healthy" });
  expect(stackStatus(withPooler, well).problems).toEqual(["pooler has no container: npm run up -- s makes it again."]);
});

test("a group in maintenance mode is a warning, not a problem", () => {
  const status = stackStatus(stack, { ...well, paused: ["coord"] });
  expect(status).toMatchObject({ healthy: true, problems: [], warnings: ["coord is in maintenance mode: nobody takes over if its leader fails, and Patroni starts no PostgreSQL that ends. npm run ha -- resume s ends it."] });
});

describe("objectives", () => {
  const objectives = (set: Record<string, unknown>): unknown => stackStatus({ ...stack, settings: parseSettings({ topology: "active-passive", ...set }).settings }, well).objectives;

  test("are absent where none is set", () => {
    expect(objectives({})).toBeUndefined();
  });

  test("are shown with what cannot meet them", () => {
    expect(objectives({ objectives: { rpo: 0 } })).toEqual({ rpo: 0, unmet: [] });
    expect(objectives({ objectives: { rto: "1 s", rpo: 0 }, coordinators: 2 })).toMatchObject({ rto: "1 s", rpo: 0, unmet: expect.arrayContaining([expect.stringMatching(/^objectives\.rto: 1 s cannot be met: coordinators is 2/)]) as string[] });
  });
});
