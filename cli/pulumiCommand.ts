import { spawn } from "node:child_process";
import { constants } from "node:os";
import { chooseBackend } from "./backend";
import { PROJECT_DIRECTORY } from "./project";
import { Pulumi } from "./pulumi";
import { findPulumi } from "./pulumiCli";

/** `npm run pulumi -- …`: the Pulumi CLI as the front door runs it, with the project's own backend and passphrase. */
export async function pulumi(args: readonly string[]): Promise<void> {
  const command = await findPulumi();
  const named = args.findIndex((argument) => argument === "--stack" || argument === "-s");
  const stack = args.find((argument) => argument.startsWith("--stack="))?.slice("--stack=".length) ?? (named === -1 ? undefined : args[named + 1]);
  const { environment } = new Pulumi(command, stack ?? "", chooseBackend(stack ?? "").environment);
  process.exitCode = await new Promise<number>((resolve) => {
    const child = spawn(command, args, { env: environment, cwd: PROJECT_DIRECTORY, stdio: "inherit" });
    // A terminal's Ctrl-C reaches Pulumi, too: it is Pulumi's to answer.
    process.on("SIGINT", () => undefined);
    process.on("SIGTERM", () => child.kill("SIGTERM"));
    child.on("error", () => resolve(1));
    child.on("close", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}
