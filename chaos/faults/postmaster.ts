import { command } from "./command";
import type { Fault } from "./fault";
import { chooseVictim } from "./victim";

/** How long a look inside the container may take; it ends with the container, mostly. */
const LOOK_TIMEOUT_MS = 2000;

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

/** Detached: Docker may not notice that a command has ended whose container ended with it, and would wait for it. */
async function killInside(container: string, pid: string): Promise<void> {
  await command(["exec", "--detach", container, "sh", "-c", `kill -9 ${pid}`]);
  const alive = await command(["exec", container, "sh", "-c", `sleep 0.1; grep -q '^State:.[^ZX]' /proc/${pid}/status && echo alive || true`], LOOK_TIMEOUT_MS).catch(() => "");
  if (alive.trim() === "alive") throw new Error(`the postmaster of ${container}, process ${pid}, is still there`);
}
