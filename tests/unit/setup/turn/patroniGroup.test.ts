import { describe, expect, test } from "vitest";
import type { PatroniMember, PatroniState } from "../../../../setup/patroniRest";
import { judgePatroni } from "../../../../setup/turn/patroniGroup";

const leader = (name: string): PatroniMember => ({ name, role: "leader", state: "running" });
const quorum = (name: string): PatroniMember => ({ name, role: "quorum_standby", state: "streaming" });
const member = (name: string, role: PatroniMember["role"], state: string): PatroniMember => ({ name, role, state });
const running: PatroniState = { state: "running", role: "replica" };
const PLANNED = ["c-1", "c-2", "c-3"];

/** What a view of a group looks like in which everyone who is listed answers, but for those who do not. */
const view = (about: string, members: readonly PatroniMember[], { planned = PLANNED, silent = [], failsafe = [] }: { planned?: string[]; silent?: string[]; failsafe?: string[] } = {}) => ({
  member: about,
  planned,
  cluster: { members },
  states: new Map(planned.filter((name) => !silent.includes(name)).map((name) => [name, { ...running, failsafe_mode_is_active: failsafe.includes(name) }] as const)),
});
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
    ["any, where nobody answers", { ...view("c-1", []), cluster: undefined }, { kind: "repair", afterSeconds: 30 }],
  ])("%s", (_, seen, verdict) => expect(judgePatroni(seen)).toMatchObject(verdict));
});

describe("a member of a Patroni group is not replaced while", () => {
  test.each([
    ["another one is not known", view("c-2", [leader("c-3"), quorum("c-2")]), { member: "c-1", because: "is not in service (Patroni says nothing of it)" }],
    ["another one does not stream", view("c-2", [leader("c-3"), quorum("c-2"), member("c-1", "replica", "running")]), { member: "c-1", because: "is not in service (Patroni says replica, running)" }],
    ["another one does not answer, though it is remembered as streaming", view("c-2", [leader("c-3"), quorum("c-1"), quorum("c-2")], { silent: ["c-1"] }), { member: "c-1" }],
    ["no commit waits for another one", view("c-2", [leader("c-3"), quorum("c-2"), member("c-1", "replica", "streaming")]), { member: "c-1", because: "follows, but commits do not wait for it yet" }],
    ["one goes by its leader's word", view("c-1", whole, { failsafe: ["c-3"] }), { member: "c-3", because: "goes by its leader's word, because etcd was away" }],
    ["the lead would go to one that is not whole", view("c-2", [leader("c-2"), quorum("c-3"), member("c-1", "replica", "starting")]), { member: "c-1" }],
  ])("%s", (_, seen, verdict) => expect(judgePatroni(seen)).toMatchObject({ kind: "wait", limitSeconds: 300, ...verdict }));
});
