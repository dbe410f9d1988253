import { text } from "node:stream/consumers";
import type { PasswordKey } from "../config/settings";
import { isDatabase, PASSWORD_VARIABLES, type IdentitySpec, type StackIdentity } from "../topology/identity";
import { acceptedLosses } from "./acceptedLosses";
import { custody, type Circumstances } from "./custody";
import { passwordsInUse } from "./passwordsInUse";
import { isPassword, passwordHash } from "./passwordHash";
import { supersededRefusal } from "./superseded";
import { reason, SetupError } from "./setupError";

/** What the program prints for the next update to compare with: a secret output of its resource. */
export interface RecordedIdentity {
  readonly identity: StackIdentity;
  /** A salted hash of each password, by its key. */
  readonly passwords: Readonly<Partial<Record<PasswordKey, string>>>;
}

/**
 * Looks whether the settings on its standard input lead to the data that there is, before anything is touched: ends with one sentence and
 * exit code 1 if they do not. Passwords come in {@link PASSWORD_VARIABLES}; what it printed the last time in PULUMI_COMMAND_STDOUT; images
 * as JSON in CITUS_DATABASE_IMAGES, by their keys, and in CITUS_HOLDER_IMAGE; clusters whose loss is accepted in CITUS_ACCEPT_LOSS.
 */
async function main(): Promise<void> {
  const spec = JSON.parse(await text(process.stdin)) as IdentitySpec;
  const { env } = process;
  const printed = env["PULUMI_COMMAND_STDOUT"] ?? "";
  const recorded = printed === "" ? undefined : (JSON.parse(printed) as RecordedIdentity);
  const passwords = Object.entries(PASSWORD_VARIABLES).flatMap(([key, variable]): [PasswordKey, string][] => (env[variable] === undefined ? [] : [[key as PasswordKey, env[variable]]]));
  const [inUse, superseded] = recorded === undefined ? await Promise.all([passwordsInUse(spec.identity.volumes.filter(isDatabase).map(({ container }) => container)), supersededRefusal(spec.held)]) : [{}];
  const isChanged = ([key, password]: [PasswordKey, string]): boolean => {
    const hash = recorded?.passwords[key];
    return hash === undefined ? (inUse[key] ?? password) !== password : !isPassword(password, hash);
  };
  const refusal = superseded ?? (await custody(spec, {
    before: recorded?.identity,
    images: JSON.parse(env["CITUS_DATABASE_IMAGES"] ?? "[]") as Circumstances["images"],
    holderImage: env["CITUS_HOLDER_IMAGE"] ?? "",
    changedPasswords: passwords.filter(isChanged).map(([key]) => key),
    acceptLoss: acceptedLosses(),
  }));
  if (refusal !== undefined) throw new SetupError(refusal);
  const hashes = passwords.map((entry) => [entry[0], (!isChanged(entry) && recorded?.passwords[entry[0]]) || passwordHash(entry[1])]);
  process.stdout.write(JSON.stringify({ identity: spec.identity, passwords: Object.fromEntries(hashes) as RecordedIdentity["passwords"] } satisfies RecordedIdentity));
}

main().catch((error: unknown) => {
  console.error(error instanceof SetupError ? error.message : `It could not be found out what data the stack has: ${reason(error)}. Nothing was touched`);
  process.exitCode = 1;
});
