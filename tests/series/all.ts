import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import * as path from "node:path";
import { Command } from "commander";
import { Failure } from "../../cli/failure";
import { duration, fail, say } from "../../cli/print";
import { PROJECT_DIRECTORY, requireStack } from "../../cli/project";
import { readStack } from "../../cli/stack";
import { table } from "../../cli/table";
import type { Topology } from "../../config/settings";

interface Options {
  readonly start?: string;
  readonly stop?: string;
  readonly kill?: string;
  readonly only?: string;
  readonly list: boolean;
}

/** How the Docker engine is ended and started; boots and faults of the engine are left out where that is not known. */
type Engine = Required<Pick<Options, "start" | "stop" | "kill">>;

/** One long run: a script of package.json, with what it is given. */
interface Run {
  readonly script: string;
  readonly given: readonly string[];
}

const ALL_CUTS = ["--fault", "power-cut", "--times", "50", "--dense", "--shape", "--cut", "databases,etcd,everything"];

/** Every long run of a stack, those of docs/availability.md and docs/tenants.md, the shorter ones first. */
function runsOf(topology: Topology, engine: Engine | undefined): Run[] {
  const soak = ["--minutes", "30", "--cut", "databases,etcd,everything", ...(engine === undefined ? [] : ["--engine-restart", `${engine.kill}; ${engine.start}`])];
  const boots: Run[] = engine === undefined ? [] : [{ script: "series:boots", given: ["--start", engine.start, "--stop", engine.stop, "--kill", engine.kill, "--times", "20"] }];
  const runs: Record<Topology, readonly Run[]> = {
    "active-passive": [
      { script: "series:changes", given: ["--times", "5"] },
      { script: "chaos", given: ["--fault", "switchover,postmaster,crash,kill", "--role", "coordinator", "--times", "20"] },
      { script: "chaos", given: soak },
      { script: "chaos", given: ALL_CUTS },
    ],
    "active-active": [
      { script: "series:changes", given: ["--roles", "worker", "--times", "5"] },
      { script: "bench:router", given: [] },
      { script: "bench:fence", given: [] },
      { script: "bench:tenant", given: [] },
      { script: "bench:directory", given: [] },
      { script: "bench:rebalance", given: [] },
      { script: "chaos", given: ["--fault", "restart,postmaster,crash,kill,pause", "--role", "worker", "--times", "20", "--hold", "2"] },
      { script: "chaos", given: soak },
      { script: "series:moves", given: ["--times", "500"] },
    ],
  };
  return [...runs[topology], ...boots];
}

async function main(name: string, { only, list, ...given }: Options): Promise<void> {
  const stack = readStack(name);
  const runs = runsOf(stack.settings.topology, engineOf(given)).filter(({ script, given: words }) => only === undefined || only.split(",").some((word) => `${script} ${words.join(" ")}`.includes(word)));
  if (runs.length === 0) throw new Failure(`No run has ${JSON.stringify(only)} in its command: npm run series -- ${name} --list shows them.`);
  if (list) return void console.log(runs.map(commandOf(name)).join("\n"));
  const directory = path.join(PROJECT_DIRECTORY, "reports", `series-${name}-${new Date().toISOString().replaceAll(/[:.]/g, "-")}`);
  mkdirSync(directory, { recursive: true });
  const ended: string[][] = [];
  for (const [index, one] of runs.entries()) {
    const command = commandOf(name)(one);
    say(`${index + 1} of ${runs.length}: ${command}`);
    const startedAt = performance.now();
    const code = await runOne(name, one, path.join(directory, `${index + 1}-${one.script.replaceAll(":", "-")}.log`));
    ended.push([command, duration(performance.now() - startedAt), code === 0 ? "met" : `ended with ${code}`]);
    if (code !== 0) process.exitCode = 1;
  }
  say(table([["run", "took", ""], ...ended]).join("\n"));
  say(`What they printed: ${path.relative(PROJECT_DIRECTORY, directory)}`);
}

function engineOf({ start, stop, kill }: Omit<Options, "only" | "list">): Engine | undefined {
  if (start === undefined && stop === undefined && kill === undefined) {
    say("Boots and faults of the engine are left out: --start, --stop and --kill say how this machine's Docker engine is started and ended.");
    return undefined;
  }
  if (start === undefined || stop === undefined || kill === undefined) throw new Failure("Of --start, --stop and --kill all three are needed, or none.");
  return { start, stop, kill };
}

const commandOf =
  (name: string) =>
  ({ script, given }: Run): string =>
    ["npm run", script, "--", name, ...given.map((word) => (/^[\w,-]+$/.test(word) ? word : JSON.stringify(word)))].join(" ");

/** Runs one, shows what it prints and keeps it. @returns its exit code. */
function runOne(name: string, { script, given }: Run, file: string): Promise<number> {
  return new Promise((resolve) => {
    const log = createWriteStream(file);
    const child = spawn("npm", ["run", "-s", script, "--", name, ...given], { cwd: PROJECT_DIRECTORY, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.pipe(process.stdout);
    child.stderr.pipe(process.stderr);
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    child.once("close", (code) => log.end(() => resolve(code ?? 1)));
  });
}

new Command("npm run series --")
  .description("Every long run of a stack, one after the other: soaks, power cuts, updates, moves, benches and, where it is told how, boots of the engine. Takes hours, on a machine of its own; Ctrl-C ends it.")
  .argument("[stack]", "the stack, which is up")
  .option("--start <command>", "starts the engine; may end before the engine answers")
  .option("--stop <command>", "stops the engine gracefully, and waits until it is gone")
  .option("--kill <command>", "ends the engine and all containers at once")
  .option("--only <words>", "only runs whose command has one of these words, with commas between")
  .option("--list", "print the commands, and run none", false)
  .action((stack: string | undefined, options: Options) => main(requireStack("series", stack), options))
  .parseAsync()
  .catch((error: unknown) => {
    if (!(error instanceof Failure)) throw error;
    fail(error.message);
    process.exitCode = 1;
  });
