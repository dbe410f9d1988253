import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const FENCER = path.join(__dirname, "../../../assets/holder/fencer.py");
const LEASE = 0x3039;
/** What the fencer does, it does within a second or two; a busy machine takes longer. */
const PATIENCE_MS = 20_000;
/** Longer than it takes to do what must not happen. */
const QUIET_MS = 3000;
const PRIMARY = "postgres: c: walwriter ";
const STANDBY = "postgres: c: startup recovering 000000010000000000000003";

const canUnshare = process.getuid?.() === 0 && ["/usr/bin/unshare", "/usr/bin/nsenter", "/usr/bin/python3"].every((program) => existsSync(program));

/** A control group of its own for the member, of version 1 or 2; undefined where none can be made. */
function controlGroup(): string | undefined {
  const lines = readFileSync("/proc/self/cgroup", "utf8").split("\n").map((line) => line.split(":"));
  for (const [, controllers = "", own = ""] of lines) {
    const root = controllers === "" ? "/sys/fs/cgroup" : `/sys/fs/cgroup/${controllers.replace("name=", "")}`;
    const directory = path.join(root, own, `fencer-test-${process.pid}`);
    if (controllers !== "pids" && controllers !== "") continue;
    try {
      mkdirSync(directory);
      return directory;
    } catch {
      continue;
    }
  }
  return undefined;
}

/** An etcd of which the fencer sees no difference: one leader key with its lease. */
class FakeEtcd {
  leader: string | undefined = "coord-1";
  /** Answered instead of the key, to a reader. */
  nonsense: string | undefined;
  readonly revoked: number[] = [];
  private readonly server: Server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      if (request.url === "/v3/lease/revoke") {
        this.revoked.push(Number((JSON.parse(body) as { ID: string }).ID));
        this.leader = undefined;
      }
      const kvs = this.leader === undefined ? [] : [{ value: Buffer.from(this.leader).toString("base64"), lease: String(LEASE) }];
      response.end(this.nonsense ?? JSON.stringify({ kvs }));
    });
  });

  listen(): Promise<number> {
    return new Promise((resolve) => this.server.listen(0, "127.0.0.1", () => resolve((this.server.address() as AddressInfo).port)));
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** The real program in a PID namespace as a holder's, with a member in it that only looks like one. */
describe.skipIf(!canUnshare)("the fencer (needs root and unshare)", () => {
  let directory: string;
  let group: string | undefined;
  let etcd: FakeEtcd;
  let holder: ChildProcess;
  let first: string;
  let output: string;
  const members: ChildProcess[] = [];

  beforeEach(async () => {
    directory = mkdtempSync(path.join(tmpdir(), "fencer-"));
    group = controlGroup();
    copyFileSync("/usr/bin/sleep", path.join(directory, "postgres"));
    execFileSync("chmod", ["755", path.join(directory, "postgres")]);
    writeFileSync(path.join(directory, "patroni"), `bash -c 'exec -a "$0" ${directory}/postgres 1000' "$1" &\nwhile :; do sleep 0.1; done\n`);
    etcd = new FakeEtcd();
    output = "";
    const port = await etcd.listen();
    // Without a PATH there is no ss, which would break this machine's own connections.
    const inside = `mount -t tmpfs none /run; PATH=/nowhere /usr/bin/python3 ${FENCER} coord-1 /service/c/0 127.0.0.1:${port} & sleep 1000`;
    holder = spawn("unshare", ["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", inside]);
    for (const stream of [holder.stdout, holder.stderr]) stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
    first = await eventually(() => execFileSync("pgrep", ["-P", String(holder.pid)], { encoding: "utf8" }).trim());
    await eventually(() => expect(within("sh", "-c", "grep -l fencer.py /proc/[0-9]*/cmdline")).not.toBe(""));
  });

  afterEach(async () => {
    holder.kill("SIGKILL");
    for (const member of members.splice(0)) member.kill("SIGKILL");
    etcd.close();
    rmSync(directory, { recursive: true });
    const made = group;
    if (made !== undefined) await eventually(() => rmdirSync(made));
  });

  const within = (...command: string[]): string => execFileSync("nsenter", ["-t", first, "-p", "-m", ...command], { encoding: "utf8" });

  /** A member enters the namespace from outside, as a container's first process does, and its PostgreSQL has a process of that title. */
  const enter = async (title: string, ownGroup: boolean): Promise<void> => {
    if (ownGroup && group === undefined) throw new Error("no control group could be made");
    // Until it is there the fencer would be right to revoke its lease.
    const { leader } = etcd;
    etcd.leader = undefined;
    const join = ownGroup ? `echo $$ > ${group}/cgroup.procs; ` : "";
    members.push(spawn("sh", ["-c", `${join}exec nsenter -t ${first} -p -m sh ${directory}/patroni '${title}'`], { stdio: "ignore" }));
    await eventually(() => expect(processes()).toHaveLength(2));
    etcd.leader = leader;
  };

  /** Process ids of the member's Patroni and PostgreSQL, as this machine has them. */
  const processes = (): number[] =>
    execFileSync("sh", ["-c", `pgrep -f '^sh ${directory}/patroni|^postgres: c: ' || true`], { encoding: "utf8" }).split("\n").filter((line) => line !== "").map(Number);
  /** By the shell's `kill`: the fencer may have ended the second one when the first has gone. */
  const signal = (name: "KILL" | "STOP"): void => void execFileSync("sh", ["-c", `kill -${name} ${processes().join(" ")} || true`], { stdio: "ignore" });

  /** The member has been seen, and what etcd says of it. */
  const seen = (): Promise<void> => delay(1500);

  test("revokes the lease of a member whose processes are gone, and not before", async () => {
    await enter(PRIMARY, true);
    await seen();
    expect(etcd.revoked).toEqual([]);
    signal("KILL");
    await eventually(() => expect(etcd.revoked).toEqual([LEASE]));
  });

  test("is off where control groups do not tell the member from its holder, says so once, and stays so", async () => {
    etcd.leader = undefined;
    await enter(PRIMARY, false);
    etcd.leader = "coord-1";
    await delay(QUIET_MS);
    signal("KILL");
    await delay(QUIET_MS);
    expect(etcd.revoked).toEqual([]);
    expect(output.match(/fencer off: /g)).toHaveLength(1);
    expect(within("cat", "/run/fencer.off")).toMatch(/^this engine's control groups do not tell/);
  });

  test("is on again when a member is told apart", async () => {
    await enter(PRIMARY, false);
    await eventually(() => expect(output).toMatch(/fencer off: /));
    signal("KILL");
    await eventually(() => expect(processes()).toEqual([]));
    await enter(PRIMARY, true);
    await eventually(() => expect(output).toMatch(/fencer on: /));
    signal("KILL");
    await eventually(() => expect(etcd.revoked).toEqual([LEASE]));
  });

  test("waits for whoever has entered the holder", async () => {
    etcd.leader = undefined;
    members.push(spawn("nsenter", ["-t", first, "-p", "-m", "sleep", String(QUIET_MS / 1000 + 4)], { stdio: "ignore" }));
    await delay(500);
    etcd.leader = "coord-1";
    await delay(QUIET_MS - 500);
    expect(etcd.revoked).toEqual([]);
    await eventually(() => expect(etcd.revoked).toEqual([LEASE]));
    expect(output).not.toMatch(/fencer off/);
  });

  test.each([
    ["that leads", "coord-1", [LEASE]],
    ["whose term has ended", "coord-2", []],
  ])("ends a frozen primary %s", async (_, leader, revoked) => {
    await enter(PRIMARY, true);
    etcd.leader = leader;
    await seen();
    signal("STOP");
    await eventually(() => expect(processes()).toEqual([]));
    await eventually(() => expect(etcd.revoked).toEqual(revoked));
  });

  test("lets a frozen standby be, though etcd says that it leads", async () => {
    await enter(STANDBY, true);
    await seen();
    signal("STOP");
    await delay(QUIET_MS);
    expect(processes()).toHaveLength(2);
    expect(etcd.revoked).toEqual([]);
  });

  test.each(["[]", '{"kvs": [{"value": "/w=="}]}', "no JSON", '{"kvs": [{"value": "Y29vcmQtMQ==", "lease": "x"}]}'])("survives an etcd that answers %s", async (nonsense) => {
    etcd.nonsense = nonsense;
    await enter(PRIMARY, true);
    await seen();
    signal("KILL");
    await delay(500);
    etcd.nonsense = undefined;
    await eventually(() => expect(etcd.revoked).toEqual([LEASE]));
    expect(output).not.toMatch(/Traceback/);
  });
}, 60_000);

/** Tries until it succeeds, or time is up. */
async function eventually<Value>(attempt: () => Value): Promise<Value> {
  const endsAt = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return attempt();
    } catch (error) {
      if (performance.now() > endsAt) throw error;
      await delay(50);
    }
  }
}
