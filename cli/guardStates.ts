import { STATE_FILE, type GuardState } from "../agents/guard/state";
import { docker } from "./docker";

const ASK_TIMEOUT_MS = 5000;

/** What guards know, by the name of their container; those that do not answer are left out. */
export async function guardStates(containers: readonly string[]): Promise<ReadonlyMap<string, GuardState>> {
  const answers = await Promise.all(
    containers.map(async (container): Promise<[string, GuardState][]> => {
      const { code, stdout } = await docker(["exec", container, "cat", STATE_FILE], ASK_TIMEOUT_MS);
      return code === 0 ? [[container, JSON.parse(stdout) as GuardState]] : [];
    }),
  );
  return new Map(answers.flat());
}
