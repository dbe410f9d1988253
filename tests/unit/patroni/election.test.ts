import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const ASSETS = path.join(__dirname, "../../../assets/patroni");
const PATH = "/citus/coord/";

/**
 * The member `me` as election.py sees it, on timeline 3 at position 100. election.py stands among Patroni's modules, of which it imports
 * one class; what others say of themselves becomes a status as Patroni makes it from its REST API's answer.
 */
const MEMBER = `
import json, logging, sys, types
from types import SimpleNamespace

class RemoteMember:
    def __init__(self, name, data):
        self.name, self.data, self.api_url = name, data, data.get("api_url")
patroni, dcs = types.ModuleType("patroni"), types.ModuleType("patroni.dcs")
patroni.__path__, dcs.RemoteMember = [${JSON.stringify(ASSETS)}], RemoteMember
sys.modules.update({"patroni": patroni, "patroni.dcs": dcs})
from patroni import election

said = []
class Said(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
election.logger.addHandler(Said())
election.logger.setLevel(logging.DEBUG)

def says(name="b", timeline=3, received=0, replayed=0, wal_timeline=None, leads=False):
    data = {"timeline": timeline, "xlog": {"location": replayed} if leads else {"received_location": received, "replayed_location": replayed}}
    if wal_timeline:
        data["wal_timeline"] = wal_timeline
    return SimpleNamespace(member=SimpleNamespace(name=name), reachable=True, in_recovery=not leads, wal_position=0 if leads else max(received, replayed), timeline=timeline, data=data)
def silent(name):
    return SimpleNamespace(member=SimpleNamespace(name=name), reachable=False, in_recovery=None, wal_position=0, timeline=0, data={})

asked = []
def me(*statuses, timeline=3, position=100):
    known = {status.member.name: status for status in statuses}
    def fetch(members):
        asked.extend([member.name, member.api_url] for member in members)
        return [known.get(member.name) or silent(member.name) for member in members]
    handler = SimpleNamespace(name="me", get_replica_timeline=lambda: timeline, last_operation=lambda: position)
    return SimpleNamespace(state_handler=handler, fetch_nodes_statuses=fetch)

electorate = election.Electorate("data", ${JSON.stringify(PATH)})
def remembered(*names, path=${JSON.stringify(PATH)}):
    return {"path": path, "members": {name: "http://" + name for name in names}, "timeline": 3}
def sync(leader="me", voters=("a", "b"), timeline=3):
    members = [] if leader is None else [leader, *voters]
    return SimpleNamespace(is_empty=leader is None, leader=leader, voters=[] if leader is None else list(voters), members=members, timeline=timeline, matches=lambda name: name in members)
def keys(*names):
    return [SimpleNamespace(name=name, api_url="http://" + name) for name in names]
`;

describe.skipIf(spawnSync("python3", ["--version"]).status !== 0)("elections, on this machine's Python", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), "election-"));
    mkdirSync(path.join(directory, "data"));
    writeFileSync(path.join(directory, "data/PG_VERSION"), "17\n");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  /** What a Python expression gives, after statements before it. */
  const run = (expression: string, before = ""): unknown =>
    JSON.parse(execFileSync("python3", ["-B", "-c", `${MEMBER}\n${before}\nprint(json.dumps(${expression}))`], { cwd: directory, encoding: "utf8" }));
  const file = (): string => path.join(directory, "data/patroni.electorate.json");

  /** Tests a table, every row in the same process: what is given, in an expression, gives what is expected. */
  const table = (title: string, expression: (given: string) => string, rows: readonly (readonly [name: string, given: string, expected: unknown])[], before = ""): void =>
    test(title, () => {
      const answers = run(`[${rows.map(([, given]) => expression(given)).join(",\n")}]`, before) as unknown[];
      expect(Object.fromEntries(rows.map(([name], index) => [name, answers[index]]))).toEqual(Object.fromEntries(rows.map(([name, , expected]) => [name, expected])));
    });

  table("another member is ahead of one on timeline 3 at 100", (status) => `election.is_ahead(says(${status}), 3, 100)`, [
    ["with more of the same timeline", "received=101, replayed=101", true],
    ["with as much", "received=100, replayed=100", false],
    ["with less", "received=99, replayed=99", false],
    ["with more received than replayed", "received=101, replayed=50", true],
    ["with more replayed than it has received since its start", "received=50, replayed=101", true],
    ["on an older timeline, whatever it has of it", "timeline=2, received=1000, replayed=1000", false],
    ["on a newer timeline, however little it has of it", "timeline=4, received=10, replayed=10", true],
    ["that has received the beginning of a newer timeline, and replays the one before", "received=90, replayed=80, wal_timeline=4", true],
    ["that has a newer timeline's file, and replayed all that it received", "received=90, replayed=90, wal_timeline=4", false],
    ["that has a newer timeline's file, and received nothing since its start", "replayed=90, wal_timeline=4", false],
    ["that has received more of an older timeline than it replayed", "timeline=2, received=1000, replayed=900, wal_timeline=2", false],
    ["that does not know its timeline, with more", "timeline=0, received=101, replayed=101", true],
    ["that does not know its timeline, with less", "timeline=0, received=99, replayed=99", false],
    ["that still replays its own log, and so says no position", "timeline=4", false],
  ]);

  describe("where etcd has forgotten who decides", () => {
    const level = "received=100, replayed=100";
    const elects = (ha: string, electorate = 'remembered("me", "a", "b")'): string => `[said.clear(), electorate.elects(me(${ha}), ${electorate}), list(said)][1:]`;

    table("a member leads if", elects, [
      ["all that decided last answer, and have as much", `says("a", ${level}), says("b", ${level})`, [true, []]],
      ["the others have less", 'says("a", replayed=1), says("b", received=99, replayed=50)', [true, []]],
      ["another one is ahead in bytes of an older timeline", `says("a", timeline=2, received=1000, replayed=1000), says("b", ${level})`, [true, []]],
      ["another one has a newer timeline's file, of which it received nothing", `says("a", received=90, replayed=90, wal_timeline=4), says("b", ${level})`, [true, []]],
    ]);

    const no = (because: string): unknown => [false, [expect.stringContaining(because)]];
    // Each refusal is known by what it logs, so that none stands in for another.
    table("a member does not lead while", elects, [
      ["one of three does not answer", `says("a", ${level})`, no("b does not answer, which may have more than this member")],
      ["two of three do not answer", "", no("a does not answer, which may have more than this member")],
      ["another one has more", `says("a", ${level}), says("b", received=101, replayed=50)`, no("b has more than this member")],
      ["another one is on a newer timeline", `says("a", timeline=4, received=10, replayed=10), says("b", ${level})`, no("a has more than this member")],
      ["another one has received the beginning of a newer timeline", `says("a", ${level}), says("b", received=90, replayed=80, wal_timeline=4)`, no("b has more than this member")],
      ["another one leads", `says("a", ${level}), says("b", leads=True, replayed=100)`, no("Primary (b) is still alive")],
      ["another one still replays its own log", `says("a"), says("b", ${level})`, no("a is still replaying its own WAL")],
      ["it still replays its own log", `says("a", ${level}), says("b", ${level}), position=0`, no("Still replaying my own WAL")],
      ["it does not know its timeline, and another one does", `says("a", ${level}), says("b", ${level}), timeline=None`, no("a has more than this member")],
    ]);

    table("data does not lead", (electorate) => elects(`says("a", ${level}), says("b", ${level})`, electorate), [
      ["under another scope", 'remembered("me", "a", "b", path="/citus/other/")', no("This data belongs to /citus/other/, and not to /citus/coord/: no lead is taken")],
      ["under another scope, though it decided alone", 'remembered("me", path="/citus/other/")', no("This data belongs to /citus/other/, and not to /citus/coord/: no lead is taken")],
    ]);

    table("who is asked", (names) => `[asked.clear(), electorate.elects(me(), remembered(${names})), list(asked)][1:]`, [
      ["the others, at their addresses", '"me", "a", "b"', [false, [["a", "http://a"], ["b", "http://b"]]]],
      ["nobody by a member that decided alone, which leads", '"me"', [true, []]],
    ]);

    test.each([["is cut off", '{"path": "/citus/coord/", "memb'], ["says something else", "[]"], ["names no members", '{"path": "/citus/coord/", "members": ["me"]}']])("nobody leads by a file that %s", (_how, content) => {
      writeFileSync(file(), content);
      expect(run("[electorate.load() is None, electorate.elects(me(), electorate.load())]")).toEqual([false, false]);
    });

    test("the newest timeline is the greatest that was remembered, or that those who decided last know of", () => {
      expect(run("electorate.newest_timeline")).toBe(0);
      writeFileSync(file(), JSON.stringify({ path: PATH, members: { me: "" }, timeline: 6 }));
      const newest = (timeline: number): unknown =>
        run(`[electorate.elects(me(says("a", replayed=1), says("b", replayed=1, wal_timeline=${timeline})), remembered("me", "a", "b")), electorate.timeline_elsewhere, electorate.newest_timeline]`);
      expect(newest(2)).toEqual([true, 3, 6]);
      expect(newest(8)).toEqual([true, 8, 8]);
    });
  });

  describe("who decides is remembered with the data", () => {
    const CONFIG = "config=SimpleNamespace(data={'ttl': 20})";
    const ha = (cluster: string, synchronous = "True"): string => `SimpleNamespace(cluster=SimpleNamespace(${cluster}), is_synchronous_mode=lambda: ${synchronous})`;
    const remember = (cluster: string, synchronous?: string): unknown => run("electorate.load()", `electorate.remember(${ha(cluster, synchronous)})`);
    const before = { path: PATH, members: { a: "http://old", b: "http://b", me: "http://me" }, timeline: 2 };
    const now = { path: PATH, members: { a: "http://a", b: "http://b", me: "http://me" }, timeline: 3 };

    test("as /sync says it, with everybody's address", () => {
      expect(remember(`sync=sync(), members=keys("me", "a", "b", "c"), ${CONFIG}`)).toEqual(now);
    });

    test("with the address of before for one whose key has expired", () => {
      writeFileSync(file(), JSON.stringify(before));
      expect(remember(`sync=sync(), members=keys("me", "a"), ${CONFIG}`)).toEqual(now);
    });

    test.each([
      ["kept where etcd has lost it", CONFIG, "True", before],
      ["kept where etcd has lost its configuration, too", "config=None", "False", before],
      ["forgotten where synchronous replication was switched off", CONFIG, "False", null],
    ])("and %s", (_what, config, synchronous, expected) => {
      writeFileSync(file(), JSON.stringify(before));
      expect(remember(`sync=sync(leader=None), members=keys("me"), ${config}`, synchronous)).toEqual(expected);
    });

    test("but not where there is no data yet", () => {
      rmSync(path.join(directory, "data/PG_VERSION"));
      expect(remember(`sync=sync(), members=keys("me", "a", "b"), ${CONFIG}`)).toBeNull();
    });

    test("and written again where the file has gone", () => {
      const known = ha(`sync=sync(), members=keys("me", "a", "b"), ${CONFIG}`);
      expect(run("electorate.load()", `import os\nelectorate.remember(${known})\nos.unlink(electorate.file)\nelectorate.remember(${known})`)).toEqual(now);
    });
  });

  const streaming = (flushed: string): string => `SimpleNamespace(state_handler=SimpleNamespace(sync_handler=SimpleNamespace(acknowledged_position=100), query=lambda sql: ${flushed}))`;
  table("/sync may name members that have what was acknowledged up to 100", (given) => `(lambda names, quorum, flushed: election.have_all(${streaming("flushed")}, names, quorum))(${given})`, [
    ["both have it, and either may lead without another vote", "['a', 'b'], 0, [('a', 100), ('b', 150)]", true],
    ["one lacks it, and might lead without another vote", "['a', 'b'], 0, [('a', 100), ('b', 99)]", false],
    ["one lacks it, and needs the other's vote", "['a', 'b'], 1, [('a', 100), ('b', 99)]", true],
    ["both lack it", "['a', 'b'], 1, [('a', 99), ('b', 99)]", false],
    ["the only one has it", "['a'], 0, [('a', 100)]", true],
    ["the only one lacks it", "['a'], 0, [('a', 99)]", false],
    ["two of three have it, and one vote is needed", "['a', 'b', 'c'], 1, [('a', 100), ('b', 100), ('c', 1)]", true],
    ["one of three has it, and one vote is needed", "['a', 'b', 'c'], 1, [('a', 100), ('b', 1), ('c', 1)]", false],
    ["one does not stream", "['a', 'b'], 0, [('a', 100)]", false],
    ["a name is written otherwise", "['A', 'b'], 0, [('a', 100), ('B', 100)]", true],
    ["everybody's vote is needed, so that nobody has to be asked", "['a', 'b'], 2, None", true],
  ]);

  test("members that lack what was acknowledged are named", () => {
    expect(run(`[election.have_all(${streaming("[('a', 1), ('c', 100)]")}, ['b', 'a', 'c'], 0), said]`)).toEqual([false, ["/sync stays as it is: a, b lack what was acknowledged before"]]);
  });

  table("voters that stream stay in /sync, which names a and b,", (given) => `(lambda members, names: sorted(election.voters_without_key(SimpleNamespace(sync=sync(), members=members), names)))(${given})`, [
    ["where the keys of both have expired", 'keys("me"), ["a", "b"]', ["a", "b"]],
    ["but not one whose key alone has expired", 'keys("me", "a"), ["a", "b"]', []],
    ["where the other has its key, and does not stream", 'keys("me", "a"), ["b"]', ["b"]],
    ["where one streams and has its key that is no voter", 'keys("me", "c"), ["a", "c"]', ["a"]],
    ["but none that does not stream", 'keys("me"), []', []],
    ["but nobody else that streams", 'keys("me"), ["c"]', []],
    ["where a name is written otherwise", 'keys("me"), ["A"]', ["A"]],
    ["but not where a key's name is written otherwise", 'keys("me", "A"), ["a", "b"]', []],
  ]);

  table("a leader without etcd asks", (failsafe) => `election.asked_before(SimpleNamespace(sync=sync(), failsafe=${failsafe}))`, [
    ["of those whom it asked before the ones that /sync names", '{"a": "http://a", "me": "http://me", "c": "http://c"}', { a: "http://a", me: "http://me" }],
    ["nobody more where etcd has no list", "None", {}],
    ["nobody more where the list is none", '"broken"', {}],
  ]);

  table(
    "the candidate of a switchover from a",
    (given) => `takes_over(${given})`,
    [
      ["leads where it is elected, by those that /sync names but a", "elected=True, synchronous=True", [true, ["b", "me"], []]],
      ["does not lead where it is not, and the switchover is over", "elected=False, synchronous=True", [false, ["b", "me"], [["", "", 7]]]],
      ["is elected by everybody but a where replication is not synchronous", "elected=True, synchronous=False", [true, ["b", "me", "c"], []]],
    ],
    `
def takes_over(elected, synchronous):
    votes, cleared = [], []
    def healthiest(members, check_replication_lag):
        votes.extend(member.name for member in members)
        return elected and check_replication_lag is False
    ha = SimpleNamespace(cluster=SimpleNamespace(members=keys("a", "b", "me", "c"), sync=sync("a", ("b", "me"))), sync_mode_is_active=lambda: synchronous, _is_healthiest_node=healthiest,
        state_handler=SimpleNamespace(name="me"), dcs=SimpleNamespace(manual_failover=lambda leader, candidate, version: cleared.append([leader, candidate, version])))
    return [election.takes_over(ha, SimpleNamespace(leader="a", candidate="me", version=7)), votes, cleared]`,
  );

  describe("a member whose files are not complete neither starts nor votes", () => {
    const DATA = '"./data"';

    table("which they are not", (end) => `[election.begins(${DATA}), election.is_incomplete(${DATA}), election.rewind_ended(${DATA}, ${end}), election.is_incomplete("./data/")][1::2]`, [
      ["once pg_rewind has succeeded: they are", "0, {'stderr': b'need to copy 5 MB'}", [true, false]],
      ["where pg_rewind failed before it touched any: they are", "1, {'stderr': b'could not connect'}", [true, false]],
      ["where pg_rewind failed while it copied", "1, {'stderr': b'need to copy 5 MB'}", [true, true]],
      ["where pg_rewind failed while it copied, and told its output so", "1, {'stdout': b'need to copy 5 MB'}", [true, true]],
      ["where pg_rewind was cut off", "None, {}", [true, true]],
    ]);

    table(
      "and drops them",
      (given) => `start_again(${given})`,
      [
        ["not while nobody leads", "unlocked=True", [[], true]],
        ["not in maintenance mode", "paused=True", [[], true]],
        ["not where it has the lead itself", "leads=True", [[], true]],
        ["where another member leads", "", [["stop immediate", "remove"], false]],
      ],
      `
def start_again(unlocked=False, paused=False, leads=False):
    done = []
    election.begins(${DATA})
    handler = SimpleNamespace(data_dir=${DATA}, stop=lambda mode: done.append("stop " + mode), remove_data_directory=lambda: done.append("remove"))
    cluster = SimpleNamespace(is_unlocked=lambda: unlocked, leader=SimpleNamespace(name="a"))
    election.start_again(SimpleNamespace(state_handler=handler, cluster=cluster, is_paused=lambda: paused, has_lock=lambda info: leads))
    return [done, election.is_incomplete(${DATA})]`,
    );
  });
});
