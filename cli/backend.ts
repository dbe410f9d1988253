import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import { Failure } from "./failure";
import { OWN_DIRECTORY, PROJECT_NAME } from "./project";

/** Where a stack's state is, and what Pulumi has to be told of it. */
export interface Backend {
  /** Whether it is the front door's own, in `.pulumi/state`; else it is the user's. */
  readonly own: boolean;
  /** The folder of a backend in files, if it is one. */
  readonly directory?: string;
  /** Environment variables for Pulumi. */
  readonly environment: Readonly<Record<string, string>>;
  /** Where the passphrase comes from, for a sentence about a wrong one. */
  readonly passphraseSource: string;
}

/** What the choice depends on. */
export interface BackendSurroundings {
  readonly environment: NodeJS.ProcessEnv;
  /** The backend that the user has logged in to with `pulumi login`, if any. */
  readonly login: string | undefined;
}

const STATE_DIRECTORY = path.join(OWN_DIRECTORY, "state");
const PASSPHRASE_FILE = path.join(OWN_DIRECTORY, "passphrase");

/** The user's own backend, if one was chosen: by PULUMI_BACKEND_URL, an access token, or `pulumi login`. */
export function usersBackend({ environment, login }: BackendSurroundings): string | undefined {
  const url = environment["PULUMI_BACKEND_URL"];
  if (url !== undefined && url !== "") return url;
  if (environment["PULUMI_ACCESS_TOKEN"]) return environment["PULUMI_API"] ?? login ?? "https://api.pulumi.com";
  return login;
}

/**
 * Chooses the backend of a stack: the user's, else the project's own folder, with a passphrase that is generated once.
 *
 * @param newPassphrase whether a lost passphrase is replaced although it leaves the stack's state closed for ever.
 * @throws {@link Failure} if the state of the stack is there and its generated passphrase is not.
 */
export function chooseBackend(stack: string, newPassphrase = false): Backend {
  const url = usersBackend({ environment: process.env, login: currentLogin() });
  const variable = ["PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"].find((name) => process.env[name] !== undefined);
  if (url !== undefined) {
    const directory = directoryOf(url);
    return { own: false, environment: {}, passphraseSource: variable ?? "PULUMI_CONFIG_PASSPHRASE", ...(directory !== undefined && { directory }) };
  }
  mkdirSync(STATE_DIRECTORY, { recursive: true });
  const environment = { PULUMI_BACKEND_URL: pathToFileURL(STATE_DIRECTORY).href };
  if (variable !== undefined) return { own: true, directory: STATE_DIRECTORY, environment, passphraseSource: variable };
  if (!existsSync(PASSPHRASE_FILE)) {
    if (hasState(stack) && !newPassphrase) {
      throw new Failure(
        `.pulumi/passphrase is missing, and the state of ${stack} is encrypted with it. Put the file back, or set PULUMI_CONFIG_PASSPHRASE if the stack was made with it; ` +
          `or give the stack up, which removes its containers and its data: npm run down -- ${stack} --forget`,
      );
    }
    writeFileSync(PASSPHRASE_FILE, `${randomBytes(24).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
  }
  return { own: true, directory: STATE_DIRECTORY, environment: { ...environment, PULUMI_CONFIG_PASSPHRASE_FILE: PASSPHRASE_FILE }, passphraseSource: ".pulumi/passphrase" };
}

/** The folder of a backend in files; undefined for every other kind. */
export function directoryOf(url: string): string | undefined {
  if (!url.startsWith("file://")) return undefined;
  const directory = decodeURIComponent(url.slice("file://".length).split("?", 1)[0] ?? "");
  return directory.startsWith("~") ? path.join(homedir(), directory.slice(1)) : path.resolve(directory);
}

function hasState(stack: string): boolean {
  const directory = path.join(STATE_DIRECTORY, ".pulumi", "stacks", PROJECT_NAME);
  return existsSync(directory) && readdirSync(directory).includes(`${stack}.json`);
}

function currentLogin(): string | undefined {
  const home = process.env["PULUMI_HOME"] ?? path.join(homedir(), ".pulumi");
  const file = path.join(process.env["PULUMI_CREDENTIALS_PATH"] ?? home, "credentials.json");
  try {
    const { current } = JSON.parse(readFileSync(file, "utf8")) as { current?: string };
    return current === "" ? undefined : current;
  } catch {
    return undefined; // No file: not logged in.
  }
}
