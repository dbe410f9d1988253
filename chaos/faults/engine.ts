import { lastLine, run } from "../../cli/run";
import { containersOf } from "../../topology/plan";
import type { Fault } from "./fault";

/** Longer than an engine takes to stop every container gracefully and to start them. */
const TIMEOUT_MS = 180_000;

/** The engine itself restarts, by a command that only the machine's user knows. */
export const engine: Fault = {
  name: "engine",
  roles: ["stack"],
  describe: "the Docker engine restarts, by the command of --engine-restart",
  aim({ target, engineRestart }) {
    if (engineRestart === undefined) return Promise.resolve({ skipped: 'how this machine restarts its Docker engine is not known: --engine-restart "systemctl restart docker", for example' });
    return Promise.resolve({
      targets: containersOf(target.plan).map(({ name }) => name),
      async inject() {
        const { code, stderr } = await run("sh", ["-c", engineRestart], { timeoutMs: TIMEOUT_MS });
        if (code !== 0) throw new Error(`the command of --engine-restart ended with ${code}: ${lastLine(stderr)}`);
      },
    });
  },
};
