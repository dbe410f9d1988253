import { isLeader } from "../../cli/patroniCluster";
import { run, lastLine } from "../../cli/run";
import { holderName, type ContainerPlan } from "../../topology/plan";
import { command } from "./command";
import { hold, type Fault } from "./fault";
import { outsideHindrance } from "./outsideHindrance";
import { processes } from "./processes";
import { chooseVictim } from "./victim";

/** Longer than a lease, so that another member leads while the old leader may not know it yet. */
const LEAST_MS = 25_000;
const MOST_MS = 40_000;
/** Marks the rules, so that they are found again whatever became of the run that made them. */
const MARK = "citus-sharding-chaos";
const RULE_TIMEOUT_MS = 10_000;

/**
 * A leader is cut off from etcd, by chance from its standbys too, and from nothing else: its clients, and whoever is on its own
 * machine, still reach it. What it acknowledges to those has to be there afterwards.
 */
export const partition: Fault = {
  name: "partition",
  roles: ["coordinator", "worker"],
  describe: "a leader's packets to and from etcd are dropped, by chance those of its standbys too, until writes are back, but for longer than a lease",
  async aim(scene, role) {
    const hindrance = outsideHindrance(scene.target);
    if (hindrance !== undefined) return { skipped: hindrance };
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, addressed, group, shards } = victim;
    const etcd = scene.target.plan.etcd?.members ?? [];
    if (group === undefined || etcd.length === 0) return { skipped: `${container.name} is a single node, which no etcd knows` };
    const alone = scene.random.next() < 0.5;
    const standbys = group.plan.members.filter(({ name }) => name !== container.name && group.members.some((member) => member.name === name && !isLeader(member)));
    const others = [...etcd, ...(alone ? standbys : [])];
    const addresses = (await Promise.all(others.map((other) => addressesOf(other, scene.target.plan.network)))).flat();
    const [inside] = await processes([addressed]);
    if (inside === undefined) return { skipped: `${addressed} does not run` };
    const iptables = async (...args: string[]): Promise<boolean> => (await run("nsenter", ["--target", String(inside.first), "--net", "iptables", "-w", ...args], { timeoutMs: RULE_TIMEOUT_MS })).code === 0;
    if (!(await iptables("-S"))) return { skipped: "this machine has no nsenter and iptables to drop packets with" };
    const rules = addresses.flatMap((address) => [["INPUT", "-s", address], ["OUTPUT", "-d", address]].map((rule) => [...rule, "-m", "comment", "--comment", MARK, "-j", "DROP"]));
    return {
      targets: [container.name],
      ...(shards !== undefined && { shards }),
      details: { cutOffFrom: alone ? "etcd and its standbys" : "etcd" },
      cutOff: [container.name],
      async inject() {
        for (const rule of rules) {
          const { code, stderr } = await run("nsenter", ["--target", String(inside.first), "--net", "iptables", "-w", "-I", ...rule], { timeoutMs: RULE_TIMEOUT_MS });
          if (code !== 0) throw new Error(`iptables in the network of ${addressed}: ${lastLine(stderr)}`);
        }
      },
      async heal() {
        let removed = 0;
        for (const rule of rules) while (await iptables("-D", ...rule)) removed += 1;
        return removed === 0 ? [] : [`iptables -D of ${removed} rules in the network of ${addressed}`];
      },
      hold: hold(scene, { leastMs: LEAST_MS, mostMs: MOST_MS }),
    };
  },
};

/** A container's addresses on a network. */
async function addressesOf({ name, held }: ContainerPlan, network: string): Promise<string[]> {
  const found = await command(["inspect", "--format", `{{with index .NetworkSettings.Networks "${network}"}}{{.IPAddress}}{{end}}`, held ? holderName(name) : name]);
  return found === "" ? [] : [found];
}
