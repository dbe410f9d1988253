import { setTimeout as delay } from "node:timers/promises";
import { isLeader, patroniCluster } from "../../cli/patroniCluster";
import { containersOf, holderName, patroniGroups, type PatroniPlan } from "../../topology/plan";
import type { Random } from "../random";
import { bringBack, command } from "./command";
import { type CutExtent, type Fault, type Scene } from "./fault";
import { outsideHindrance } from "./outsideHindrance";
import { processes, type ContainerProcesses } from "./processes";
import { farBehind } from "./restartPoints";

/** How much later than the first standbys the others are killed, at the most. */
const MOST_GAP_MS = 25;
/** How late former leaders come back, where they come late; and the standbys that have the most to replay. */
const LEADER_LATE_MS = { from: 4000, to: 7000 };
const FAR_LATE_MS = 1500;
/** How long after every shard has taken a write everything is killed again, where it is: a new leader may not have told etcd yet who is with it. */
const MOST_AGAIN_MS = 2000;
const AGAIN_WITHIN_MS = 60_000;
/** What a standby has to replay of its own log at the least, where it is to be far behind. */
const FAR_BYTES = 200 * 1024 * 1024;

/** Who is who in a group, as a cut is shaped. */
interface Shape {
  readonly leader: string;
  /** A standby that has just made a restart point. */
  readonly near?: string;
  /** A standby whose restart point is far back. */
  readonly far?: string;
}

/**
 * Everything dies at once, as when the power goes, and comes back by Docker's restart policy. Shaped cuts look for the moment
 * in which a standby counts that has not replayed its own log: one standby of each group dies some milliseconds before the
 * others, in one group having just made a restart point while the other standby's is far back, and the former leaders come back late. Some come twice,
 * the second time as soon as every shard has taken a write.
 */
export const powerCut: Fault = {
  name: "power-cut",
  roles: ["stack"],
  describe: "kill -9 of every process of the databases in one call; Docker's restart policy brings them back",
  async aim(scene) {
    const hindrance = outsideHindrance(scene.target);
    if (hindrance !== undefined) return { skipped: hindrance };
    const { plan } = scene.target;
    const extent = scene.random.pick(scene.cuts ?? (["databases"] as const)) ?? "databases";
    const targets = cutContainers(scene, extent);
    const shapes = scene.shaped === true ? await Promise.all(patroniGroups(plan).map((group) => shapeOf(group, scene.random))) : [];
    // Of one group: writing so much to all of them at once keeps a small machine busy for minutes.
    const apart = shapes.length > 0 && scene.random.next() < 0.5 ? scene.random.between(0, shapes.length - 1) : undefined;
    const late = shapes.length > 0 && scene.random.next() < 0.75;
    const gapMs = shapes.length > 0 ? scene.random.between(0, MOST_GAP_MS) : 0;
    const leaderLateMs = late ? scene.random.between(LEADER_LATE_MS.from, LEADER_LATE_MS.to) : 0;
    const againMs = shapes.length > 0 && scene.random.next() < 0.25 ? scene.random.between(0, MOST_AGAIN_MS) : undefined;
    const only = scene.random.next() < 0.5 ? "first process" : "all processes";
    const near = shapes.flatMap((shape) => shape.near ?? []);
    const far = apart === undefined ? undefined : shapes[apart]?.far;
    const delays = new Map(late ? [...shapes.map(({ leader }): [string, number] => [leader, leaderLateMs]), ...(far === undefined ? [] : [[far, FAR_LATE_MS] as [string, number]])] : []);
    let dying: ContainerProcesses[] = [];
    let [policy, again] = ["", false];
    const kill = (chosen: readonly ContainerProcesses[]): void => {
      for (const { first, all } of chosen) for (const pid of only === "first process" ? [first] : all) end(pid);
    };
    let returning: Promise<unknown> = Promise.resolve();
    return {
      targets,
      details: { cut: extent, kills: only, ...(shapes.length > 0 && { farBack: far ?? "nobody", gapMs, leaderLateMs, ...(againMs !== undefined && { againMs }) }) },
      async prepare() {
        if (apart !== undefined) await farBehind(patroniGroups(plan)[apart] as PatroniPlan, shapes[apart] as Shape, FAR_BYTES);
        if (delays.size > 0) {
          policy = (await command(["inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", ...delays.keys()])).split("\n")[0] ?? "";
          await command(["update", "--restart", "no", ...delays.keys()]);
        }
        dying = await processes(targets);
      },
      async inject() {
        again = againMs !== undefined;
        kill(dying.filter(({ name }) => near.includes(name)));
        if (gapMs > 0) await delay(gapMs);
        kill(dying.filter(({ name }) => !near.includes(name)));
        returning = Promise.all([...delays].map(([name, ms]) => delay(ms).then(() => command(["start", name]))));
        returning.catch(() => undefined);
        await Promise.resolve();
      },
      async heal() {
        await returning.catch(() => undefined);
        if (policy !== "") await command(["update", "--restart", policy, ...delays.keys()]);
        const help = await bringBack([...delays.keys()]);
        if (!again) return help;
        again = false;
        await delay(againMs ?? 0);
        // One that is not back yet has no process to kill.
        kill((await Promise.all(targets.map((name) => processes([name]).catch(() => [])))).flat());
        return help;
      },
      hold: { leastMs: 0, mostMs: againMs === undefined ? 0 : AGAIN_WITHIN_MS },
    };
  },
};

function cutContainers({ target: { plan } }: Scene, extent: CutExtent): string[] {
  const all = containersOf(plan);
  if (extent === "everything") return all.flatMap(({ name, held }) => (held ? [name, holderName(name)] : [name]));
  return all.filter(({ role }) => role === "coordinator" || role === "worker" || role === "member" || (role === "etcd" && extent === "etcd")).map(({ name }) => name);
}

/** A group's leader, and by chance one standby to be near and one to be far. */
async function shapeOf(group: PatroniPlan, random: Random): Promise<Shape> {
  const members = await patroniCluster(group.members.map(({ name }) => name));
  const leader = members?.find(isLeader)?.name;
  if (leader === undefined) throw new Error(`${group.name} has no leader`);
  const standbys = group.members.map(({ name }) => name).filter((name) => name !== leader);
  const near = random.pick(standbys);
  const far = random.pick(standbys.filter((name) => name !== near));
  return { leader, ...(near !== undefined && { near }), ...(far !== undefined && { far }) };
}

/** Ends a process, if it is still there. */
function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ESRCH") throw error;
  }
}
