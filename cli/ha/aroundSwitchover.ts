import type { AroundSwitchover } from "../../setup/patroniGroup";
import { whilePaused } from "../pooler";
import type { Group, HighlyAvailable } from "./groups";

/** What happens around a switchover of a group: clients of the pooler, which lead to the coordinators, wait meanwhile. */
export function aroundSwitchover(stack: HighlyAvailable, { plan }: Group): AroundSwitchover {
  return (switchover) => (plan === stack.plan.coordinators ? whilePaused(stack, switchover) : switchover());
}
