import { setTimeout as delay } from "node:timers/promises";
import { reason } from "../../setup/setupError";
import { crash } from "./crash";
import type { Fault, Scene, Skipped, Strike, TargetRole } from "./fault";
import { kill } from "./kill";
import { partition } from "./partition";
import { pause } from "./pause";
import { postmaster } from "./postmaster";
import { hasRole } from "./victim";

const FAULTS: readonly Fault[] = [postmaster, crash, kill, pause, partition];
const ROLES: readonly TargetRole[] = ["coordinator", "worker", "standby", "worker-standby", "etcd"];
const MOST_APART_MS = 5000;
const ATTEMPTS = 20;

/** A second fault before the first has healed: what is struck is chosen while everything is whole. */
export const twoFaults: Fault = {
  name: "two-faults",
  roles: ["stack"],
  describe: `two faults by chance on two nodes, the second up to ${MOST_APART_MS / 1000} s after the first`,
  async aim(scene) {
    const first = await anyStrike(scene, []);
    if ("skipped" in first) return first;
    const second = await anyStrike(scene, first.strike.targets);
    if ("skipped" in second) return second;
    const apartMs = scene.random.between(0, MOST_APART_MS);
    const strikes = [first.strike, second.strike];
    const help: string[] = [];
    return {
      targets: strikes.flatMap(({ targets }) => targets),
      details: { first: first.name, second: second.name, apartMs },
      cutOff: strikes.flatMap(({ cutOff = [] }) => cutOff),
      async inject() {
        await first.strike.inject();
        await delay(apartMs);
        // What the first fault did may have taken the second one's target: then that is no fault of the stack's.
        await second.strike.inject().catch((error: unknown) => help.push(`nothing, since ${second.name} could not happen: ${reason(error)}`));
      },
      async heal() {
        const done = await Promise.all(strikes.map(({ heal }) => heal?.() ?? Promise.resolve([])));
        return [...help, ...done.flat()];
      },
      hold: { leastMs: Math.max(...strikes.map((strike) => strike.hold?.leastMs ?? 0)), mostMs: Math.max(...strikes.map((strike) => strike.hold?.mostMs ?? 0)) },
    };
  },
};

/** Any fault on any node but some. */
async function anyStrike(scene: Scene, but: readonly string[]): Promise<{ name: string; strike: Strike } | Skipped> {
  const choices = FAULTS.flatMap((fault) => [...fault.roles, ...(fault.onRequest ?? [])].filter((role) => ROLES.includes(role) && hasRole(scene.target.plan, scene.target.clusters, role)).map((role) => ({ fault, role })));
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const choice = scene.random.pick(choices);
    const strike = await choice?.fault.aim(scene, choice.role);
    if (choice === undefined || strike === undefined || "skipped" in strike || strike.targets.some((target) => but.includes(target))) continue;
    return { name: `${choice.fault.name} of ${choice.role} ${strike.targets.join(", ")}`, strike };
  }
  return { skipped: "no two nodes were found that could be struck" };
}
