import { readFileSync } from "node:fs";
import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { ActiveActive, ActivePassive } from "./components";
import { decodeConfig, parseSettings, SettingsError, type ParsedSettings } from "./config/parse";
import { dangersOf, secretDangers } from "./config/safety";
import type { PasswordKey } from "./config/settings";

// Pulumi takes a stack trace for every promise and resource, and what maps each of its frames to TypeScript takes a third of the program's time.
Reflect.deleteProperty(Error, "prepareStackTrace");

const config = new pulumi.Config();
const secretKeys = (JSON.parse(process.env["PULUMI_CONFIG_SECRET_KEYS"] ?? "[]") as string[]).map((key) => key.replace(`${config.name}:`, ""));
const { settings, passwords: given } = readSettings();
const passwordKeys = Object.keys(given) as PasswordKey[];
const passwords = Object.fromEntries(passwordKeys.map((key) => [key, config.requireSecret(key)]));
for (const { key, consequence } of [...dangersOf(settings), ...secretDangers(passwordKeys, secretKeys)]) void pulumi.log.warn(`${key}: ${consequence}`);

const acceptLoss = process.env["CITUS_ACCEPT_LOSS"];
const inputs = { read, ...(acceptLoss !== undefined && { acceptLoss }) };
const stack =
  settings.topology === "active-active"
    ? new ActiveActive(settings.topology, { settings, ...passwords, ...inputs })
    : new ActivePassive(settings.topology, { settings, passwords, ...inputs });

/**
 * The stack's outputs: connection URIs (a secret), addresses on this machine, container names. By cluster in active-active;
 * in active-passive `leader` and `standbys`, with HAProxy's statistics page beside them.
 */
export = stack.outputs;

/** The stack's settings. What is wrong with them is shown as it is, without a stack trace. */
function readSettings(): ParsedSettings {
  try {
    return parseSettings(decodeConfig(pulumi.runtime.allConfig(), config.name), `The configuration of stack ${pulumi.getStack()}`, secretKeys);
  } catch (error) {
    throw error instanceof SettingsError ? new pulumi.RunError(error.message) : error;
  }
}

function read(file: string): string {
  try {
    return readFileSync(path.resolve(__dirname, file), "utf8");
  } catch (error) {
    throw new pulumi.RunError(`schema.file = "${file}": cannot be read (${(error as NodeJS.ErrnoException).code}); write a path relative to the project`);
  }
}
