import { text } from "node:stream/consumers";
import type { PasswordKey, Passwords } from "../config/settings";
import { isDatabase, PASSWORD_VARIABLES, type IdentitySpec, type StackIdentity } from "../topology/identity";
import { acceptedLosses } from "./acceptedLosses";
import { custody, type Circumstances } from "./custody";
import { existing } from "./holdings";
import { isPassword, passwordHash } from "./passwordHash";
import { passwordStandings } from "./passwordStanding";
import { supersededRefusal } from "./superseded";
import { reason, SetupError } from "./setupError";

/** What the program prints for the next update to compare with: a secret output of its resource. */
export interface RecordedIdentity {
  readonly identity: StackIdentity;
  /** A salted hash of each password that the data is known to have, by its key. */
  readonly passwords: Passwords;
}

/**
 * Looks whether the settings on its standard input lead to the data that there is, before anything is touched: ends with one sentence and
 * exit code 1 if they do not. Passwords come in {@link PASSWORD_VARIABLES}; what it printed the last time in PULUMI_COMMAND_STDOUT; images
 * as JSON in CITUS_DATABASE_IMAGES, by their keys, and in CITUS_HOLDER_IMAGE; clusters whose loss is accepted in CITUS_ACCEPT_LOSS.
 */
async function main(): Promise<void> {
  const spec = JSON.parse(await text(process.stdin)) as IdentitySpec;
  const { identity } = spec;
  const { env } = process;
  const printed = env["PULUMI_COMMAND_STDOUT"] ?? "";
  const recorded = printed === "" ? undefined : (JSON.parse(printed) as RecordedIdentity);
  const passwords = Object.entries(PASSWORD_VARIABLES).flatMap(([key, variable]): [PasswordKey, string][] => (env[variable] === undefined ? [] : [[key as PasswordKey, env[variable]]]));
  const [standings, superseded] = await Promise.all([
    passwordStandings(Object.fromEntries(passwords), recorded?.passwords, identity),
    recorded === undefined ? supersededRefusal(spec.held) : undefined,
  ]);
  const keys = passwords.map(([key]) => key);
  const refusal = superseded ?? (await custody(spec, {
    before: recorded?.identity,
    images: JSON.parse(env["CITUS_DATABASE_IMAGES"] ?? "[]") as Circumstances["images"],
    holderImage: env["CITUS_HOLDER_IMAGE"] ?? "",
    changedPasswords: keys.filter((key) => standings.get(key) === "wrong"),
    generatedPasswords: recorded === undefined ? keys.filter((key) => standings.get(key) === "unknown" && !identity.passwords.includes(key)) : [],
    acceptLoss: acceptedLosses(),
  }));
  if (refusal !== undefined) throw new SetupError(refusal);
  // A password that no database has confirmed is known to be the data's only where none is there yet: one that turns out wrong can then be set right.
  const isNew = (await existing(identity.volumes.filter(isDatabase).map(({ name }) => name))).length === 0;
  const known = passwords.filter(([key]) => isNew || standings.get(key) !== "unknown");
  const hashOf = (key: PasswordKey, password: string): string => {
    const hash = recorded?.passwords[key];
    return hash !== undefined && isPassword(password, hash) ? hash : passwordHash(password);
  };
  process.stdout.write(JSON.stringify({ identity, passwords: Object.fromEntries(known.map(([key, password]) => [key, hashOf(key, password)])) } satisfies RecordedIdentity));
}

main().catch((error: unknown) => {
  console.error(error instanceof SetupError ? error.message : `It could not be found out what data the stack has: ${reason(error)}. Nothing was touched`);
  process.exitCode = 1;
});
