import { readFileSync } from "node:fs";
import { command } from "./command";
import type { Fault } from "./fault";
import { chooseVictim } from "./victim";

/** The container's first process ends by SIGKILL from outside, so that Docker's restart policy brings it back: for `docker kill` it would not. */
export const crash: Fault = {
  name: "crash",
  roles: ["coordinator", "worker"],
  onRequest: ["standby", "worker-standby", "etcd", "haproxy", "guard"],
  describe: "kill -9 of the container's first process from outside; Docker's restart policy brings it back",
  async aim(scene, role) {
    if (!scene.target.local) return { skipped: "Docker runs on another machine, and a container's first process can be ended on its own machine only" };
    if (process.getuid?.() !== 0) return { skipped: "ending a container's first process from outside takes root: run it with sudo" };
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, shards } = victim;
    const [id = "", pid = ""] = (await command(["inspect", "--format", "{{.Id}} {{.State.Pid}}", container.name])).split(" ");
    if (!isProcessOf(Number(pid), id)) return { skipped: "the processes of Docker's containers are not this machine's: it runs in a virtual machine" };
    return { targets: [container.name], ...(shards !== undefined && { shards }), inject: async () => void (await Promise.resolve(process.kill(Number(pid), "SIGKILL"))) };
  },
};

/** Whether a process of this machine is one of a container: its control group says so. */
function isProcessOf(pid: number, containerId: string): boolean {
  try {
    return pid > 1 && readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(containerId);
  } catch {
    return false;
  }
}
