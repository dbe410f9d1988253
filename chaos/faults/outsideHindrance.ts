import type { Target } from "../target";

/** Why what happens in containers cannot be reached from outside, from this machine; undefined if it can. */
export function outsideHindrance({ local }: Pick<Target, "local">): string | undefined {
  if (!local) return "Docker runs on another machine, and a container's processes can be reached from outside on its own machine only";
  if (process.getuid?.() !== 0) return "reaching a container's processes from outside takes root: run it with sudo";
  return undefined;
}
