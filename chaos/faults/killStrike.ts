import { bringBack, command } from "./command";
import type { Hold, Strike } from "./fault";

/** `docker kill`, which Docker takes for a wish: the containers stay dead until they are started. */
export function killStrike(targets: readonly string[], time: Hold, shards?: readonly string[]): Strike {
  return {
    targets,
    ...(shards !== undefined && { shards }),
    inject: async () => void (await command(["kill", ...targets])),
    heal: () => bringBack(targets),
    hold: time,
  };
}
