import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { LiveContainer } from "../../../cli/live";
import { restart } from "../../../cli/restart";
import type { RunResult } from "../../../cli/run";
import type { Stack } from "../../../cli/stack";
import { parseSettings } from "../../../config/parse";
import type { DockerResult } from "../../../setup/docker";
import { containersOf, holderName } from "../../../topology/plan";
import { planStack } from "../../../topology/stack";

const { settings } = parseSettings({ topology: "active-passive", prefix: "p-", workers: { groups: 2, members: 3 } });
const stack: Stack = { name: "s", settings, plan: planStack(settings, () => ""), ports: [], passwords: [] };

interface Seen {
  /** What Docker was told to do. */
  done: string[];
  /** Members whose Patroni was asked. */
  asked: string[];
  /** The groups in maintenance mode. */
  paused: string[];
  /** Of the containers that do not run. */
  statuses: Record<string, string>;
}
const seen = vi.hoisted((): Seen => ({ done: [], asked: [], paused: [], statuses: {} }));

const container = (name: string): LiveContainer => {
  const at = new Date(name.endsWith("-holder") ? 1000 : 2000);
  return { id: name, name, status: seen.statuses[name] ?? "running", exitCode: 0, startedAt: at, createdAt: at, image: "x", volumes: [] };
};
const groupOf = (member: string): string => member.replace(/^p-|-\d$/g, "");

vi.mock("../../../cli/stack", async (original) => ({ ...(await original<object>()), readStack: () => stack }));
vi.mock("../../../cli/live", async (original) => ({
  ...(await original<object>()),
  inspectContainers: () => Promise.resolve(containersOf(stack.plan).flatMap(({ name, held }) => (held ? [container(holderName(name)), container(name)] : [container(name)]))),
}));
// A command that goes on ends with the first node.
vi.mock("../../../cli/docker", () => ({
  requireDocker: () => Promise.resolve(),
  docker: ([command = "", ...args]: readonly string[]): Promise<RunResult> => {
    seen.done.push([command, ...args].join(" "));
    return Promise.resolve({ code: 1, stdout: "", stderr: "it is only a test" });
  },
}));
vi.mock("../../../cli/nodeHealth", () => ({ waitUntilServing: () => Promise.reject(new Error("it is only a test")) }));
vi.mock("../../../setup/docker", async (original) => ({
  ...(await original<object>()),
  docker: (args: readonly string[]): Promise<DockerResult> => {
    const [, , member = ""] = args;
    seen.asked.push(member);
    const cluster = { members: [{ name: member, role: "leader", state: "running" }], ...(seen.paused.includes(groupOf(member)) && { pause: true }) };
    return Promise.resolve({ code: 0, stdout: `${JSON.stringify(args.at(-1)?.endsWith("/cluster") === true ? cluster : { state: "running", role: "primary" })}\n200`, stderr: "" });
  },
}));
beforeEach(() => {
  Object.assign(seen, { done: [], paused: [], statuses: {}, asked: [] });
  vi.spyOn(console, "error").mockImplementation(() => undefined);
});
afterEach(() => void vi.restoreAllMocks());

/** The sentence that a restart ends with. */
const attempt = (nodes: string[], together = false): Promise<unknown> => restart("s", { nodes, together }).catch((error: unknown) => (error as Error).message);
const refusal = (groups: string, members: string, resume: string): string => `${groups} in maintenance mode, in which Patroni starts no PostgreSQL: ${members} would not come back. End it (${resume}) and run this command again.`;

describe("a restart is refused before anything is touched while", () => {
  test.each<[string, Partial<Seen>, string[], string]>([
    ["the group of a node is in maintenance mode", { paused: ["coord"] }, ["coord-2"], refusal("coord is", "p-coord-2", "npm run ha -- resume s --group coord")],
    ["a group is, of all nodes", { paused: ["worker1"] }, [], refusal("worker1 is", "p-worker1-1, p-worker1-2, p-worker1-3", "npm run ha -- resume s --group worker1")],
    ["the groups of two nodes are", { paused: ["coord", "worker1", "worker2"] }, ["coord-1", "worker2-3"], refusal("coord, worker2 are", "p-coord-1, p-worker2-3", "npm run ha -- resume s")],
    ["the group of one that is stopped is", { paused: ["worker2"], statuses: { "p-worker2-1": "exited" } }, ["worker2-1"], refusal("worker2 is", "p-worker2-1", "npm run ha -- resume s --group worker2")],
    ["the group of one is that would be brought back with the node", { paused: ["worker2"], statuses: { "p-worker2-1": "exited" } }, ["haproxy"], refusal("worker2 is", "p-worker2-1", "npm run ha -- resume s --group worker2")],
    ["the group of one is whose holder is stopped", { paused: ["worker2"], statuses: { "p-worker2-1-holder": "exited" } }, ["haproxy"], refusal("worker2 is", "p-worker2-1", "npm run ha -- resume s --group worker2")],
  ])("%s", async (_while, given, nodes, sentence) => {
    Object.assign(seen, given);
    expect(await attempt(nodes)).toBe(sentence);
    expect(seen.done).toEqual([]);
  });

  test("it is, all together", async () => {
    seen.paused = ["coord"];
    expect(await attempt(["coord-1"], true)).toBe(refusal("coord is", "p-coord-1", "npm run ha -- resume s --group coord"));
    expect(seen.done).toEqual([]);
  });
});

describe("a restart begins where", () => {
  test.each<[string, Partial<Seen>, string, string]>([
    ["no group is in maintenance mode", { paused: [] }, "worker1-1", "restart p-worker1-1"],
    ["another group is", { paused: ["coord", "worker2"] }, "worker1-1", "restart p-worker1-1"],
    ["the node is of no group", { paused: ["coord", "worker1", "worker2"] }, "etcd-1", "restart p-etcd-1"],
    ["the node is frozen, whose PostgreSQL needs no start", { paused: ["coord"], statuses: { "p-coord-1": "paused" } }, "coord-1", "unpause p-coord-1"],
    ["no member of the group runs that could be asked", { paused: ["coord"], statuses: { "p-coord-1": "exited", "p-coord-2": "exited", "p-coord-3": "exited" } }, "coord-1", "start p-coord-1"],
  ])("%s", async (_where, given, node, first) => {
    Object.assign(seen, given);
    expect(await attempt([node])).toContain("it is only a test");
    expect(seen.done[0]).toContain(first);
  });
});

test("nobody is asked whose container does not run", async () => {
  Object.assign(seen, { paused: ["coord"], statuses: { "p-coord-1": "exited", "p-coord-2": "paused" } });
  await attempt(["coord-1"]);
  expect(seen.asked).toEqual(["p-coord-3"]);
});
