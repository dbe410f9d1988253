import { RELOAD } from "../../topology/haproxy";
import { command } from "./command";
import type { Fault } from "./fault";
import { chooseVictim } from "./victim";

/** HAProxy's master replaces its worker; sessions of the old one go on. */
export const reload: Fault = {
  name: "haproxy-reload",
  roles: ["haproxy"],
  describe: "HAProxy loads its configuration anew (SIGUSR2 to its master)",
  async aim(scene, role) {
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { name } = victim.container;
    return { targets: [name], inject: async () => void (await command(["exec", "--user", "root", name, ...RELOAD])) };
  },
};
