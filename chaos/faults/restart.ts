import { command } from "./command";
import type { Fault } from "./fault";
import { chooseVictim } from "./victim";

/** A graceful restart, as for an update. */
export const restart: Fault = {
  name: "restart",
  roles: ["coordinator", "worker"],
  onRequest: ["standby", "worker-standby", "etcd", "haproxy", "guard"],
  describe: "docker restart, as planned: the node stops gracefully",
  async aim(scene, role) {
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, shards } = victim;
    return { targets: [container.name], ...(shards !== undefined && { shards }), inject: async () => void (await command(["restart", container.name])) };
  },
};
