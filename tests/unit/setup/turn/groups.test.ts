import { describe, expect, test } from "vitest";
import { judgeContainers } from "../../../../setup/turn/containersGroup";
import { judgeEtcd } from "../../../../setup/turn/etcdGroup";
import { judgeWorkers, type Registered } from "../../../../setup/turn/workersGroup";

describe("a member of etcd", () => {
  const voting = ["e-1", "e-2", "e-3"];
  test.each([
    ["goes where the others are healthy", { member: "e-1", voting, healthy: new Set(["e-2", "e-3"]) }, { kind: "go" }],
    ["waits for the one before", { member: "e-2", voting, healthy: new Set(["e-2", "e-3"]) }, { kind: "wait", member: "e-1", because: "is not healthy" }],
    ["goes where it is broken itself", { member: "e-2", voting, healthy: new Set(["e-3"]) }, { kind: "repair", afterSeconds: 10 }],
    ["goes where it is no member yet", { member: "e-3", voting: ["e-1", "e-2"], healthy: new Set<string>() }, { kind: "go" }],
    ["goes where there is no majority", { member: "e-1", voting: undefined, healthy: new Set<string>() }, { kind: "repair", afterSeconds: 30 }],
  ])("%s", (_, view, verdict) => expect(judgeEtcd(view)).toMatchObject(verdict));
});

describe("a worker", () => {
  const workers = ["w1", "w2", "w3"];
  const view = (more: object = {}) => ({ member: "w2", workers, answering: new Set(workers), guarded: false, guardRuns: false, copies: "7 bytes", ...more });
  const registered = (inactive: readonly string[] = [], missing = 0): Registered => ({ workers: workers.map((host, index) => ({ groupId: index + 1, host, port: 5432, active: !inactive.includes(host) })), missing });
  const guarded = (more: object = {}) => view({ guarded: true, guardRuns: true, registered: registered(), ...more });
  test.each([
    ["with one copy goes where the others take statements", view(), { kind: "go" }],
    ["with one copy waits for one that takes none", view({ answering: new Set(["w2", "w3"]) }), { kind: "wait", member: "w1", because: "takes no statements" }],
    ["that takes no statements goes, whatever the others do", view({ answering: new Set(["w3"]) }), { kind: "repair", afterSeconds: 10 }],
    ["with copies goes where every shard has all of them", guarded(), { kind: "go" }],
    ["with copies waits for one that the guard has not brought back", guarded({ registered: registered(["w1"]) }), { kind: "wait", member: "w1", because: "is out of service, and its guard has not brought it back" }],
    ["with copies waits for copies, for as long as they go on", guarded({ registered: registered([], 3) }), { kind: "wait", because: "is being given 3 shards anew", progress: "3 7 bytes" }],
    ["with copies goes where no guard runs for longer than one is replaced", guarded({ guardRuns: false, registered: undefined }), { kind: "repair", because: "no guard of its cluster runs", afterSeconds: 30 }],
    ["with copies waits for one that takes no statements, guard or not", guarded({ guardRuns: false, registered: undefined, answering: new Set(["w2", "w3"]) }), { kind: "wait", member: "w1" }],
    ["that is out of service itself goes", guarded({ registered: registered(["w2"]) }), { kind: "go" }],
    ["that is not registered goes", guarded({ registered: { workers: [], missing: 0 } }), { kind: "go" }],
    ["goes where no coordinator answers for long", guarded({ registered: undefined }), { kind: "repair", because: "no coordinator of its cluster answers", afterSeconds: 30 }],
  ])("%s", (_, seen, verdict) => expect(judgeWorkers(seen)).toMatchObject(verdict));

  test.each([
    ["goes after its workers", { answering: new Set([...workers, "coord"]) }, { kind: "go" }],
    ["waits for the last of them", { answering: new Set([...workers, "coord"]), registered: registered(["w3"]) }, { kind: "wait", member: "w3" }],
    ["that is down is replaced", { registered: undefined }, { kind: "repair", afterSeconds: 10 }],
  ])("a coordinator of its own %s", (_, more, verdict) => expect(judgeWorkers(guarded({ member: "coord", ...more }))).toMatchObject(verdict));
});

describe("a container that needs no other", () => {
  const judge = (...states: string[]) => judgeContainers("g-1", new Map(states.map((state, index) => [`g-${index + 1}`, state])));
  test.each([
    [["unhealthy", "healthy"], { kind: "go" }],
    [["healthy", "starting"], { kind: "wait", member: "g-2", because: "is starting" }],
    [["healthy"], { kind: "go" }],
  ])("beside others that are %j", (states, verdict) => expect(judge(...states)).toMatchObject(verdict));
});
