import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const ASSETS = path.join(__dirname, "../../../assets/patroni");
const SKIPPED = "# taken by a promotion of which nothing is known here\n";

/** A member as timelines.py sees it: its etcd takes what is written unless `refuses` is set. */
const MEMBER = `
import json, sys
from types import SimpleNamespace
sys.path.insert(0, ${JSON.stringify(ASSETS)})
import timelines

written = []
def member(leader="other", seen=0, remembered=0, refuses=False, primary=0, lock=True, role="primary", state="running"):
    sync = SimpleNamespace(leader=leader, voters=["a", "b"], quorum=1, version=7, timeline=seen, leader_matches=lambda name: name == leader)
    dcs = SimpleNamespace(newest_timeline=seen)
    def write(leader, voters, quorum, version=None):
        written.append([leader, voters, quorum, version, dcs.newest_timeline])
        return None if refuses else SimpleNamespace(leader=leader, voters=voters, quorum=quorum, version=8, timeline=dcs.newest_timeline, leader_matches=lambda name: name == leader)
    dcs.write_sync_state = write
    cluster = SimpleNamespace(sync=sync)
    cluster._replace = lambda sync: SimpleNamespace(sync=sync)
    def ask():
        if state != "running" or primary is None:
            raise RuntimeError("connection problems")
        return primary
    handler = SimpleNamespace(name="me", wal_dir=".", role=role, state=state, get_primary_timeline=ask)
    return SimpleNamespace(dcs=dcs, cluster=cluster, state_handler=handler, electorate=SimpleNamespace(newest_timeline=remembered), taken_timeline=0, has_lock=lambda info=True: lock)
`;

describe.skipIf(spawnSync("python3", ["--version"]).status !== 0)("numbers of timelines, on this machine's Python", () => {
  let wal: string;
  beforeEach(() => {
    wal = mkdtempSync(path.join(tmpdir(), "timelines-"));
  });
  afterEach(() => rmSync(wal, { recursive: true }));

  /** What the last expression of a Python program gives; `files` lie in its pg_wal. */
  const run = (script: string): unknown => JSON.parse(execFileSync("python3", ["-B", "-c", `${MEMBER}\n${script}`], { cwd: wal, encoding: "utf8" }));
  const put = (name: string, content = "1\t0/3000000\tno recovery target specified\n"): void => writeFileSync(path.join(wal, name), content);
  const files = (): string[] => readdirSync(wal).sort();

  test("the newest one is that of any segment, part of one, or history", () => {
    expect(run("print(timelines.newest('.'))")).toBe(0);
    put("000000010000000000000003");
    put("000000040000000000000003.partial");
    put("archive_status");
    put("0000000F0000000000000003.00000028.backup");
    expect(run("print(timelines.newest('.'))")).toBe(4);
    put("0000000B.history");
    expect(run("print(timelines.newest('.'))")).toBe(11);
  });

  test.each([
    ["what /sync says", "seen=5", 6],
    ["what lies in pg_wal", "seen=1", 4],
    ["what was remembered where /sync is empty", "leader=None, remembered=8", 9],
  ])("a promotion takes the number after the greatest of %s", (_what, member, number) => {
    put("000000030000000000000003");
    expect(run(`m = member(${member}); print(json.dumps([timelines.take(m, ["a", "b"], 1), m.taken_timeline, written]))`)).toEqual([true, number, [["me", ["a", "b"], 1, 7, number]]]);
  });

  test("a number that could not be written is not taken, and one that was is not taken again in the next round", () => {
    expect(run("m = member(seen=2, refuses=True); print(json.dumps([timelines.take(m, [], 0), m.taken_timeline]))")).toEqual([false, 0]);
    expect(run("m = member(leader='me', seen=2); print(json.dumps([timelines.take(m, [], 0), timelines.take(m, [], 0), m.taken_timeline, len(written)]))")).toEqual([true, true, 3, 1]);
  });

  test("a leader that is promoted anew on the timeline that it took before takes another number", () => {
    put("00000003.history");
    expect(run("m = member(leader='me', seen=3); m.taken_timeline = 3; timelines.take(m, [], 0); print(m.taken_timeline)")).toBe(4);
  });

  test("a timeline comes from the last one that its history names", () => {
    put("00000005.history", "1\t0/3000000\treason\n\n2\t0/4000000\treason\n");
    put("00000004.history", SKIPPED);
    expect(run("print(json.dumps([timelines.parent('.', number) for number in [5, 4, 3]]))")).toEqual([2, 0, 0]);
  });

  test("numbers before the one that was taken get a history where there is none", () => {
    put("00000003.history", "kept");
    run("m = member(); timelines.skip(m.state_handler, 6); print(1)");
    expect(files()).toEqual(["00000002.history", "00000003.history", "00000004.history", "00000005.history"]);
    expect(run("print(json.dumps([timelines.is_skipped('00000003.history'), timelines.is_skipped('00000005.history')]))")).toEqual([false, true]);
  });

  test("skipped numbers go where no history comes after them, and stay before one", () => {
    for (const number of [2, 4, 6, 7]) put(`0000000${number}.history`, SKIPPED);
    put("00000003.history");
    put("00000005.history");
    run("timelines.forget_unused('.'); print(1)");
    expect(files()).toEqual(["00000002.history", "00000003.history", "00000004.history", "00000005.history"]);
    rmSync(path.join(wal, "00000005.history"));
    rmSync(path.join(wal, "00000003.history"));
    run("timelines.forget_unused('.'); print(1)");
    expect(files()).toEqual([]);
  });

  test("a directory that is not there keeps nobody from starting", () => {
    expect(run("timelines.forget_unused('missing'); print(1)")).toBe(1);
  });

  test("strays are histories newer than the own timeline that the leader's does not come from; skipped ones are none", () => {
    for (const number of [2, 3, 5]) put(`0000000${number}.history`);
    put("00000004.history", SKIPPED);
    expect(run("print(json.dumps(timelines.strays('.', 2, {1, 2, 5})))")).toEqual(["./00000003.history"]);
    expect(run("print(json.dumps(timelines.strays('.', 3, {1, 2, 5})))")).toEqual([]);
    run("timelines.forget(['./00000003.history', './00000004.history', './00000009.history']); print(1)");
    expect(files()).toEqual(["00000002.history", "00000004.history", "00000005.history"]);
  });

  test("a leader writes its timeline where /sync does not know it, and nobody else does", () => {
    expect(run("m = member(leader='me', seen=2, primary=4); timelines.remembers(m); print(json.dumps([written, m.cluster.sync.version]))")).toEqual([[["me", ["a", "b"], 1, 7, 4]], 8]);
    for (const other of ["leader='me', seen=4, primary=4", "leader='other', seen=2, primary=4", "leader='me', seen=2, primary=4, lock=False", "leader='me', seen=2, primary=4, role='replica'", "leader='me', seen=2, primary=4, state='crashed'", "leader='me', seen=2, primary=None"]) {
      expect(run(`m = member(${other}); timelines.remembers(m); print(json.dumps(written))`)).toEqual([]);
    }
  });
});
