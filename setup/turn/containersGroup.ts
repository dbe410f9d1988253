import type { TurnGroup } from "../../topology/plan";
import { healthOf } from "./existing";
import { PATIENCE_SECONDS, type Group, type Verdict } from "./group";

/** Whether a container may be replaced: every other one is healthy, as Docker says (`healthy`, `starting`, `unhealthy`). */
export function judgeContainers(container: string, health: ReadonlyMap<string, string>): Verdict {
  const late = [...health].find(([name, state]) => name !== container && state !== "healthy");
  return late === undefined ? { kind: "go" } : { kind: "wait", member: late[0], because: `is ${late[1]}`, limitSeconds: PATIENCE_SECONDS };
}

/** Live containers that need each other in nothing, of which one is about to be replaced. */
export function containersGroup(container: string, { containers }: Extract<TurnGroup, { kind: "containers" }>): Group {
  return {
    async look() {
      return judgeContainers(container, await healthOf(containers));
    },
  };
}
