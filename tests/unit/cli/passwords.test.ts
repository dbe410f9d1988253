import { expect, test, vi } from "vitest";
import { changedPasswords, givenPasswords, passwordOf, passwordsIn } from "../../../cli/passwords";
import type { Pulumi } from "../../../cli/pulumi";
import { parseSettings } from "../../../config/parse";
import type { PasswordKey, Passwords } from "../../../config/settings";
import { passwordHash } from "../../../setup/passwordHash";
import { identityOf } from "../../../topology/identity";

// No database answers.
vi.mock("../../../setup/docker", () => ({ docker: () => Promise.resolve({ code: 1, stdout: "", stderr: "" }), inspected: () => Promise.resolve("") }));

test.each<[string, boolean, ReturnType<typeof passwordOf>]>([
  ["superuserPassword=a=b", false, { key: "superuserPassword", value: "a=b" }],
  ["citus-sharding:rewindPassword=w", false, { key: "rewindPassword", value: "w" }],
  ["replicationPassword=007", true, { key: "replicationPassword", value: "007" }],
  ['["superuserPassword"]=p', true, { key: "superuserPassword", value: "p" }],
  ["other:superuserPassword=p", false, undefined],
  ["workers=4", false, undefined],
])("-c %s, by path: %s, sets a password: %j", (option, byPath, password) => {
  expect(passwordOf(option, byPath)).toEqual(password);
});

const printed = JSON.stringify({
  "citus-sharding:topology": { value: "active-passive", secret: false },
  "citus-sharding:superuserPassword": { value: "from the file", secret: true },
  "citus-sharding:rewindPassword": { value: "plain", secret: false },
  "other:superuserPassword": { value: "not ours", secret: true },
});

test("passwords are found in what Pulumi prints of a configuration", () => {
  expect(passwordsIn(printed)).toEqual({ superuserPassword: "from the file", rewindPassword: "plain" });
});

/** A Pulumi that answers every command with this. */
function pulumi(code: number): { pulumi: Pulumi; commands: string[] } {
  const commands: string[] = [];
  const run = (args: readonly string[]) => Promise.resolve({ code, stdout: code === 0 ? printed : "", stderr: "" }).finally(() => commands.push(args.join(" ")));
  return { pulumi: { run } as unknown as Pulumi, commands };
}

test("a stack's passwords are those of its file, and those of -c before them", async () => {
  const { pulumi: runner } = pulumi(0);
  const options = { config: ["workers=4", "superuserPassword=from -c"], configPath: false };
  expect(await givenPasswords(runner, { passwords: ["superuserPassword", "rewindPassword"] }, options)).toEqual({ superuserPassword: "from -c", rewindPassword: "plain" });
});

test("Pulumi is asked only for what -c does not say, and what it cannot read is left out", async () => {
  const none = { config: [], configPath: false };
  const { pulumi: unasked, commands } = pulumi(0);
  expect(await givenPasswords(unasked, { passwords: [] }, none)).toEqual({});
  expect(await givenPasswords(unasked, { passwords: ["superuserPassword"] }, { config: ["superuserPassword=x"], configPath: false })).toEqual({ superuserPassword: "x" });
  expect(commands).toEqual([]);
  expect(await givenPasswords(pulumi(1).pulumi, { passwords: ["superuserPassword"] }, none)).toEqual({});
});

const { settings } = parseSettings({ topology: "active-passive", coordinators: 1, etcdMembers: 1, workers: 1 });
const hashes: Passwords = { superuserPassword: passwordHash("from the file"), replicationPassword: passwordHash("r"), rewindPassword: passwordHash("plain") };

test.each<[string, PasswordKey[], PasswordKey[], Passwords | undefined, string[], PasswordKey[]]>([
  ["the same ones", ["superuserPassword"], ["superuserPassword"], hashes, [], []],
  ["another one in the file", ["rewindPassword"], ["rewindPassword"], { ...hashes, rewindPassword: passwordHash("w") }, [], ["rewindPassword"]],
  ["another one by -c", ["superuserPassword"], ["superuserPassword"], hashes, ["superuserPassword=x"], ["superuserPassword"]],
  ["one in the place of a generated one", [], ["replicationPassword"], hashes, ["replicationPassword=x"], ["replicationPassword"]],
  ["one that is given no more", ["superuserPassword", "rewindPassword"], ["superuserPassword"], hashes, [], ["rewindPassword"]],
  ["one of which nothing tells", ["superuserPassword"], ["superuserPassword"], undefined, ["superuserPassword=x"], []],
])("passwords that changed: %s", async (_, before, now, passwordHashes, config, changed) => {
  const state = { identity: identityOf(settings, before), ...(passwordHashes && { passwordHashes }) };
  expect(await changedPasswords(pulumi(0).pulumi, { settings, passwords: now }, identityOf(settings, now), state, { config, configPath: false })).toEqual(changed);
});

test("before the first update no password has changed", async () => {
  const { pulumi: unasked, commands } = pulumi(0);
  expect(await changedPasswords(unasked, { settings, passwords: ["superuserPassword"] }, identityOf(settings, ["superuserPassword"]), {}, { config: [], configPath: false })).toEqual([]);
  expect(commands).toEqual([]);
});
