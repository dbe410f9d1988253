import type { Settings } from "./settings";

/** Whether a stack has guards: where shards have copies on other workers, and nobody has switched them off. */
export function isGuarded({ guard, replicationFactor }: Settings): boolean {
  return guard && replicationFactor > 1;
}
