import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { chooseBackend } from "./backend";
import { PROJECT_DIRECTORY, stackFile } from "./project";
import { Pulumi } from "./pulumi";
import { findPulumi } from "./pulumiCli";
import { openState } from "./state";

/** `npm run pulumi -- …`: the Pulumi CLI as the front door runs it, with the project's own backend and passphrase. */
export async function pulumi(args: readonly string[]): Promise<void> {
  const command = await findPulumi();
  const stack = namedStack(args);
  const backend = chooseBackend(stack);
  const runner = new Pulumi(command, stack, backend.environment);
  // Secrets of a stack are set before its first update, and Pulumi has to know the stack for that.
  if (args[0] === "config" && existsSync(stackFile(stack))) await openState(runner, backend);
  process.exitCode = await new Promise<number>((resolve) => {
    const child = spawn(command, args, { env: runner.environment, cwd: PROJECT_DIRECTORY, stdio: "inherit" });
    // A terminal's Ctrl-C reaches Pulumi, too: it is Pulumi's to answer.
    process.on("SIGINT", () => undefined);
    process.on("SIGTERM", () => child.kill("SIGTERM"));
    child.on("error", () => resolve(1));
    child.on("close", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}

/** The stack that Pulumi's arguments name with `--stack` or `-s`; empty if they name none. */
function namedStack(args: readonly string[]): string {
  const joined = args.find((argument) => argument.startsWith("--stack="))?.slice("--stack=".length);
  const flag = args.findIndex((argument) => argument === "--stack" || argument === "-s");
  return joined ?? (flag === -1 ? "" : (args[flag + 1] ?? ""));
}
