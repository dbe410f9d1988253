import { bringBack, command } from "./command";
import { hold, type Fault } from "./fault";
import { chooseVictim } from "./victim";

const HOLD_MS = 8000;

/** A node freezes: its address takes connections, and nothing answers. */
export const pause: Fault = {
  name: "pause",
  roles: ["coordinator", "worker"],
  onRequest: ["standby", "worker-standby", "etcd", "haproxy", "guard"],
  describe: `docker pause, for ${HOLD_MS / 1000} s`,
  async aim(scene, role) {
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, shards } = victim;
    return {
      targets: [container.name],
      ...(shards !== undefined && { shards }),
      inject: async () => void (await command(["pause", container.name])),
      heal: () => thaw(container.name),
      hold: hold(scene, { leastMs: HOLD_MS, mostMs: HOLD_MS }),
    };
  },
};

/** Who fences a frozen node may have ended it: then it is theirs to start again, and there is nothing to resume. */
async function thaw(name: string): Promise<readonly string[]> {
  return (await command(["inspect", "--format", "{{.State.Status}}", name])) === "paused" ? bringBack([name]) : [];
}
