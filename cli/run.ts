import { spawn } from "node:child_process";

/** What a program printed, and how it ended. */
export interface RunResult {
  /** Its exit code; 127 if it could not be started, 124 if it was ended because time was up. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly environment?: NodeJS.ProcessEnv;
  readonly directory?: string;
  readonly input?: string;
}

const NOT_STARTED = 127;
/** The exit code of a program that was ended because time was up. */
export const TIMED_OUT = 124;

/** Runs a program without a shell and gives what it printed. Never throws, and never takes longer than `timeoutMs`. */
export function run(command: string, args: readonly string[], { timeoutMs = 60_000, environment, directory, input = "" }: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env: environment ?? process.env, cwd: directory, stdio: ["pipe", "pipe", "pipe"] });
    const output = { stdout: "", stderr: "" };
    const end = (code: number, more = ""): void => {
      clearTimeout(timer);
      resolve({ code, stdout: output.stdout.trim(), stderr: (output.stderr + more).trim() });
    };
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      // Something that the program started may still hold its output open: do not wait for it.
      child.stdout.destroy();
      child.stderr.destroy();
      end(TIMED_OUT, `\nno answer within ${timeoutMs / 1000} s`);
    }, timeoutMs);
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
    child.on("error", ({ message }) => end(NOT_STARTED, message));
    child.on("close", (code) => end(code ?? 1));
    child.stdin.on("error", () => undefined); // The program may end without reading its input.
    child.stdin.end(input);
  });
}

/** The last line of a program's output that says something: where its reason stands. */
export function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.trim() ?? "";
}
