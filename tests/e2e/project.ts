import { execFile, execFileSync, spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { Client } from "pg";
import { parse, stringify } from "yaml";

const ROOT = path.resolve(__dirname, "../..");

/** Counts of an update by what was done: `{ create: 3, same: 40 }`. */
export type Changes = Readonly<Record<string, number>>;

/** Whether an image is present on this machine. */
export function hasImage(image: string): boolean {
  try {
    execFileSync("docker", ["image", "inspect", image], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Whether a commit is in this clone's history. */
export function hasCommit(commit: string): boolean {
  try {
    execFileSync("git", ["cat-file", "-e", `${commit}^{commit}`], { cwd: ROOT, stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Runs docker and gives what it printed. */
export function docker(...args: string[]): string {
  return execFileSync("docker", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 120_000, killSignal: "SIGKILL" }).trim();
}

/** Runs statements over one connection and gives the rows of each. */
export async function query(uri: string, ...statements: string[]): Promise<Record<string, unknown>[][]> {
  const client = new Client({ connectionString: uri, connectionTimeoutMillis: 5000, query_timeout: 30_000 });
  client.on("error", () => undefined); // A node that is restarted ends its sessions; the statement reports it.
  await client.connect();
  try {
    const results: Record<string, unknown>[][] = [];
    for (const statement of statements) results.push((await client.query<Record<string, unknown>>(statement)).rows);
    return results;
  } finally {
    // Not waited for: a connection that ended while it was being made never says so.
    void client.end().catch(() => undefined);
  }
}

/** Tries until an attempt does not throw, for at most `timeoutMs`; then the last error is thrown. */
export async function eventually<T>(timeoutMs: number, attempt: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** A temporary copy of the project with a file backend of its own, driven by the real Pulumi CLI. */
export class Project {
  readonly directory: string;
  private readonly environment: NodeJS.ProcessEnv;

  /** `program` is the folder of the Pulumi program in the project. */
  constructor(
    readonly stack: string,
    private readonly program = ".",
  ) {
    this.directory = mkdtempSync(path.join(tmpdir(), "citus-sharding-e2e-"));
    const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");
    for (const file of files) cpSync(path.join(ROOT, file), path.join(this.directory, file));
    symlinkSync(path.join(ROOT, "node_modules"), path.join(this.directory, "node_modules"));
    this.environment = {
      ...process.env,
      PULUMI_BACKEND_URL: `file://${mkdtempSync(path.join(this.directory, "state-"))}`,
      PULUMI_CONFIG_PASSPHRASE: "end to end",
      PULUMI_NODEJS_TRANSPILE_ONLY: "true",
    };
  }

  /** Merges keys into the stack's configuration file; undefined takes one out. */
  configure(settings: Readonly<Record<string, unknown>>): void {
    const file = path.join(this.directory, this.program, `Pulumi.${this.stack}.yaml`);
    const project = (parse(readFileSync(path.join(this.directory, this.program, "Pulumi.yaml"), "utf8")) as { name: string }).name;
    const content = (parse(safeRead(file)) ?? {}) as { config?: Record<string, unknown> };
    const config = { ...content.config };
    for (const [key, value] of Object.entries(settings)) {
      if (value === undefined) delete config[`${project}:${key}`];
      else config[`${project}:${key}`] = value;
    }
    writeFileSync(file, stringify({ ...content, config }));
  }

  /** Runs the Pulumi CLI in the program's folder. Rejects with everything it printed. */
  pulumi(...args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const options = { cwd: path.join(this.directory, this.program), env: this.environment, maxBuffer: 64 * 1024 * 1024 };
      execFile("pulumi", [...args, "--non-interactive", "--stack", this.stack], options, (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(`pulumi ${args.join(" ")}\n${stdout}\n${stderr}`)),
      );
    });
  }

  /** Runs a command of the front door, and gives its exit code and what it printed, whatever the code. */
  command(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    return new Promise((resolve) => {
      const options = { cwd: this.directory, env: this.environment, maxBuffer: 64 * 1024 * 1024 };
      execFile(process.execPath, ["cli/main.cjs", ...args], options, (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }));
    });
  }

  /** As {@link command}, on a terminal, where a person answers what it asks; gives what was to be seen there. */
  commandOnTerminal(answer: string, ...args: string[]): Promise<{ code: number; shown: string }> {
    return new Promise((resolve) => {
      const child = spawn("script", ["--quiet", "--return", "--command", ["node", "cli/main.cjs", ...args].join(" "), "/dev/null"], { cwd: this.directory, env: this.environment });
      let shown = "";
      let answered = false;
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        shown += text;
        if (answered || !shown.includes("to go on:")) return;
        answered = true;
        child.stdin.write(`${answer}\n`);
      });
      child.once("close", (code) => resolve({ code: code ?? 1, shown }));
    });
  }

  /** Begins a command of the front door. @returns what kills it, with all that it has begun, as a machine without memory would; it resolves when it has gone. */
  begin(...args: string[]): () => Promise<void> {
    const child = spawn(process.execPath, ["cli/main.cjs", ...args], { cwd: this.directory, env: this.environment, stdio: "ignore", detached: true });
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    return async () => {
      if (child.exitCode === null) process.kill(-(child.pid as number), "SIGKILL");
      await ended;
    };
  }

  /** As {@link command}, by another version of the project: the one in `directory`, over this project's configuration and state. */
  commandOf(directory: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    cpSync(path.join(this.directory, `Pulumi.${this.stack}.yaml`), path.join(directory, `Pulumi.${this.stack}.yaml`));
    return new Promise((resolve) => {
      const options = { cwd: directory, env: this.environment, maxBuffer: 64 * 1024 * 1024 };
      execFile(process.execPath, ["cli/main.cjs", ...args], options, (error, stdout, stderr) => {
        // What the secrets are encrypted with.
        cpSync(path.join(directory, `Pulumi.${this.stack}.yaml`), path.join(this.directory, `Pulumi.${this.stack}.yaml`));
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
      });
    });
  }

  /** As {@link command}, while this process stands still. @throws if it fails. */
  commandSync(...args: string[]): void {
    execFileSync(process.execPath, ["cli/main.cjs", ...args], { cwd: this.directory, env: this.environment, stdio: "pipe" });
  }

  /** Puts an earlier version of the project into a folder below this one; its path. */
  earlier(commit: string): string {
    const directory = mkdtempSync(path.join(this.directory, "earlier-"));
    execFileSync("tar", ["x", "-C", directory], { input: execFileSync("git", ["archive", commit], { cwd: ROOT, maxBuffer: 64 * 1024 * 1024 }) });
    symlinkSync(path.join(ROOT, "node_modules"), path.join(directory, "node_modules"));
    return directory;
  }

  /** Creates the stack. */
  async create(): Promise<void> {
    await this.pulumi("stack", "init");
  }

  /** Updates the stack and counts what was done. */
  async up(...options: string[]): Promise<Changes> {
    await this.pulumi("up", "--yes", "--skip-preview", ...options);
    const history = JSON.parse(await this.pulumi("stack", "history", "--json", "--page-size", "1")) as { resourceChanges: Changes }[];
    return history[0]?.resourceChanges ?? {};
  }

  /** The stack's outputs with their secrets. */
  async outputs<T>(): Promise<T> {
    return JSON.parse(await this.pulumi("stack", "output", "--json", "--show-secrets")) as T;
  }

  /** Names of what carries this project's prefix on the machine: containers, networks and volumes. */
  leftovers(prefix: string): string[] {
    const names = [docker("ps", "-a", "--format", "{{.Names}}"), docker("network", "ls", "--format", "{{.Name}}"), docker("volume", "ls", "--format", "{{.Name}}")];
    return names.flatMap((list) => list.split("\n")).filter((name) => name.startsWith(prefix));
  }

  /** Removes what is left of the stack from Docker, which nothing knows afterwards, and the copy. */
  dispose(prefix: string): void {
    const named = (...list: string[]): string[] => docker(...list, "--format", list[0] === "ps" ? "{{.Names}}" : "{{.Name}}").split("\n").filter((name) => name.startsWith(prefix));
    const remove = (command: readonly string[], names: readonly string[]): void => void (names.length > 0 && docker(...command, ...names));
    remove(["rm", "-f"], named("ps", "-a"));
    remove(["network", "rm"], named("network", "ls"));
    remove(["volume", "rm"], named("volume", "ls"));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function safeRead(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
