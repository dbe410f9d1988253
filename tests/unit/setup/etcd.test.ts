import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { Deadline } from "../../../setup/deadline";
import { reconcileEtcd } from "../../../setup/etcd";
import { Report } from "../../../setup/report";
import { planEtcd } from "../../../topology/etcd";

type Configuration = Record<string, string>;

interface Entry {
  id: string;
  name: string;
  peerUrl: string;
  isLearner: boolean;
}

interface Container {
  status: "running" | "restarting" | "exited" | "paused";
  configuration?: Configuration;
  /** Data directories in the volume, each with the id of the membership that it belongs to. */
  data: Map<string, string>;
}

/** The Docker commands that the set-up gives, over etcd members that keep etcd's rules of membership. */
class FakeDocker {
  containers = new Map<string, Container>();
  entries: Entry[] = [];
  leader = "";
  /** Every command, without what only asks. */
  log: string[] = [];
  /** How many times etcd refuses to add a member. */
  refusals = 0;
  /** The number of commands so far, and at which the set-up is killed. */
  calls = 0;
  killedAt = Infinity;
  /** Whether a majority was once missing after a command. */
  wasDown = false;
  private ids = 0;

  create(...names: string[]): void {
    for (const name of names) this.containers.set(name, { status: "restarting", data: new Map() });
  }

  docker = (args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> => Promise.resolve().then(() => this.answer(args));

  private answer(args: readonly string[]): { code: number; stdout: string; stderr: string } {
    if (++this.calls >= this.killedAt) throw new Error("killed");
    const before = this.hasMajority();
    let result = { code: 0, stdout: "", stderr: "" };
    try {
      result.stdout = this.run(args);
    } catch (error) {
      result = { code: 1, stdout: "", stderr: (error as Error).message };
    }
    if (before && !this.hasMajority()) this.wasDown = true;
    return result;
  }

  private run([command = "", ...args]: readonly string[]): string {
    if (command === "inspect") {
      const known = args.filter((name) => this.containers.has(name));
      return known.map((name) => `/${name} ${this.containers.get(name)?.status}`).join("\n");
    }
    if (command === "cp") return this.copy(args[0] ?? "", args[1] ?? "");
    const [name = "", , ...options] = args;
    const container = this.containers.get(name);
    if (container === undefined) throw new Error(`No such container: ${name}`);
    if (command === "exec") return this.etcdctl(name, container, options.filter((option) => !option.startsWith("--command-timeout")));
    this.log.push(`${command} ${name}`);
    container.status = command === "stop" ? "exited" : "running";
    if (command === "start") this.boot(name, container);
    return "";
  }

  private copy(from: string, to: string): string {
    const [name = ""] = (to === "-" ? from : to).split(":");
    const container = this.containers.get(name);
    if (container === undefined) throw new Error(`No such container: ${name}`);
    if (to === "-") {
      if (container.configuration === undefined) throw new Error(`Could not find the file in container ${name}`);
      return `etcd.json\0header ${JSON.stringify(container.configuration)}\0\0`;
    }
    container.configuration = JSON.parse(readFileSync(from, "utf8")) as Configuration;
    return "";
  }

  /** What etcd does when it starts: it goes on with its data, begins a cluster, or joins one that lists it. */
  private boot(name: string, { configuration, data }: Container): void {
    if (configuration === undefined) return;
    const directory = configuration["data-dir"] ?? "";
    const cluster = (configuration["initial-cluster"] ?? "").split(",").map((member) => member.split("=") as [string, string]);
    if (data.has(directory)) return;
    if (configuration["initial-cluster-state"] === "new") {
      if (this.entries.length === 0) this.entries = cluster.map(([member, peerUrl]) => ({ id: `first-${member}`, name: member, peerUrl, isLearner: false }));
      data.set(directory, `first-${name}`);
      return;
    }
    const own = this.entries.find((entry) => entry.name === "" && entry.peerUrl === configuration["initial-advertise-peer-urls"]);
    const sameMembers = JSON.stringify(cluster.map(([, url]) => url).sort()) === JSON.stringify(this.entries.map(({ peerUrl }) => peerUrl).sort());
    if (own === undefined || !sameMembers) return;
    own.name = name;
    data.set(directory, own.id);
  }

  private isUp({ id, name }: Entry): boolean {
    const { status, configuration, data } = this.containers.get(name) ?? { status: "exited", data: new Map<string, string>() };
    return status === "running" && data.get(configuration?.["data-dir"] ?? "") === id;
  }

  private hasMajority(): boolean {
    const voters = this.entries.filter(({ isLearner }) => !isLearner);
    return voters.filter((entry) => this.isUp(entry)).length * 2 > voters.length;
  }

  private etcdctl(name: string, { status }: Container, options: readonly string[]): string {
    const own = this.entries.find((entry) => entry.name === name && this.isUp(entry));
    if (status !== "running" || own === undefined || !this.hasMajority()) throw new Error("{}\nError: context deadline exceeded");
    const [noun = "", verb = "", id = ""] = options;
    const entry = this.entries.find((candidate) => candidate.id === id);
    if (noun === "endpoint" && own.isLearner) throw new Error("Error: rpc not supported for learner");
    if (noun.startsWith("--endpoints=")) return this.moveLeader(noun, options[2] ?? "");
    if (verb === "list") return this.entries.map((member) => [member.id, "", member.name, member.peerUrl, member.name && `http://${member.name}:2379`, member.isLearner].join(", ")).join("\n");
    if (noun === "member") this.log.push(`${verb} ${verb === "add" ? id : entry?.name}`);
    if (verb === "add") this.add(options);
    if (verb === "promote" && entry !== undefined && this.isUp(entry)) entry.isLearner = false;
    if (verb === "remove") this.entries = this.entries.filter((candidate) => candidate !== entry);
    return "";
  }

  private add(options: readonly string[]): void {
    if (this.refusals-- > 0) throw new Error("Error: etcdserver: unhealthy cluster");
    const peerUrl = options.find((option) => option.startsWith("--peer-urls="))?.slice("--peer-urls=".length) ?? "";
    if (this.entries.some((entry) => entry.peerUrl === peerUrl)) throw new Error("Error: etcdserver: Peer URLs already exists");
    this.entries.push({ id: `added-${++this.ids}`, name: "", peerUrl, isLearner: options.includes("--learner") });
  }

  private moveLeader(endpoint: string, successor: string): string {
    if (endpoint !== `--endpoints=http://${this.leader}:2379`) throw new Error("Error: no leader endpoint given");
    this.leader = this.entries.find(({ id }) => id === successor)?.name ?? "";
    return "";
  }
}

let fake = new FakeDocker();
vi.mock("../../../setup/docker", async (original) => ({
  ...(await original<object>()),
  docker: (args: readonly string[]) => fake.docker(args.filter((argument) => argument !== "--type" && argument !== "container" && !argument.startsWith("{{") && argument !== "--format")),
  containerState: (name: string) => Promise.resolve(`its container is ${fake.containers.get(name)?.status}`),
}));

// Polls do not wait, so that hundreds of killed set-ups take a second.
vi.mock("node:timers/promises", () => ({ setTimeout: () => new Promise((resolve) => setImmediate(resolve)) }));

const NAMES = ["etcd-1", "etcd-2", "etcd-3", "etcd-4", "etcd-5"];

/** Runs the set-up and gives its lines. */
async function setUp(members: number, seconds = 5): Promise<string[]> {
  const lines: string[] = [];
  await reconcileEtcd(planEtcd("etcd", { members }).setup, new Deadline(seconds), new Report((line) => lines.push(line)));
  return lines;
}

function lose(...names: string[]): void {
  fake.create(...names);
}

function voters(): string[] {
  return fake.entries.filter(({ isLearner }) => !isLearner).map(({ name }) => name).sort();
}

async function running(members: number): Promise<void> {
  fake = new FakeDocker();
  fake.create(...NAMES.slice(0, members));
  await setUp(members);
  fake.leader = "etcd-1";
  fake.log = [];
}

interface Case {
  readonly from: number;
  readonly to: number;
  readonly change: () => void;
  readonly lines: string[];
}

const CASES: Record<string, Case> = {
  "nothing": { from: 3, to: 3, change: () => undefined, lines: ["etcd: 3 members are healthy; nothing had to change"] },
  "a member's volume is lost": { from: 3, to: 3, change: () => lose("etcd-2"), lines: ["etcd-2: removed, to join anew", "etcd-2: joined"] },
  "the leader and another of five are lost": {
    from: 5,
    to: 5,
    change: () => lose("etcd-1", "etcd-4"),
    lines: ["etcd-1: removed, to join anew", "etcd-4: removed, to join anew", "etcd-1: joined", "etcd-4: joined"],
  },
  "one member becomes three": { from: 1, to: 3, change: () => fake.create("etcd-2", "etcd-3"), lines: ["etcd-2: joined", "etcd-3: joined"] },
  "three members become five": { from: 3, to: 5, change: () => fake.create("etcd-4", "etcd-5"), lines: ["etcd-4: joined", "etcd-5: joined"] },
  "five members become three": { from: 5, to: 3, change: () => undefined, lines: ["etcd-4: removed", "etcd-5: removed"] },
  "five members become three, of which one is lost": {
    from: 5,
    to: 3,
    change: () => lose("etcd-3"),
    lines: ["etcd-3: removed, to join anew", "etcd-4: removed", "etcd-5: removed", "etcd-3: joined"],
  },
  "a container is stopped": {
    from: 3,
    to: 3,
    change: () => void ((fake.containers.get("etcd-3") as Container).status = "exited"),
    lines: ["etcd-3: started; it was exited"],
  },
};

beforeEach(() => running(3));

describe("the set-up of an etcd cluster", () => {
  test("begins one of all the members that the plan has", async () => {
    fake = new FakeDocker();
    fake.create("etcd-1", "etcd-2", "etcd-3");
    expect(await setUp(3)).toEqual(["etcd: began with etcd-1, etcd-2, etcd-3"]);
    expect(voters()).toEqual(["etcd-1", "etcd-2", "etcd-3"]);
    expect(fake.containers.get("etcd-2")?.configuration).toMatchObject({
      name: "etcd-2",
      "data-dir": "/var/lib/etcd/data",
      "initial-cluster": "etcd-1=http://etcd-1:2380,etcd-2=http://etcd-2:2380,etcd-3=http://etcd-3:2380",
      "initial-cluster-state": "new",
      "enable-grpc-gateway": true,
    });
  });

  test.each(Object.entries(CASES))("when %s", async (_, { from, to, change, lines }) => {
    await running(from);
    change();
    expect(await setUp(to)).toEqual(lines);
    expect(voters()).toEqual(NAMES.slice(0, to));
    expect(fake.wasDown).toBe(false);
    fake.log = [];
    expect(await setUp(to)).toEqual([`etcd: ${to} members are healthy; nothing had to change`]);
    expect(fake.log).toEqual([]);
  });

  test.each(Object.entries(CASES))("that is killed at any command goes on when %s", async (_, { from, to, change }) => {
    for (let killedAt = 1; ; killedAt++) {
      await running(from);
      change();
      fake.killedAt = fake.calls + killedAt;
      const finished = await setUp(to).then(
        () => true,
        () => false,
      );
      fake.killedAt = Infinity;
      if (finished) return;
      await setUp(to);
      expect({ killedAt, voters: voters(), wasDown: fake.wasDown }).toEqual({ killedAt, voters: NAMES.slice(0, to), wasDown: false });
    }
  });

  test("adds a member as a learner, starts it once with all members, and promotes it", async () => {
    fake.create("etcd-4", "etcd-5");
    await setUp(5);
    const joining = (name: string): string[] => [`add ${name}`, `stop ${name}`, `start ${name}`, `promote ${name}`];
    expect(fake.log).toEqual([...joining("etcd-4"), ...joining("etcd-5")]);
    expect(fake.containers.get("etcd-4")?.configuration).toMatchObject({
      "data-dir": "/var/lib/etcd/data-added-1",
      "initial-cluster": "etcd-1=http://etcd-1:2380,etcd-2=http://etcd-2:2380,etcd-3=http://etcd-3:2380,etcd-4=http://etcd-4:2380",
      "initial-cluster-state": "existing",
    });
  });

  test("asks again while etcd does not take a member", async () => {
    lose("etcd-2");
    fake.refusals = 2;
    await setUp(3);
    expect(fake.log.filter((line) => line === "add etcd-2")).toHaveLength(3);
  });

  test("joins a member anew whose volume holds the data of an earlier membership", async () => {
    await running(5);
    await setUp(3);
    await setUp(5);
    expect(voters()).toEqual(NAMES);
    expect([...(fake.containers.get("etcd-5") as Container).data]).toEqual([
      ["/var/lib/etcd/data", "first-etcd-5"],
      ["/var/lib/etcd/data-added-2", "added-2"],
    ]);
  });

  test("moves the leadership to a member that stays before the leader goes", async () => {
    await running(5);
    fake.leader = "etcd-5";
    await setUp(3);
    expect(fake.leader).toBe("etcd-1");
  });

  test("restarts members one after the other when the plan's settings change", async () => {
    for (const { configuration } of fake.containers.values()) (configuration as Configuration)["log-level"] = "debug";
    expect(await setUp(3)).toEqual(NAMES.slice(0, 3).map((name) => `${name}: restarted with the plan's settings`));
    expect([fake.wasDown, fake.containers.get("etcd-3")?.configuration?.["log-level"]]).toEqual([false, "warn"]);
  });

  test.each<[string, () => void, RegExp]>([
    ["a missing container", () => fake.containers.delete("etcd-2"), /^etcd-2 has no container: .*--refresh/],
    ["a paused container", () => void ((fake.containers.get("etcd-2") as Container).status = "paused"), /^etcd-2 is paused\. Wake it with: docker unpause etcd-2/],
    ["a member that does not get healthy", () => (fake.containers.get("etcd-2") as Container).data.clear(), /^etcd-2 was not healthy within 0\.3 s; its container is running.*docker volume rm etcd-2-data/],
    ["a lost majority", () => lose("etcd-2", "etcd-3"), /^etcd had no majority within \d s; .*etcd-2, etcd-3 have no data.* docker rm -f etcd-1 && docker volume rm etcd-1-data/],
  ])("names %s and a way on", async (_, change, sentence) => {
    change();
    await expect(setUp(3, 0.3)).rejects.toThrow(sentence);
    expect(fake.log).toEqual([]);
  });
});
