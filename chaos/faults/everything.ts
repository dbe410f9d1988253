import { containersOf } from "../../topology/plan";
import { bringBack, command } from "./command";
import { hold, type Fault, type Scene } from "./fault";

const STOP_SECONDS = 10;
const DEAD_MS = 3000;

const members = ({ target }: Scene): string[] => containersOf(target.plan).map(({ name }) => name);

export const everything: Fault = {
  name: "everything",
  roles: ["stack"],
  describe: `docker restart of every node of the stack at once, ${STOP_SECONDS} s each to stop`,
  aim(scene) {
    const targets = members(scene);
    // With so many at once Docker itself may fail to start one again ("failed to create shim task"), and does not try again.
    const restart = (name: string): Promise<string> => command(["restart", "--time", String(STOP_SECONDS), name]).catch(() => command(["start", name]));
    return Promise.resolve({ targets, inject: async () => void (await Promise.all(targets.map(restart))) });
  },
};

export const everythingKilled: Fault = {
  name: "everything-killed",
  roles: ["stack"],
  describe: `docker kill of every node of the stack at once, all started ${DEAD_MS / 1000} s later`,
  aim(scene) {
    const targets = members(scene);
    return Promise.resolve({
      targets,
      inject: async () => void (await Promise.all(targets.map((name) => command(["kill", name])))),
      heal: () => bringBack(targets),
      hold: hold(scene, { leastMs: DEAD_MS, mostMs: DEAD_MS }),
    });
  },
};
