import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { PasswordKey, Passwords } from "../../../config/settings";
import type { RecordedIdentity } from "../../../setup/identity";
import { isPassword, passwordHash } from "../../../setup/passwordHash";
import type { StackIdentity } from "../../../topology/identity";

const PROJECT = path.resolve(__dirname, "../../..");
/** What a database keeps of the password `pencil`: RFC 7677's example. */
const PENCIL = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

const identityOf = (passwords: readonly PasswordKey[]): StackIdentity => ({
  topology: "active-active",
  prefix: "",
  clusters: ["a"],
  postgresMajor: 17,
  passwords,
  volumes: [{ name: "coord_a-data", container: "coord_a", role: "coordinator", cluster: "a" }],
});

/** What there is on Docker. */
interface Surroundings {
  /** The volume holds a database. */
  readonly data?: boolean;
  /** The container runs, made with this password. */
  readonly madeWith?: string;
  /** Its database answers, with the password `pencil`. */
  readonly answers?: boolean;
}

// Each starts the program, some twice.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "identity-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Puts a docker on the PATH that knows one coordinator and its volume. */
function fake({ data = false, madeWith, answers = false }: Surroundings): void {
  const script = [
    `case "$1" in`,
    `ps) ${madeWith === undefined ? ":" : "echo coord_a"};;`,
    `exec) ${answers ? `echo 'postgres ${PENCIL}'` : "exit 1"};;`,
    `container) ${madeWith === undefined ? "echo 'Error: No such container: coord_a' >&2; exit 1" : `case "$*" in *Config.Env*) echo '["PGPASSWORD=${madeWith}"]';; esac`};;`,
    `volume) ${data ? "echo coord_a-data" : ":"};;`,
    `run) ${data ? "echo '/volumes/coord_a-data|17|'" : ":"};;`,
    `*) exit 1;;`,
    "esac",
  ].join("\n");
  writeFileSync(path.join(folder, "docker"), `#!/bin/sh\n${script}\n`);
  chmodSync(path.join(folder, "docker"), 0o755);
}

/** Runs the program; gives what it recorded, or why it refused. */
function run(password: string, { before, given = ["superuserPassword"] }: { before?: Passwords; given?: readonly PasswordKey[] } = {}): Promise<{ recorded?: RecordedIdentity; refusal: string }> {
  const identity = identityOf(given);
  const env = {
    ...process.env,
    PATH: `${folder}:${process.env["PATH"]}`,
    CITUS_SUPERUSER_PASSWORD: password,
    PULUMI_COMMAND_STDOUT: before === undefined ? "" : JSON.stringify({ identity, passwords: before } satisfies RecordedIdentity),
  };
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--import", "tsx", "setup/identity.ts"], { cwd: PROJECT, env });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (text: Buffer) => (stdout += text.toString()));
    child.stderr.on("data", (text: Buffer) => (stderr += text.toString()));
    child.on("close", () => resolve({ ...(stdout !== "" && { recorded: JSON.parse(stdout) as RecordedIdentity }), refusal: stderr }));
    child.stdin.end(JSON.stringify({ stack: "s", identity, held: [], fence: false }));
  });
}

/** The password that is recorded, of these; undefined if none is. */
function known({ recorded }: { recorded?: RecordedIdentity }, ...passwords: string[]): string | undefined {
  const hash = recorded?.passwords.superuserPassword;
  return passwords.find((password) => hash !== undefined && isPassword(password, hash));
}

test("a new stack's password is recorded", async () => {
  fake({});
  expect(known(await run("pencil"), "pencil")).toBe("pencil");
});

test("over data that was kept a password is taken, and not recorded: nothing proves it", async () => {
  fake({ data: true });
  const result = await run("wrong");
  expect(result).toMatchObject({ recorded: { identity: identityOf(["superuserPassword"]) }, refusal: "" });
  expect(result.recorded?.passwords).toEqual({});
});

test("then the database decides, whatever the container was made with", async () => {
  fake({ data: true, madeWith: "wrong", answers: true });
  const [right, wrong] = await Promise.all([run("pencil", { before: {} }), run("wrong", { before: {} })]);
  expect(known(right, "pencil")).toBe("pencil");
  expect(wrong.refusal).toMatch(/^superuserPassword is another one than the data of s was made with: .*Nothing was touched\.\n$/);
});

test("a container that was made with what nothing proved tells nothing where its database does not answer", async () => {
  fake({ data: true, madeWith: "wrong" });
  const result = await run("pencil", { before: {} });
  expect([result.refusal, result.recorded?.passwords]).toEqual(["", {}]);
});

test("a stack that an older version made goes by its database, and by its container where that does not answer", async () => {
  fake({ data: true, madeWith: "old" });
  const [same, another] = await Promise.all([run("old"), run("new")]);
  expect(known(same, "old")).toBe("old");
  expect(another.refusal).toMatch(/^superuserPassword is another one/);
});

test("what was recorded is refused no more where the database has another password", async () => {
  fake({ data: true, madeWith: "wrong", answers: true });
  const before = { superuserPassword: passwordHash("wrong") };
  const [right, other] = await Promise.all([run("pencil", { before }), run("other", { before })]);
  expect(known(right, "wrong", "pencil")).toBe("pencil");
  expect(other.refusal).toMatch(/^superuserPassword is another one/);
});

test("a generated password over data that was kept is refused, with the way on", async () => {
  fake({ data: true });
  const { refusal, recorded } = await run("s3cret", { given: [] });
  expect(recorded).toBeUndefined();
  expect(refusal).toMatch(/^There are volumes of an earlier s \(coord_a-data\), and superuserPassword is not set: .*config set --secret superuserPassword --stack s.*docker volume rm coord_a-data.*Nothing was touched\.\n$/);
  expect(refusal).not.toContain("s3cret");
});
