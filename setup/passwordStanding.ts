import type { PasswordKey, Passwords } from "../config/settings";
import { isDatabase, type StackIdentity } from "../topology/identity";
import { isPassword } from "./passwordHash";
import { passwordsInUse } from "./passwordsInUse";
import { passwordVerifiers } from "./passwordVerifiers";
import { isScramPassword } from "./scram";

/** Whether a password is the one that a stack's data has; `unknown` where nothing tells. */
export type PasswordStanding = "right" | "wrong" | "unknown";

/** What tells of one password. */
export interface PasswordEvidence {
  /** The hash that the last update recorded. */
  readonly hash?: string | undefined;
  /** What databases that answer keep of it. */
  readonly verifiers: readonly string[];
  /** The password that the containers were made with. */
  readonly inUse?: string | undefined;
}

/**
 * How a password stands. A database knows its own best: it may have been given another one by hand since it was recorded. One database that
 * confirms a password is enough, because others may have been made with a wrong one since.
 */
export function passwordStanding(password: string, { hash, verifiers, inUse }: PasswordEvidence): PasswordStanding {
  if (hash !== undefined && isPassword(password, hash)) return "right";
  if (verifiers.length > 0) return verifiers.some((verifier) => isScramPassword(password, verifier)) ? "right" : "wrong";
  if (hash !== undefined) return "wrong";
  return inUse === undefined ? "unknown" : inUse === password ? "right" : "wrong";
}

/**
 * How passwords stand to the data of a stack. Databases are asked only where a hash does not settle it.
 *
 * @param hashes what the last update recorded, with no hash of a password that nothing had proved: the containers were made with that one all
 * the same, and tell nothing. Undefined where an older version of the project made the stack, or none.
 */
export async function passwordStandings(passwords: Passwords, hashes: Passwords | undefined, { volumes }: StackIdentity): Promise<ReadonlyMap<PasswordKey, PasswordStanding>> {
  const given = Object.entries(passwords) as [PasswordKey, string][];
  const settled = given.every(([key, password]) => hashes?.[key] !== undefined && isPassword(password, hashes[key]));
  if (settled) return new Map(given.map(([key]) => [key, "right"]));
  const containers = volumes.filter(isDatabase).map(({ container }) => container);
  const [verifiers, inUse] = await Promise.all([passwordVerifiers(containers), hashes === undefined ? passwordsInUse(containers) : undefined]);
  return new Map(given.map(([key, password]) => [key, passwordStanding(password, { hash: hashes?.[key], verifiers: verifiers[key], inUse: inUse?.[key] })]));
}
