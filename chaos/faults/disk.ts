import { command } from "./command";
import { hold, type Fault } from "./fault";
import { chooseVictim } from "./victim";

const HOLD_MS = 8000;
/** A file system that is larger is the machine's own, and filling it would hit more than the stack. */
const LARGEST_KB = 8 * 1024 * 1024;

/** The disk of a member is full. */
export const diskFull: Fault = {
  name: "disk-full",
  roles: ["coordinator", "worker"],
  onRequest: ["standby", "worker-standby"],
  describe: `the file system of the node's volume is filled, for ${HOLD_MS / 1000} s`,
  async aim(scene, role) {
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    const { container, shards } = victim;
    const directory = container.volume?.path ?? "";
    const sizeKb = Number((await command(["exec", container.name, "df", "-Pk", directory])).split("\n").at(-1)?.split(/\s+/)[1]);
    if (!(sizeKb <= LARGEST_KB)) {
      return { skipped: `the data of ${container.name} is on a file system of ${Math.round(sizeKb / 1024 / 1024)} GB that it shares with this machine, and filling that would hit more than the stack` };
    }
    const file = `${directory}/chaos-fill`;
    return {
      targets: [container.name],
      ...(shards !== undefined && { shards }),
      // dd ends with an error when the file system is full, which is what it is for.
      inject: async () => void (await command(["exec", "--user", "root", container.name, "sh", "-c", `dd if=/dev/zero of=${file} bs=1M 2>/dev/null || true`])),
      async heal() {
        const removed = await command(["exec", "--user", "root", container.name, "sh", "-c", `test ! -e ${file} || { rm ${file} && echo removed; }`]);
        return removed === "" ? [] : [`rm ${file} in ${container.name}`];
      },
      hold: hold(scene, { leastMs: HOLD_MS, mostMs: HOLD_MS }),
    };
  },
};
