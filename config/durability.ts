import type { Settings } from "./settings";

/** A parameter with which PostgreSQL acknowledges a write that a crash or a failover can lose. */
export interface LossyParameter {
  /** The setting's full key: `workerParameters.fsync`. */
  readonly key: string;
  readonly name: string;
  readonly value: string;
}

/** Whether PostgreSQL reads a value of a boolean parameter as off: it takes the beginnings of words as well. */
function isOff(value: string): boolean {
  return value === "0" || (value !== "" && value !== "o" && ["off", "false", "no"].some((word) => word.startsWith(value)));
}

const LOSSY: Readonly<Record<string, (value: string) => boolean>> = {
  synchronous_commit: (value) => isOff(value) || value === "local",
  fsync: isOff,
  full_page_writes: isOff,
};

/** The parameters of a stack with which it acknowledges what it can lose. */
export function lossyParameters(settings: Settings): LossyParameter[] {
  const keys = ["parameters", "coordinatorParameters", "workerParameters"] as const;
  const isOverridden = (name: string): boolean => name in settings.coordinatorParameters && name in settings.workerParameters;
  return keys.flatMap((key) =>
    Object.entries(settings[key])
      .filter(([name, value]) => LOSSY[name]?.(value.toLowerCase()) === true && !(key === "parameters" && isOverridden(name)))
      .map(([name, value]) => ({ key: `${key}.${name}`, name, value })),
  );
}
