import { patroniGroups, holderName, type StackPlan } from "../topology/plan";
import { docker } from "./docker";

/** Where a fencer says in its holder why it fences nothing; see assets/holder/fencer.py. */
const OFF_FILE = "/run/fencer.off";
const ASK_TIMEOUT_MS = 5000;

/** The members of a stack whose fencer is off, because it cannot tell them from their holder; those whose holder does not answer are left out. */
export async function fencersOff(plan: StackPlan): Promise<string[]> {
  const members = patroniGroups(plan).flatMap((group) => group.members.filter(({ fencer }) => fencer !== undefined));
  const answers = await Promise.all(members.map(({ name }) => docker(["exec", holderName(name), "cat", OFF_FILE], ASK_TIMEOUT_MS)));
  return members.map(({ name }) => name).filter((_, index) => answers[index]?.code === 0);
}
