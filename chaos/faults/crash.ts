import { command } from "./command";
import type { Fault } from "./fault";
import { outsideHindrance } from "./outsideHindrance";
import { isProcessOf } from "./processes";
import { chooseVictim } from "./victim";

/** The container's first process ends by SIGKILL from outside, so that Docker's restart policy brings it back: for `docker kill` it would not. */
export const crash: Fault = {
  name: "crash",
  roles: ["coordinator", "worker"],
  onRequest: ["standby", "worker-standby", "etcd", "haproxy", "guard"],
  describe: "kill -9 of the container's first process from outside; Docker's restart policy brings it back",
  async aim(scene, role) {
    const hindrance = outsideHindrance(scene.target);
    if (hindrance !== undefined) return { skipped: hindrance };
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, shards } = victim;
    const [id = "", pid = ""] = (await command(["inspect", "--format", "{{.Id}} {{.State.Pid}}", container.name])).split(" ");
    if (!isProcessOf(Number(pid), id)) return { skipped: "the processes of Docker's containers are not this machine's: it runs in a virtual machine" };
    return { targets: [container.name], ...(shards !== undefined && { shards }), inject: async () => void (await Promise.resolve(process.kill(Number(pid), "SIGKILL"))) };
  },
};
