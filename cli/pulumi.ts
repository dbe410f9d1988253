import { spawn } from "node:child_process";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { PROJECT_DIRECTORY } from "./project";
import { run, type RunResult } from "./run";

/** What Pulumi tells while it works, one of these a line: https://www.pulumi.com/docs/ on `pulumi up --json`. */
export interface EngineEvent {
  readonly diagnosticEvent?: { readonly urn?: string; readonly message: string; readonly severity: string };
  readonly resourcePreEvent?: { readonly metadata: StepMetadata };
  readonly resOutputsEvent?: { readonly metadata: StepMetadata };
  readonly resOpFailedEvent?: { readonly metadata: StepMetadata };
  readonly summaryEvent?: { readonly resourceChanges?: Readonly<Record<string, number>>; readonly result?: string };
}

/** One step on one resource. */
export interface StepMetadata {
  /** `same`, `create`, `update`, `delete`, `replace`, `create-replacement`, `delete-replaced`, `refresh`, … */
  readonly op: string;
  readonly urn: string;
  readonly type: string;
  readonly old?: StepState | null;
  readonly new?: StepState | null;
}

export interface StepState {
  readonly inputs?: Readonly<Record<string, unknown>>;
}

export interface UpdateResult {
  readonly code: number;
  /** What Pulumi printed that is no event: errors before the update began. */
  readonly other: string;
  /** Whether the reader asked for an end. */
  readonly interrupted: boolean;
}

/** Two signals closer together than this are one: a terminal's Ctrl-C arrives directly and again through npm. */
const ONE_SIGNAL_MS = 700;

const DRAIN_MS = 2000;
const PARENT_POLL_MS = 500;

/** The Pulumi CLI on one stack of one project. */
export class Pulumi {
  /** The environment that Pulumi runs in. */
  readonly environment: NodeJS.ProcessEnv;

  constructor(
    private readonly command: string,
    readonly stack: string,
    environment: Readonly<Record<string, string>>,
    private readonly directory: string = PROJECT_DIRECTORY,
  ) {
    // The project's own CLI brings its language host in the same folder.
    const searched = path.isAbsolute(command) ? [path.dirname(command), process.env["PATH"]].join(path.delimiter) : process.env["PATH"];
    this.environment = {
      ...process.env,
      PATH: searched,
      PULUMI_SKIP_UPDATE_CHECK: "true",
      // The types were checked when the project was tested; checking them at every run costs seconds.
      PULUMI_NODEJS_TRANSPILE_ONLY: "true",
      ...environment,
    };
  }

  /** Runs a command and gives what it printed. Never throws. */
  run(args: readonly string[], { timeoutMs = 120_000, input = "" } = {}): Promise<RunResult> {
    return run(this.command, [...args, "--stack", this.stack, "--non-interactive"], { timeoutMs, input, environment: this.environment, directory: this.directory });
  }

  /**
   * Runs `up` or `destroy` and hands over its events. A signal to this process asks Pulumi to end in order, which takes as
   * long as what it is doing; a second one ends it at once.
   */
  update(args: readonly string[], accept: (event: EngineEvent) => void, onInterrupt: () => void): Promise<UpdateResult> {
    return new Promise((resolve) => {
      const child = spawn(this.command, [...args, "--stack", this.stack, "--non-interactive", "--json"], {
        env: this.environment,
        cwd: this.directory,
        stdio: ["ignore", "pipe", "pipe"],
        // A group of its own: a terminal's Ctrl-C reaches this process only, which passes it on, once.
        detached: process.platform !== "win32",
      });
      const other: string[] = [];
      let lastSignalAt = -Infinity;
      let interrupted = false;
      const pass = (): void => {
        if (performance.now() - lastSignalAt < ONE_SIGNAL_MS) return;
        lastSignalAt = performance.now();
        if (interrupted && process.platform !== "win32" && child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
        else child.kill(interrupted ? "SIGKILL" : "SIGINT");
        if (!interrupted) onInterrupt();
        interrupted = true;
      };
      // npm passes SIGTERM to the shell between itself and this process, which dies of it without a word.
      const parent = process.env["npm_lifecycle_event"] === undefined ? undefined : process.ppid;
      const watch = setInterval(() => parent !== undefined && process.ppid !== parent && !interrupted && pass(), PARENT_POLL_MS);
      const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
      for (const signal of signals) process.on(signal, pass);
      const end = (code: number): void => {
        clearInterval(watch);
        for (const signal of signals) process.off(signal, pass);
        resolve({ code, other: other.join("\n").trim(), interrupted });
      };
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (!line.startsWith("{")) return void other.push(line);
        // Half an event, of a Pulumi that was killed, is dropped: events can hold secrets.
        const event = parseEvent(line);
        if (event !== undefined) accept(event);
      });
      createInterface({ input: child.stderr }).on("line", (line) => other.push(line));
      child.on("error", ({ message }) => {
        other.push(message);
        end(1);
      });
      child.on("close", (code, signal) => {
        if (signal !== null && !interrupted) other.push(`Pulumi was ended from outside (${signal})`);
        end(code ?? 1);
      });
      // A plugin of a Pulumi that was killed may hold the output open: do not wait for it.
      child.on("exit", (code) => setTimeout(() => end(code ?? 1), DRAIN_MS).unref());
    });
  }
}

function parseEvent(line: string): EngineEvent | undefined {
  try {
    return JSON.parse(line) as EngineEvent;
  } catch {
    return undefined;
  }
}
