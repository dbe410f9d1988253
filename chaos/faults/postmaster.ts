import { command } from "./command";
import type { Fault } from "./fault";
import { chooseVictim } from "./victim";

/** PostgreSQL's first process ends by SIGKILL; the container's may be another one, Patroni. */
export const postmaster: Fault = {
  name: "postmaster",
  roles: ["coordinator", "worker"],
  onRequest: ["standby", "worker-standby"],
  describe: "kill -9 of PostgreSQL's first process",
  async aim(scene, role) {
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, shards } = victim;
    const find = `head -qn1 $(find ${container.volume?.path ?? "/var/lib/postgresql"} -maxdepth 3 -name postmaster.pid)`;
    const pid = (await command(["exec", container.name, "sh", "-c", find])).trim();
    if (!/^\d+$/.test(pid)) return { skipped: `the postmaster of ${container.name} was not found` };
    return { targets: [container.name], ...(shards !== undefined && { shards }), inject: async () => void (await killInside(container.name, pid)) };
  },
};

async function killInside(container: string, pid: string): Promise<void> {
  // The container may end with the process, and the command with it: 137 says that the kill has worked.
  await command(["exec", container, "sh", "-c", `kill -9 ${pid}`]).catch(async (error: unknown) => {
    const alive = await command(["exec", container, "sh", "-c", `kill -0 ${pid} && echo alive || true`]).catch(() => "");
    if (alive === "alive") throw error;
  });
}
