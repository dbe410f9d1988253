import { describe, expect, test, vi } from "vitest";
import type { DockerResult } from "../../../../setup/docker";
import type { PatroniMember, PatroniState } from "../../../../setup/patroniRest";
import { Report } from "../../../../setup/report";
import { isRunning, judgePatroni, patroniGroup } from "../../../../setup/turn/patroniGroup";

// Every container runs, and Patroni in it is in maintenance mode.
vi.mock("../../../../setup/docker", async (original) => ({
  ...(await original<object>()),
  docker: (): Promise<DockerResult> => Promise.resolve({ code: 0, stdout: `${JSON.stringify({ members: [{ name: "c-1", role: "leader", state: "running" }], state: "running", role: "primary", pause: true })}\n200`, stderr: "" }),
  inspected: () => Promise.resolve("running 0 2026-01-01T00:00:00Z"),
}));

const leader = (name: string): PatroniMember => ({ name, role: "leader", state: "running" });
const quorum = (name: string): PatroniMember => ({ name, role: "quorum_standby", state: "streaming" });
const member = (name: string, role: PatroniMember["role"], state: string): PatroniMember => ({ name, role, state });
const running: PatroniState = { state: "running", role: "replica" };
const PLANNED = ["c-1", "c-2", "c-3"];

/** What a view of a group looks like in which everyone who is listed answers, but for those who do not. */
const view = (about: string, members: readonly PatroniMember[], { planned = PLANNED, silent = [], failsafe = [], running: containers = planned }: { planned?: string[]; silent?: string[]; failsafe?: string[]; running?: string[] } = {}) => ({
  member: about,
  planned,
  running: new Set(containers),
  cluster: { members },
  states: new Map(planned.filter((name) => !silent.includes(name)).map((name) => [name, { ...running, failsafe_mode_is_active: failsafe.includes(name) }] as const)),
});
const withoutEtcd = <View extends object>(seen: View) => ({ ...seen, cluster: undefined });
/** The same with one that says of itself that it takes writes. */
const ledBy = (name: string, seen: ReturnType<typeof view>, role: PatroniState["role"] = "primary", state = "running") => ({ ...seen, states: new Map<string, PatroniState>([...seen.states, [name, { role, state }]]) });
const whole = [leader("c-2"), quorum("c-1"), quorum("c-3")];

describe("a member of a Patroni group may be replaced", () => {
  test.each([
    ["a standby of a whole group", view("c-1", whole), { kind: "go" }],
    ["the only member", view("c-1", [leader("c-1")], { planned: ["c-1"] }), { kind: "go" }],
    ["a standby, where a member is planned that there is not yet", view("c-1", [leader("c-2"), quorum("c-1")], { planned: ["c-1", "c-2"] }), { kind: "go" }],
    ["the leader, after it has handed over to the first, which has been replaced", view("c-2", whole), { kind: "handOver", to: "c-1" }],
    ["the first, after it has handed over to the last", view("c-1", [leader("c-1"), quorum("c-2"), quorum("c-3")]), { kind: "handOver", to: "c-3" }],
    ["the last, after it has handed over to the first", view("c-3", [leader("c-3"), quorum("c-1"), quorum("c-2")]), { kind: "handOver", to: "c-1" }],
    ["one that is broken, though another one is, too", view("c-1", [leader("c-2"), member("c-1", "replica", "start failed")]), { kind: "repair", afterSeconds: 10 }],
    ["one that does not answer, whatever is remembered of it", view("c-1", whole, { silent: ["c-1"] }), { kind: "repair", afterSeconds: 10 }],
    ["any, where nobody leads", view("c-1", [quorum("c-1"), quorum("c-2")]), { kind: "repair", because: "nobody leads its group", afterSeconds: 30 }],
    ["any, where nobody leads and etcd does not answer", withoutEtcd(view("c-1", [])), { kind: "repair", because: "nobody leads its group", afterSeconds: 30 }],
    ["any, where nobody answers and no container runs", withoutEtcd(view("c-1", [], { silent: PLANNED, running: [] })), { kind: "repair", afterSeconds: 30 }],
    ["any, where nobody leads, whatever a container does that does not answer", withoutEtcd(view("c-1", [], { silent: ["c-3"] })), { kind: "repair", afterSeconds: 30 }],
  ])("%s", (_, seen, verdict) => expect(judgePatroni(seen)).toMatchObject(verdict));
});

test("any may be replaced where its leader does not come up", () => expect(judgePatroni(ledBy("c-2", view("c-1", []), "primary", "starting"))).toMatchObject({ kind: "repair" }));

describe("a member of a Patroni group is not replaced while", () => {
  test.each([
    ["another one is not known", view("c-2", [leader("c-3"), quorum("c-2")]), { member: "c-1", because: "is not in service (Patroni says nothing of it)" }],
    ["another one does not stream", view("c-2", [leader("c-3"), quorum("c-2"), member("c-1", "replica", "running")]), { member: "c-1", because: "is not in service (Patroni says replica, running)" }],
    ["another one does not answer, though it is remembered as streaming", view("c-2", [leader("c-3"), quorum("c-1"), quorum("c-2")], { silent: ["c-1"] }), { member: "c-1" }],
    ["no commit waits for another one", view("c-2", [leader("c-3"), quorum("c-2"), member("c-1", "replica", "streaming")]), { member: "c-1", because: "follows, but commits do not wait for it yet" }],
    ["one goes by its leader's word", view("c-1", whole, { failsafe: ["c-3"] }), { member: "c-3", because: "goes by its leader's word, because etcd was away" }],
    ["one leads without etcd", withoutEtcd(ledBy("c-2", view("c-1", []))), { member: "c-2", because: "leads, but etcd does not tell of its group" }],
    ["one leads without etcd, under an older Patroni", withoutEtcd(ledBy("c-2", view("c-1", []), "master")), { member: "c-2" }],
    ["it leads itself without etcd", withoutEtcd(ledBy("c-1", view("c-1", []))), { member: "c-1" }],
    ["one leads that etcd does not tell of", ledBy("c-2", view("c-1", [quorum("c-1"), quorum("c-3")])), { member: "c-2" }],
    ["one has the word of a leader that does not answer, without etcd", withoutEtcd(view("c-1", [], { failsafe: ["c-1"], silent: ["c-2"] })), { member: "c-1" }],
    ["nobody answers, and a container runs", withoutEtcd(view("c-1", [], { silent: PLANNED, running: ["c-2"] })), { member: "c-2" }],
    ["the lead would go to one that is not whole", view("c-2", [leader("c-2"), quorum("c-3"), member("c-1", "replica", "starting")]), { member: "c-1" }],
  ])("%s", (_, seen, verdict) => expect(judgePatroni(seen)).toMatchObject({ kind: "wait", limitSeconds: 300, ...verdict }));
});

describe("a container", () => {
  const now = Date.parse("2026-01-01T00:01:00Z");
  test.each([
    ["that was never started anew", "running 0 2026-01-01T00:00:59.123456789Z", true],
    ["that Docker has just started anew", "running 4 2026-01-01T00:00:50.123456789Z", false],
    ["that has run for long since", "running 4 2026-01-01T00:00:10.123456789Z", true],
    ["that waits to be started anew", "restarting 4 2026-01-01T00:00:10.123456789Z", false],
    ["that was stopped", "exited 0 2026-01-01T00:00:10.123456789Z", false],
  ])("%s: does it run?", (_, run, runs) => expect(isRunning(run, now)).toBe(runs));
});

test("no member is replaced in maintenance mode, however whole the group is", async () => {
  const members = PLANNED.map((name) => ({ host: name, port: 5432, container: name }));
  await expect(patroniGroup("c-1", { kind: "patroni", scope: "citusap", members }, new Report()).look()).rejects.toThrow(
    "citusap is in maintenance mode, in which Patroni starts no PostgreSQL: c-1 would not come back. End it (docker exec c-1 patronictl resume) and run the update again",
  );
});
