import type { PasswordKey, Passwords } from "../config/settings";
import { inspected } from "./docker";

/** The variables of a database's container that hold a password. */
const VARIABLES: Readonly<Record<string, PasswordKey>> = {
  PGPASSWORD: "superuserPassword",
  PATRONI_SUPERUSER_PASSWORD: "superuserPassword",
  PATRONI_REPLICATION_PASSWORD: "replicationPassword",
  PATRONI_REWIND_PASSWORD: "rewindPassword",
};

/**
 * The passwords that live containers were made with; those that do not exist are left out.
 *
 * @throws {@link SetupError} if Docker does not tell.
 */
export async function passwordsInUse(containers: readonly string[]): Promise<Passwords> {
  if (containers.length === 0) return {};
  const variables = await inspected("container", "{{json .Config.Env}}", containers);
  return passwordsIn(variables.split("\n").filter((line) => line !== "").flatMap((line) => (JSON.parse(line) as string[] | null) ?? []));
}

/** The passwords among environment variables, `NAME=value` each. */
export function passwordsIn(variables: readonly string[]): Passwords {
  const found = variables.flatMap((variable): [PasswordKey, string][] => {
    const equals = variable.indexOf("=");
    const key = VARIABLES[variable.slice(0, equals)];
    return key === undefined ? [] : [[key, variable.slice(equals + 1)]];
  });
  return Object.fromEntries(found);
}
