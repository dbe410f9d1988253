import { bringBack, command } from "./command";
import { hold, type Fault } from "./fault";
import { outsideHindrance } from "./outsideHindrance";
import { processes } from "./processes";
import { chooseVictim } from "./victim";

const DEAD_MS = 3000;

/** What owns a member's address and PID namespace is killed, and the member ends with it. */
export const holder: Fault = {
  name: "holder",
  roles: ["coordinator", "worker"],
  onRequest: ["standby", "worker-standby", "haproxy"],
  describe: `docker kill of the holder of a member, which ends with it; both started ${DEAD_MS / 1000} s later`,
  async aim(scene, role) {
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, addressed, shards } = victim;
    if (!container.held) return { skipped: `${container.name} has no holder` };
    return {
      targets: [addressed, container.name],
      ...(shards !== undefined && { shards }),
      inject: async () => void (await command(["kill", addressed])),
      heal: () => bringBack([addressed, container.name]),
      hold: hold(scene, { leastMs: DEAD_MS, mostMs: DEAD_MS }),
    };
  },
};

/** The same as a crash: Docker's restart policy has to bring both back. */
export const holderCrash: Fault = {
  name: "holder-crash",
  roles: ["coordinator", "worker"],
  onRequest: ["standby", "worker-standby", "haproxy"],
  describe: "kill -9 of the first process of a member's holder from outside; Docker's restart policy brings both back",
  async aim(scene, role) {
    const hindrance = outsideHindrance(scene.target);
    if (hindrance !== undefined) return { skipped: hindrance };
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, addressed, shards } = victim;
    if (!container.held) return { skipped: `${container.name} has no holder` };
    const [found] = await processes([addressed]);
    return {
      targets: [addressed, container.name],
      ...(shards !== undefined && { shards }),
      inject: async () => void (await Promise.resolve(found !== undefined && process.kill(found.first, "SIGKILL"))),
    };
  },
};
