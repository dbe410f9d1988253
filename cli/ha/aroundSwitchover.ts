import type { AroundSwitchover } from "../../setup/patroniGroup";
import type { Group, HighlyAvailable } from "./groups";

/** What a stack has in front of a group that wants to know of a switchover before it happens: nothing. */
export function aroundSwitchover(_stack: HighlyAvailable, _group: Group): AroundSwitchover {
  return (switchover) => switchover();
}
