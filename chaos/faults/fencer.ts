import { command } from "./command";
import type { Fault } from "./fault";
import { chooseVictim } from "./victim";

/** Ends whatever of the holder's processes is the fencer's program. */
const KILL_FENCER = `for process in /proc/[0-9]*; do if tr '\\0' ' ' <"$process/cmdline" | grep -q '^python3 .*fencer'; then kill -9 "\${process#/proc/}" && echo killed; fi; done`;

/** The fencer of a leader ends, which nobody but the holder may notice: it begins anew. */
export const fencer: Fault = {
  name: "fencer",
  roles: ["fencer"],
  describe: "kill -9 of the fencer in a leader's holder",
  async aim(scene, role) {
    const victim = await chooseVictim(scene, role);
    if ("skipped" in victim) return victim;
    return {
      targets: [victim.addressed],
      async inject() {
        if ((await command(["exec", "--user", "root", victim.addressed, "sh", "-c", KILL_FENCER])) === "") throw new Error(`no fencer runs in ${victim.addressed}`);
      },
    };
  },
};
