import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { docker, eventually, Project, query } from "./project";

const PREFIX = "e2e-ha-";
const PORT = 15400;

interface Outputs {
  readonly password: string;
}

/** EtcdCluster, PatroniGroup and HAProxy as a highly available PostgreSQL; needs no Citus. */
describe("examples/ha-postgres", () => {
  const project = new Project("e2e", "examples/ha-postgres");
  let uri: string;
  let standbysUri: string;

  beforeAll(async () => {
    project.configure({ prefix: PREFIX, port: PORT });
    await project.create();
  });
  afterAll(() => project.dispose(PREFIX));

  const leader = (): string => {
    for (const number of [1, 2, 3]) {
      const [state, paused] = docker("inspect", "--format", "{{.State.Running}} {{.State.Paused}}", `${PREFIX}db-${number}`).split(" ");
      if (state !== "true" || paused === "true") continue;
      // Its holder is asked: an exec in a member ends with it, and Docker may not notice.
      const { members } = JSON.parse(docker("exec", `${PREFIX}db-${number}-holder`, "curl", "-s", "--max-time", "5", "http://localhost:8008/cluster")) as { members: { name: string; role: string }[] };
      return members.find(({ role }) => role === "leader")?.name ?? "none";
    }
    return "none";
  };

  test("comes up with a leader and two streaming standbys", async () => {
    expect(await project.up()).toMatchObject({ create: expect.any(Number) as number });
    const { password } = await project.outputs<Outputs>();
    uri = `postgresql://postgres:${password}@127.0.0.1:${PORT}/postgres`;
    standbysUri = `postgresql://postgres:${password}@127.0.0.1:${PORT + 1}/postgres`;
    const [rows] = await query(uri, "select application_name, state from pg_stat_replication order by 1");
    expect(rows).toHaveLength(2);
    expect(rows?.map(({ state }) => state)).toEqual(["streaming", "streaming"]);
  });

  test("up again changes nothing", async () => {
    const { same, ...changes } = await project.up();
    expect(changes).toEqual({});
    expect(same).toBeGreaterThan(20);
  });

  test("the leader's port writes, the standbys' port reads and refuses writes", async () => {
    await query(uri, "create table kept (id int primary key)", "insert into kept select generate_series(1, 100)");
    await eventually(5000, async () => {
      const [recovery, rows] = await query(standbysUri, "select pg_is_in_recovery() as standby", "select count(*)::int as count from kept");
      expect([recovery, rows]).toEqual([[{ standby: true }], [{ count: 100 }]]);
    });
    await expect(query(standbysUri, "insert into kept values (101)")).rejects.toThrow(/read-only transaction/);
  });

  test("a changed parameter reaches every member, and a failover keeps it", async () => {
    // An operator's own stays where it is.
    const inDatabase = (statement: string): string => docker("exec", leader(), "psql", "-U", "postgres", "-XAtqc", statement);
    inDatabase("ALTER SYSTEM SET work_mem = '21MB'");
    project.configure({ workMem: "24MB" });
    expect(await project.pulumi("up", "--yes", "--skip-preview")).toContain("has work_mem = 21MB by ALTER SYSTEM, which wins over 24MB there");
    expect(inDatabase("SELECT setting FROM pg_file_settings WHERE name = 'work_mem' AND sourcefile LIKE '%.auto.conf'")).toBe("21MB");
    inDatabase("ALTER SYSTEM RESET work_mem");
    inDatabase("SELECT pg_reload_conf()");
    expect(await query(uri, "show work_mem")).toEqual([[{ work_mem: "24MB" }]]);
    const before = leader();
    docker("exec", `${PREFIX}db-1`, "patronictl", "switchover", "--force");
    await eventually(15_000, async () => {
      expect(leader()).not.toBe(before);
      expect(await query(uri, "show work_mem", "select pg_is_in_recovery() as standby")).toEqual([[{ work_mem: "24MB" }], [{ standby: false }]]);
    });
  });

  test("a leader that is killed is followed by a standby, and no row is lost", async () => {
    const before = leader();
    docker("exec", before, "bash", "-c", "kill -9 $(head -1 /var/lib/postgresql/data/pgdata/postmaster.pid)");
    await eventually(60_000, async () => {
      await query(uri, "insert into kept select coalesce(max(id), 0) + 1 from kept");
    });
    const [rows] = await query(uri, "select count(*)::int as count from kept where id <= 100");
    expect(rows).toEqual([{ count: 100 }]);
  });

  /** Whether a write that was not possible is possible again, and how long that took. */
  const secondsToWrite = async (patienceMs = 30_000): Promise<number> => {
    const startedAt = performance.now();
    await eventually(patienceMs, async () => {
      await query(uri, "insert into kept select max(id) + 1 from kept");
    });
    return (performance.now() - startedAt) / 1000;
  };
  const atFullStrength = (): Promise<void> =>
    eventually(60_000, async () => {
      const [rows] = await query(uri, "select count(*)::int as count from pg_stat_replication where state = 'streaming'");
      expect(rows).toEqual([{ count: 2 }]);
    });
  const log = (member: string): string => docker("logs", `${member}-holder`);
  /** What Patroni has said lately, on its standard error. */
  const said = (member: string, since: string): string => spawnSync("docker", ["logs", "--since", since, member], { encoding: "utf8", timeout: 30_000 }).stderr;

  test("a leader whose container is killed is followed long before its lease expires", async () => {
    await atFullStrength();
    const before = leader();
    docker("kill", before);
    expect(await secondsToWrite()).toBeLessThan(6);
    expect(log(before)).toMatch(/revoked lease \w+ of .*: its processes have ended/);
    docker("start", before);
    await atFullStrength();
  });

  test("a leader that is frozen is ended, and does not write when it wakes", async () => {
    const before = leader();
    docker("pause", before);
    expect(await secondsToWrite()).toBeLessThan(8);
    expect(leader()).not.toBe(before);
    // With control groups of version 2 it has ended already, and is not paused any more.
    if (docker("inspect", "--format", "{{.State.Paused}}", before) === "true") docker("unpause", before);
    // It wakes with its SIGKILL: what serves under its name afterwards is another process, and a standby.
    await eventually(20_000, () => Promise.resolve(expect(Number(docker("inspect", "--format", "{{.RestartCount}}", before))).toBeGreaterThan(0)));
    await atFullStrength();
  });

  test("a frozen standby is left alone", async () => {
    const standby = [1, 2, 3].map((number) => `${PREFIX}db-${number}`).find((name) => name !== leader()) as string;
    const before = log(standby);
    docker("pause", standby);
    await new Promise((resolve) => setTimeout(resolve, 4000));
    expect(await secondsToWrite()).toBeLessThan(1);
    docker("unpause", standby);
    await atFullStrength();
    expect(log(standby)).toBe(before);
  });

  /** Sends a signal to Patroni's process of a member, and to nothing else of it. */
  const signalPatroni = (member: string, signal: string): string =>
    docker("exec", `${member}-holder`, "bash", "-c", `for p in /proc/[0-9]*; do [[ $(tr '\\0' ' ' <$p/cmdline) == */patroni\\ /etc/patroni* ]] && kill -${signal} \${p#/proc/}; done; true`);

  test("PostgreSQL does not outlive a Patroni that stands still or is gone", async () => {
    for (const signal of ["STOP", "KILL"]) {
      const before = leader();
      signalPatroni(before, signal);
      await eventually(20_000, () => Promise.resolve(expect(leader()).not.toBe(before)));
      await atFullStrength();
    }
  });

  test("a fencer that was killed fences again", async () => {
    await atFullStrength();
    const before = leader();
    docker("exec", `${before}-holder`, "bash", "-c", "for p in /proc/[0-9]*; do [[ $(tr '\\0' ' ' <$p/cmdline) == python3\\ /fencer.py* ]] && kill -9 ${p#/proc/}; done; true");
    await new Promise((resolve) => setTimeout(resolve, 4000));
    docker("kill", before);
    expect(await secondsToWrite()).toBeLessThan(8);
    docker("start", before);
    await atFullStrength();
  });

  test("a leader that dies while etcd has no majority is followed when it has one again", async () => {
    const before = leader();
    const majority = [`${PREFIX}etcd-1`, `${PREFIX}etcd-2`];
    docker("pause", ...majority);
    try {
      // Patroni needs some seconds to see it; from then on the leader tells its standbys every second that it leads.
      await eventually(30_000, () => Promise.resolve(expect(docker("exec", before, "curl", "-s", "http://localhost:8008/patroni")).toMatch(/"failsafe_mode_is_active": true/)));
      expect(await secondsToWrite()).toBeLessThan(1);
      docker("kill", before);
      await new Promise((resolve) => setTimeout(resolve, 3000));
      expect(log(before)).toMatch(/etcd does not answer/);
    } finally {
      docker("unpause", ...majority);
    }
    // Its word would hold standbys back for the 20 s of a lease: its fencer ends it.
    expect(await secondsToWrite(60_000)).toBeLessThan(8);
    expect(log(before)).toMatch(/goes by etcd again, and not by the word of/);
    docker("start", before);
    await atFullStrength();
  });

  test("a leader that dies soon after etcd was away is followed at once", async () => {
    const before = leader();
    const standby = [1, 2, 3].map((number) => `${PREFIX}db-${number}`).find((name) => name !== before) as string;
    const state = (member: string): string => docker("exec", member, "curl", "-s", "http://localhost:8008/patroni");
    const majority = [`${PREFIX}etcd-1`, `${PREFIX}etcd-2`];
    docker("pause", ...majority);
    try {
      await eventually(30_000, () => Promise.resolve(expect(state(standby)).toMatch(/"failsafe": {"leader": ".*db-\d", "token": "\w+"}/)));
    } finally {
      docker("unpause", ...majority);
    }
    await eventually(8000, () => Promise.resolve(expect(state(standby)).not.toMatch(/failsafe/)));
    docker("kill", before);
    expect(await secondsToWrite()).toBeLessThan(6);
    docker("start", before);
    await atFullStrength();
  });

  test("a leader that dies after the keys of all its standbys have expired is followed by one of them, which has every row", async () => {
    const before = leader();
    const standbys = [1, 2, 3].map((number) => `${PREFIX}db-${number}`).filter((name) => name !== before);
    const etcd = (...get: string[]): string => docker("exec", `${PREFIX}etcd-1`, "etcdctl", "get", ...get);
    for (const standby of standbys) signalPatroni(standby, "STOP");
    await eventually(60_000, () => Promise.resolve(expect(etcd("--prefix", "--keys-only", `/service/${PREFIX}db/members/`)).toBe(`/service/${PREFIX}db/members/${before}`)));
    await new Promise((resolve) => setTimeout(resolve, 8000));
    // They expire one after the other: the one that went first is left out, and the last one stays.
    const kept = standbys.filter((standby) => etcd("--print-value-only", `/service/${PREFIX}db/sync`).includes(standby));
    expect(kept).not.toEqual([]);
    for (const standby of kept) expect(etcd("--print-value-only", `/service/${PREFIX}db/failsafe`)).toContain(`"${standby}"`);
    await query(uri, "create table confirmed as select generate_series(1, 100)");
    docker("kill", before);
    for (const standby of standbys) signalPatroni(standby, "CONT");
    expect(await secondsToWrite()).toBeLessThan(10);
    const [rows] = await query(uri, "select count(*)::int as count from confirmed");
    expect(rows).toEqual([{ count: 100 }]);
    docker("start", before);
    await atFullStrength();
  });

  /** Sends a signal to the process of a standby that receives from its leader. */
  const signalReceiver = (member: string, signal: string): string =>
    docker("exec", `${member}-holder`, "bash", "-c", `for p in /proc/[0-9]*; do [[ $(tr '\\0' ' ' <$p/cmdline) == *wal[r]eceiver* ]] && kill -${signal} \${p#/proc/}; done; true`);
  /** Has a stopped receiver end without reading what its leader has sent meanwhile: that lies in the socket, and would be written. */
  const endReceiver = (member: string): void => {
    signalReceiver(member, "TERM");
    signalReceiver(member, "CONT");
  };
  /** Has one standby receive nothing, while the other confirms rows; gives both. */
  const withOneBehind = async (table: string): Promise<{ before: string; behind: string; ahead: string }> => {
    await atFullStrength();
    await eventually(30_000, () => Promise.resolve(expect(docker("exec", `${PREFIX}etcd-1`, "etcdctl", "get", "--print-value-only", `/service/${PREFIX}db/sync`)).toMatch(/"sync_standby":"[^",]+,[^",]+"/)));
    const before = leader();
    const [behind, ahead] = [1, 2, 3].map((number) => `${PREFIX}db-${number}`).filter((name) => name !== before) as [string, string];
    signalReceiver(behind, "STOP");
    await query(uri, `create table ${table} as select generate_series(1, 100)`);
    return { before, behind, ahead };
  };

  test("a leader that dies in the middle of a bulk load is followed, however far its standbys are behind", async () => {
    await atFullStrength();
    const before = leader();
    const standbys = [1, 2, 3].map((number) => `${PREFIX}db-${number}`).filter((name) => name !== before);
    await query(uri, "create table loaded (id int, filler text)");
    const position = async (): Promise<number> => Number((await query(uri, "select pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0') as bytes"))[0]?.[0]?.["bytes"]);
    const told = (): number => (JSON.parse(docker("exec", `${PREFIX}etcd-1`, "etcdctl", "get", "--print-value-only", `/service/${PREFIX}db/status`)) as { optime: number }).optime;
    const theirs = await position();
    for (const standby of standbys) signalReceiver(standby, "STOP");
    // Nobody was told that any of it is there.
    const load = spawn("docker", ["exec", before, "psql", "-U", "postgres", ...["BEGIN", "INSERT INTO loaded SELECT n, repeat('x', 900) FROM generate_series(1, 20000) n", "SELECT pg_sleep(60)"].flatMap((statement) => ["-c", statement])], { stdio: "ignore" });
    // What Patroni goes by, of which 1 MB is too much by default.
    await eventually(20_000, () => Promise.resolve(expect(told() - theirs).toBeGreaterThan(8 * 1024 ** 2)));
    docker("kill", before);
    load.kill();
    for (const standby of standbys) endReceiver(standby);
    expect(await secondsToWrite()).toBeLessThan(6);
    expect(await query(uri, "select count(*)::int as count from loaded")).toEqual([[{ count: 0 }]]);
    docker("start", before);
    await atFullStrength();
  });

  test("a standby that lacks what another one has confirmed does not become the only one that decides", async () => {
    const { before, behind, ahead } = await withOneBehind("unseen");
    docker("kill", ahead);
    await eventually(20_000, () => Promise.resolve(expect(said(before, "20s")).toContain("/sync stays as it is")));
    docker("kill", before);
    endReceiver(behind);
    await new Promise((resolve) => setTimeout(resolve, 5000));
    expect(docker("exec", behind, "psql", "-U", "postgres", "-XAtqc", "select pg_is_in_recovery(), to_regclass('unseen') is null")).toBe("t|t");
    docker("start", ahead);
    await secondsToWrite();
    expect(await query(uri, "select count(*)::int as count from unseen")).toEqual([[{ count: 100 }]]);
    docker("start", before);
    await atFullStrength();
  });

  test("a switchover whose leader dies on the way is not finished by a standby that lacks what another one has confirmed", async () => {
    const { before, behind } = await withOneBehind("halfway");
    const switchover = spawn("docker", ["exec", before, "patronictl", "switchover", "--candidate", behind, "--force"], { stdio: "ignore" });
    // PostgreSQL waits for the one that receives nothing before it ends.
    await eventually(20_000, () => Promise.resolve(expect(said(before, "20s")).toContain("received fast shutdown request")));
    docker("kill", before);
    switchover.kill();
    endReceiver(behind);
    expect(await secondsToWrite()).toBeLessThan(10);
    expect(await query(uri, "select count(*)::int as count from halfway")).toEqual([[{ count: 100 }]]);
    expect(leader()).not.toBe(behind);
    docker("start", before);
    await atFullStrength();
  });

  /** The number of the leader's timeline. */
  const timeline = async (): Promise<number> => Number((await query(uri, "select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as number"))[0]?.[0]?.["number"]);

  test("a timeline that died with its leader before anybody heard of it keeps its number, and its leader comes back without it", async () => {
    await atFullStrength();
    const before = leader();
    const standbys = [1, 2, 3].map((number) => `${PREFIX}db-${number}`).filter((name) => name !== before);
    const inData = (member: string, script: string): readonly string[] => ["exec", member, "bash", "-c", `cd /var/lib/postgresql/data/pgdata && ${script}`];
    const sql = (member: string, statement: string): string => docker("exec", member, "psql", "-U", "postgres", "-XAtqc", statement);
    const next = (await timeline()) + 1;
    const history = `pg_wal/${next.toString(16).toUpperCase().padStart(8, "0")}.history`;
    // Nobody receives from whoever is promoted now, and its Patroni stands still from the moment in which its timeline begins.
    for (const standby of standbys) docker(...inData(standby, "sed -i '1i host replication all all reject' pg_hba.conf && psql -U postgres -XAtqc 'select pg_reload_conf()'"));
    const patroni = "for p in /proc/[0-9]*; do [[ $(tr '\\0' ' ' <$p/cmdline) == */patroni\\ /etc/patroni* ]] && kill -STOP ${p#/proc/}; done";
    const watchers = standbys.map((standby) => spawn("docker", inData(standby, `until [[ -e ${history} || -e /tmp/enough ]]; do sleep 0.01; done; [[ -e /tmp/enough ]] || { ${patroni}; }; true`), { stdio: "ignore" }));
    const promoted = Promise.race(watchers.map((watcher, place) => once(watcher, "exit").then(() => standbys[place] as string)));
    docker("kill", before);
    const dead = await promoted;
    await eventually(10_000, () => Promise.resolve(expect(sql(dead, "set synchronous_commit = local; insert into kept select 3000000 + generate_series(1, 100); select count(*) from kept where id > 3000000")).toBe("100")));
    docker("kill", dead);
    // The other one will hear of that timeline, and its Patroni goes on.
    const other = standbys.find((standby) => standby !== dead) as string;
    docker("exec", other, "touch", "/tmp/enough");
    docker(...inData(other, "sed -i '1d' pg_hba.conf && psql -U postgres -XAtqc 'select pg_reload_conf()'"));
    docker("start", before);
    await secondsToWrite();
    expect(await timeline()).toBeGreaterThan(next);
    docker("start", dead);
    await atFullStrength();
    expect(sql(dead, "select pg_is_in_recovery(), (select count(*) from kept where id > 3000000)")).toBe("t|0");
    expect(said(dead, "60s")).toMatch(/pg_rewind exit code=0/);
    // It goes on from there, also after another start.
    docker("kill", dead);
    docker("start", dead);
    await atFullStrength();
  });

  test("a standby that has only heard of a timeline which died follows the next one", async () => {
    const before = leader();
    const [heard, next] = [1, 2, 3].map((number) => `${PREFIX}db-${number}`).filter((name) => name !== before) as [string, string];
    const sync = `/service/${PREFIX}db/sync`;
    const etcd = (...words: string[]): string => docker("exec", `${PREFIX}etcd-1`, "etcdctl", ...words);
    const known = (): { timeline: number } => JSON.parse(etcd("get", "--print-value-only", sync)) as { timeline: number };
    const own = await timeline();
    const history = (number: number): string => `/var/lib/postgresql/data/pgdata/pg_wal/${number.toString(16).toUpperCase().padStart(8, "0")}.history`;
    // It begins far ahead of what is there. PostgreSQL aims at it from its start on; its number is taken.
    docker("exec", heard, "bash", "-c", `{ cat ${history(own)}; printf '${own}\tFF/0\tno recovery target specified\n'; } >${history(own + 1)}`);
    docker("restart", heard);
    await atFullStrength();
    await eventually(20_000, async () => {
      if (known().timeline <= own) etcd("put", sync, JSON.stringify({ ...known(), timeline: own + 1 }));
      await new Promise((resolve) => setTimeout(resolve, 2000));
      expect(known().timeline).toBeGreaterThan(own);
    });
    docker("exec", before, "patronictl", "switchover", "--candidate", next, "--force");
    await eventually(10_000, () => Promise.resolve(expect(said(heard, "30s")).toContain("is not a child of database system timeline")));
    await atFullStrength();
    expect(leader()).toBe(next);
    expect(await timeline()).toBeGreaterThan(own + 1);
    // Whether it was started again without that history, or found the next one by itself before.
    expect(Number(docker("exec", heard, "psql", "-U", "postgres", "-XAtqc", "select received_tli from pg_stat_wal_receiver"))).toBe(await timeline());
  });

  test("a member whose rewind is interrupted does not start on what it has, and is made anew", async () => {
    const before = leader();
    docker("kill", before);
    await secondsToWrite();
    docker("start", before);
    // Whatever it has done by then: from the outside a file that is not there yet looks like one that is.
    const stopped = docker("exec", `${before}-holder`, "bash", "-c", "for i in {1..1500}; do for p in /proc/[0-9]*; do [[ $(tr '\\0' ' ' <$p/cmdline) == */pg_rewin[d]* ]] && kill -STOP ${p#/proc/} && echo stopped && exit; done; sleep 0.01; done 2>/dev/null; true");
    expect(stopped).toBe("stopped");
    docker("kill", before);
    docker("start", before);
    await atFullStrength();
    expect(said(before, "60s")).toMatch(/My files are incomplete, because bringing them was interrupted: they are removed, and brought from \S+ again/);
  });

  test("nobody leads with a log that it has not replayed, until an operator says so", async () => {
    const before = leader();
    const standbys = [1, 2, 3].map((number) => `${PREFIX}db-${number}`).filter((name) => name !== before);
    const sql = (member: string, statement: string): string => docker("exec", member, "psql", "-U", "postgres", "-XAtqc", statement);
    // A replay that takes for ever: what comes from now on lies in the standbys' logs, confirmed and not replayed.
    const delayReplay = async (delay: string, followers: readonly string[]): Promise<void> => {
      docker("exec", standbys[0] as string, "patronictl", "edit-config", "--force", "--quiet", "--set", `postgresql.recovery_conf.recovery_min_apply_delay=${delay}`);
      await eventually(30_000, () => Promise.resolve(followers.forEach((standby) => expect(sql(standby, "show recovery_min_apply_delay")).toBe(delay))));
    };
    // They begin to replay where they made their last restart point: after the table was created.
    await query(uri, "checkpoint");
    await eventually(20_000, async () => {
      const [rows] = await query(uri, "select count(*)::int as count from pg_stat_replication where replay_lsn >= (select checkpoint_lsn from pg_control_checkpoint())");
      expect(rows).toEqual([{ count: 2 }]);
    });
    for (const standby of standbys) sql(standby, "checkpoint");
    await delayReplay("1h", standbys);
    await query(uri, "insert into kept select 1000000 + generate_series(1, 100)");
    // In one call: a standby that lives for another half second is the leader by then.
    docker("kill", before, ...standbys);
    docker("start", ...standbys);
    await eventually(30_000, () => Promise.resolve(standbys.forEach((standby) => expect(docker("exec", standby, "curl", "-s", "http://localhost:8008/patroni")).toMatch(/"received_location": 0, "replayed_location": 0/))));
    await new Promise((resolve) => setTimeout(resolve, 8000));
    for (const standby of standbys) {
      expect(said(standby, "8s")).toMatch(/Still replaying my own WAL/);
      expect(sql(standby, "select pg_is_in_recovery(), (select count(*) from kept where id > 1000000)")).toBe("t|0");
    }
    docker("exec", standbys[0] as string, "patronictl", "failover", "--candidate", standbys[0] as string, "--force");
    await eventually(30_000, async () => {
      const [rows] = await query(uri, "select count(*)::int as count from kept where id > 1000000");
      expect(rows).toEqual([{ count: 100 }]);
    });
    // Patroni changes it where a standby is; the new leader has its use for it when it is one again.
    await delayReplay("0", standbys.slice(1));
    docker("start", before);
    await atFullStrength();
  });

  test("where etcd has forgotten everything, nobody leads before all that decided last have answered, and then the one that has most", async () => {
    const before = leader();
    const [behind, ahead] = [1, 2, 3].map((number) => `${PREFIX}db-${number}`).filter((name) => name !== before) as [string, string];
    // Both decide: what is confirmed from now on is on one of them alone.
    docker("kill", behind);
    await query(uri, "insert into kept select 2000000 + generate_series(1, 100)");
    docker("kill", before, ahead);
    docker("exec", `${PREFIX}etcd-1`, "etcdctl", "del", "--prefix", "/service/");
    docker("start", behind);
    await eventually(30_000, () => Promise.resolve(expect(said(behind, "10s")).toMatch(/etcd does not know who may lead, and \S+ does not answer/)));
    await new Promise((resolve) => setTimeout(resolve, 5000));
    expect(docker("exec", behind, "psql", "-U", "postgres", "-XAtqc", "select pg_is_in_recovery()")).toBe("t");
    docker("start", before, ahead);
    await eventually(60_000, async () => {
      const [rows] = await query(uri, "select count(*)::int as count from kept where id > 2000000", "insert into kept select max(id) + 1 from kept");
      expect(rows).toEqual([{ count: 100 }]);
    });
    expect(leader()).not.toBe(behind);
    await atFullStrength();
  });

  test("works after every member and etcd were restarted at once", async () => {
    const containers = docker("ps", "--format", "{{.Names}}").split("\n").filter((name) => name.startsWith(PREFIX) && !name.endsWith("-holder"));
    docker("restart", "-t", "30", ...containers);
    await eventually(60_000, async () => {
      const [rows] = await query(uri, "select count(*)::int as count from kept where id <= 100", "insert into kept select max(id) + 1 from kept");
      expect(rows).toEqual([{ count: 100 }]);
    });
  });

  test("destroy leaves no container and no network; its volumes stay until they are dropped by name", async () => {
    await project.pulumi("destroy", "--yes", "--skip-preview");
    const volumes = [1, 2, 3].flatMap((number) => [`${PREFIX}db-${number}-data`, `${PREFIX}etcd-${number}-data`]);
    expect(project.leftovers(PREFIX).sort()).toEqual(volumes.sort());
    docker("volume", "rm", ...volumes);
  });
});
