import { hold, type Fault, type Scene, type Skipped, type Strike, type TargetRole } from "./fault";
import { killStrike } from "./killStrike";
import { chooseVictim } from "./victim";

/** Who has a successor gets more time to find it than a lease lasts; who has none stays dead for a while, and is started. */
const WITH_SUCCESSOR = { leastMs: 1000, mostMs: 30_000 };
const ALONE = { leastMs: 1000, mostMs: 5000 };
/** Nobody misses it, so that writes going on say nothing. */
const UNMISSED = { leastMs: 3000, mostMs: 5000 };
const MAJORITY_MS = 60_000;

async function aim(scene: Scene, role: TargetRole): Promise<Strike | Skipped> {
  const victim = await chooseVictim(scene, role);
  if ("skipped" in victim) return victim;
  const { container, group, shards } = victim;
  const missed = role === "coordinator" || role === "worker" || role === "haproxy";
  return killStrike([container.name], hold(scene, !missed ? UNMISSED : (group?.members.length ?? 1) > 1 ? WITH_SUCCESSOR : ALONE), shards);
}

export const kill: Fault = {
  name: "kill",
  roles: ["coordinator", "worker", "guard"],
  onRequest: ["standby", "worker-standby", "etcd", "haproxy"],
  describe: "docker kill; dead until the writes are back, or for 5 s where nobody takes over",
  aim,
};

export const standby: Fault = { name: "standby", roles: ["standby", "worker-standby"], describe: "docker kill of a standby, dead for 3 s", aim };

export const etcd: Fault = { name: "etcd", roles: ["etcd"], describe: "docker kill of one member of etcd, dead for 3 s", aim };

export const etcdMajority: Fault = {
  name: "etcd-majority",
  roles: ["etcd"],
  describe: `docker kill of more than half of etcd's members, dead for ${MAJORITY_MS / 1000} s`,
  aim(scene) {
    const members = (scene.target.plan.etcd?.members ?? []).map(({ name }) => name);
    const majority = Math.floor(members.length / 2) + 1;
    const spared = scene.random.pick(members);
    const targets = [...members.filter((name) => name !== spared), ...(spared === undefined ? [] : [spared])].slice(0, majority);
    return Promise.resolve(killStrike(targets, hold(scene, { leastMs: MAJORITY_MS, mostMs: MAJORITY_MS })));
  },
};
