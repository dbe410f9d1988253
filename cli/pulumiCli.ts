import { existsSync } from "node:fs";
import * as path from "node:path";
import { Failure } from "./failure";
import { OWN_DIRECTORY } from "./project";
import { say } from "./print";
import { lastLine, run } from "./run";

const ROOT = path.join(OWN_DIRECTORY, "cli");
const BINARY = path.join(ROOT, "bin", process.platform === "win32" ? "pulumi.exe" : "pulumi");
const BY_HAND = "https://www.pulumi.com/docs/install/";
const VERSION_TIMEOUT_MS = 30_000;

/**
 * The Pulumi CLI: the one on the PATH, else the project's own in `.pulumi/cli`, which is installed there if it is missing.
 *
 * @throws {@link Failure} if it cannot be installed; the sentence says how to do it by hand.
 */
export async function findPulumi(): Promise<string> {
  if (await works("pulumi")) return "pulumi";
  if (existsSync(BINARY) && (await works(BINARY))) return BINARY;
  say("There is no Pulumi CLI on the PATH: installing the official one into .pulumi/cli, once.");
  try {
    // Loaded only here: it takes a second.
    const { PulumiCommand } = await import("@pulumi/pulumi/automation/index.js");
    await PulumiCommand.install({ root: ROOT });
  } catch (error) {
    const reason = lastLine(error instanceof Error ? error.message : String(error));
    throw new Failure(`The Pulumi CLI could not be installed (${reason}). Install it by hand (${BY_HAND}), so that "pulumi version" works, and run this command again.`);
  }
  return BINARY;
}

async function works(command: string): Promise<boolean> {
  return (await run(command, ["version"], { timeoutMs: VERSION_TIMEOUT_MS, environment: { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "true" } })).code === 0;
}
