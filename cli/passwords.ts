import { PASSWORD_KEYS, type PasswordKey, type Passwords } from "../config/settings";
import { passwordStandings } from "../setup/passwordStanding";
import type { StackIdentity } from "../topology/identity";
import { PROJECT_NAME } from "./project";
import type { Pulumi } from "./pulumi";
import type { ConfigurationOptions, Stack } from "./stack";
import { optionOf } from "./stackConfiguration";
import type { State } from "./state";

const KEYS = new Map(Object.values(PASSWORD_KEYS).flatMap((keys) => keys.map((key): [string, PasswordKey] => [`${PROJECT_NAME}:${key}`, key])));

/** The password that an option `-c` sets; undefined if it sets something else. */
export function passwordOf(option: string, configPath: boolean): { readonly key: PasswordKey; readonly value: string } | undefined {
  const { key: name, value } = optionOf(option, PROJECT_NAME, configPath);
  const key = KEYS.get(name);
  return key && { key, value };
}

/** The passwords in what `pulumi config --show-secrets --json` printed. */
export function passwordsIn(printed: string): Passwords {
  const configuration = JSON.parse(printed) as Readonly<Record<string, { readonly value?: string }>>;
  return Object.fromEntries(
    [...KEYS].flatMap(([name, key]): [PasswordKey, string][] => {
      const value = configuration[name]?.value;
      return value === undefined ? [] : [[key, value]];
    }),
  );
}

/** The passwords that a stack is given: by `-c`, and in its file, where Pulumi has to read those that are encrypted. What it cannot read is left out. */
export async function givenPasswords(pulumi: Pulumi, { passwords }: Pick<Stack, "passwords">, { config, configPath }: ConfigurationOptions): Promise<Passwords> {
  const options: Passwords = Object.fromEntries(config.flatMap((option) => passwordOf(option, configPath) ?? []).map(({ key, value }) => [key, value]));
  if (passwords.every((key) => options[key] !== undefined)) return options;
  const { code, stdout } = await pulumi.run(["config", "--show-secrets", "--json"]);
  return { ...(code === 0 && passwordsIn(stdout)), ...options };
}

/** Passwords that are other ones than the data has, as far as can be told without those that are generated: the update asks of all. */
export async function changedPasswords(
  pulumi: Pulumi,
  stack: Pick<Stack, "settings" | "passwords">,
  now: StackIdentity,
  { identity: before, passwordHashes }: Pick<State, "identity" | "passwordHashes">,
  options: ConfigurationOptions,
): Promise<PasswordKey[]> {
  if (before === undefined) return [];
  const standings = await passwordStandings(await givenPasswords(pulumi, stack, options), passwordHashes, now);
  // Where one was given and is not any more, another one would be generated.
  const isWithdrawn = (key: PasswordKey): boolean => before.passwords.includes(key) && !stack.passwords.includes(key);
  return PASSWORD_KEYS[stack.settings.topology].filter((key) => standings.get(key) === "wrong" || isWithdrawn(key));
}
