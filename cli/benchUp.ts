import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import colors from "picocolors";
import type { Topology } from "../config/settings";
import type { ConnectionUris } from "./connections";
import { loadDemo } from "./demo";
import { requireDocker } from "./docker";
import { down } from "./down";
import { Failure } from "./failure";
import { ensureImages } from "./images";
import { existingVolumes, inspectContainers } from "./live";
import { isInService, isLeader, patroniCluster } from "./patroniCluster";
import { duration, listed, say } from "./print";
import { Progress } from "./progress";
import { PROJECT_DIRECTORY, stackFile, stacksIn } from "./project";
import { Pulumi } from "./pulumi";
import { findPulumi } from "./pulumiCli";
import { lastLine } from "./run";
import { containerNames, readStack, volumeNames, type Stack } from "./stack";
import { benchConfiguration } from "./stackConfiguration";
import { stateFrom } from "./state";
import { table } from "./table";
import { updateFailure } from "./updateFailure";
import { removeVolumes } from "./volumes";

export interface BenchUpOptions {
  /** How often each figure is measured. */
  readonly runs: number;
  /** Whether a stack that is up is taken away first, with its data. */
  readonly replace: boolean;
  readonly json: boolean;
}

/** What is measured, in order: each in seconds. */
const FIGURES = {
  up: "from nothing to a write to every shard",
  demo: "load of the demo",
  preview: "preview without a change",
  unchanged: "up without a change",
  destroy: "destroy",
} as const;
type Figure = keyof typeof FIGURES;

/** What the project promises on a machine with two processors and all images, in seconds. */
const TARGETS: Readonly<Record<Figure, Readonly<Record<Topology, number>>>> = {
  up: { "active-active": 20, "active-passive": 25 },
  demo: { "active-active": 1.5, "active-passive": 1.5 },
  preview: { "active-active": 3, "active-passive": 3 },
  unchanged: { "active-active": 4, "active-passive": 4 },
  destroy: { "active-active": 15, "active-passive": 15 },
};

/** A figure of one stack, in seconds. */
export interface Measurement {
  readonly stack: string;
  readonly figure: Figure;
  readonly seconds: readonly number[];
  readonly median: number;
  readonly target: number;
  readonly met: boolean;
}

const REPORT = path.join("reports", "bench-up.json");
const NOT_COPIED = new Set(["node_modules", ".git", ".pulumi", "reports", "coverage", "dist"]);

/**
 * `npm run bench:up [-- <stack>…]`: measures each stack from nothing to a write to every shard and back. It works on a
 * copy of the project with a state of its own, and with the stacks' own names and ports.
 */
export async function benchUp(names: readonly string[], { runs, replace, json }: BenchUpOptions): Promise<void> {
  if (!Number.isInteger(runs) || runs < 1) throw new Failure("--runs takes a whole number from 1, for example --runs 3");
  const [engine, command] = await Promise.all([requireDocker(), findPulumi()]);
  const stacks = (names.length > 0 ? names : stacksIn(readdirSync(PROJECT_DIRECTORY))).map((name) => readStack(name));
  for (const stack of stacks) await requireNothing(stack, replace);
  for (const { name, settings } of stacks) await ensureImages(name, settings);

  const measurements: Measurement[] = [];
  for (const stack of stacks) measurements.push(...(await measure(stack, command, runs)));
  const [processor] = cpus();
  const report = {
    date: new Date().toISOString(),
    machine: { processors: cpus().length, model: processor?.model.trim() ?? "", memoryGB: Math.round(totalmem() / 1024 ** 3), docker: engine.version, node: process.versions.node },
    runs,
    measurements,
  };
  mkdirSync(path.join(PROJECT_DIRECTORY, "reports"), { recursive: true });
  writeFileSync(path.join(PROJECT_DIRECTORY, REPORT), `${JSON.stringify(report, undefined, 2)}\n`);
  console.log(json ? JSON.stringify(report, undefined, 2) : render(measurements, runs));
}

/** Makes sure that nothing of a stack is there: a benchmark begins with nothing, and is no reason to lose data. */
async function requireNothing(stack: Stack, replace: boolean): Promise<void> {
  const containers = await inspectContainers(containerNames(stack));
  if (containers.length > 0 && !replace) {
    throw new Failure(`${stack.name} is up, and a benchmark begins with nothing. Take it down first (npm run down -- ${stack.name}), or have it taken away with its data: npm run bench:up -- ${stack.name} --replace`);
  }
  if (containers.length > 0) await down(stack.name, { remove: false, forget: false, yes: true, json: false });
  const volumes = await existingVolumes(volumeNames(stack));
  if (volumes.length > 0) throw new Failure(`There are volumes of ${stack.name}, and a benchmark begins with nothing: ${listed(volumes)}. Remove them, if their data may go: docker volume rm ${volumes.join(" ")}`);
}

async function measure(stack: Stack, command: string, runs: number): Promise<Measurement[]> {
  const directory = mkdtempSync(path.join(tmpdir(), "citus-sharding-bench-"));
  const pulumi = copyProject(stack.name, command, directory);
  const seconds: Record<Figure, number[]> = { up: [], demo: [], preview: [], unchanged: [], destroy: [] };
  try {
    await succeed(pulumi, ["stack", "init", "--no-select"]);
    for (let run = 1; run <= runs; run += 1) {
      const note = (figure: Figure, value: number): void => {
        seconds[figure].push(value);
        say(`${stack.name}, run ${run} of ${runs}: ${FIGURES[figure]} ${duration(value * 1000)}`);
      };
      note("up", await update(pulumi, "up"));
      await requireStandbys(stack);
      const state = stateFrom(await succeed(pulumi, ["stack", "export", "--show-secrets"]));
      note("demo", (await loadDemo(stack, state.outputs["uris"] as ConnectionUris)).loadMs / 1000);
      note("preview", await timed(() => succeed(pulumi, ["preview", "--expect-no-changes"])));
      note("unchanged", await update(pulumi, "up", true));
      note("destroy", (await update(pulumi, "destroy")) + (await timed(() => dropVolumes(stack))));
    }
  } finally {
    // Whatever ended the benchmark, nothing of it stays.
    await pulumi.run(["destroy", "--yes", "--skip-preview"], { timeoutMs: 300_000 });
    await dropVolumes(stack);
    rmSync(directory, { recursive: true, force: true });
  }
  return (Object.keys(FIGURES) as Figure[]).map((figure) => {
    const median = medianOf(seconds[figure]);
    const target = TARGETS[figure][stack.settings.topology];
    return { stack: stack.name, figure, seconds: seconds[figure].map(rounded), median: rounded(median), target, met: median <= target };
  });
}

/** Pulumi leaves volumes alone; those of a benchmark hold nothing but its own. */
async function dropVolumes(stack: Stack): Promise<void> {
  await removeVolumes(await existingVolumes(volumeNames(stack)));
}

function copyProject(stack: string, command: string, directory: string): Pulumi {
  cpSync(PROJECT_DIRECTORY, directory, { recursive: true, filter: (source) => !NOT_COPIED.has(path.relative(PROJECT_DIRECTORY, source)) });
  symlinkSync(path.join(PROJECT_DIRECTORY, "node_modules"), path.join(directory, "node_modules"), "junction");
  writeFileSync(path.join(directory, path.basename(stackFile(stack))), benchConfiguration(readFileSync(stackFile(stack), "utf8")));
  const state = path.join(directory, ".pulumi", "state");
  mkdirSync(state, { recursive: true });
  return new Pulumi(command, stack, { PULUMI_BACKEND_URL: pathToFileURL(state).href, PULUMI_CONFIG_PASSPHRASE: randomBytes(16).toString("hex") }, directory);
}

/** Runs an update to its end; the seconds that it took. */
async function update(pulumi: Pulumi, verb: "up" | "destroy", expectNoChanges = false): Promise<number> {
  const progress = new Progress();
  const startedAt = performance.now();
  const { code, other, interrupted } = await pulumi.update([verb, "--yes", "--skip-preview"], (event) => void progress.accept(event), () => say("Ending: what the benchmark has made is taken away."));
  const seconds = (performance.now() - startedAt) / 1000;
  if (interrupted) throw new Failure("The benchmark was stopped; what it had made was taken away.");
  if (code !== 0) throw new Failure(updateFailure(pulumi.stack, verb === "up" ? "up" : "down", progress.errors, other));
  if (expectNoChanges && progress.changed) throw new Failure(`A second update of ${pulumi.stack} had something to change, and should not have: ${JSON.stringify(progress.changes)}`);
  return seconds;
}

/** The set-up ends when all standbys stream; a figure counts only if that is so. */
async function requireStandbys({ name, plan }: Stack): Promise<void> {
  const group = plan.coordinators?.members.map((member) => member.name) ?? [];
  if (group.length === 0) return;
  const streaming = ((await patroniCluster(group)) ?? []).filter((member) => !isLeader(member) && isInService(member)).length;
  if (streaming < group.length - 1) throw new Failure(`${name} was said to be up with ${streaming} of ${group.length - 1} standbys streaming: the figure does not count.`);
}

async function succeed(pulumi: Pulumi, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await pulumi.run(args);
  if (code !== 0) throw new Failure(`pulumi ${args.join(" ")} failed: ${lastLine(stderr || stdout)}`);
  return stdout;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1000;
}

/** The middle one of the values; of an even number the mean of the middle two. */
export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1);
  return middle.reduce((sum, value) => sum + value, 0) / middle.length;
}

function rounded(seconds: number): number {
  return Number(seconds.toFixed(2));
}

function render(measurements: readonly Measurement[], runs: number): string {
  const seconds = (value: number): string => `${value.toFixed(1)} s`;
  const rows = measurements.map(({ stack, figure, seconds: values, median, target, met }) => [
    stack,
    FIGURES[figure],
    seconds(median),
    runs === 1 ? "" : `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`,
    `≤ ${target} s`,
    met ? "met" : "missed",
  ]);
  const paint = (cell: string, row: number, column: number): string => {
    if (row === 0) return colors.dim(cell);
    return column === 5 ? (cell.trim() === "met" ? colors.green(cell) : colors.red(cell)) : cell;
  };
  return [...table([["stack", "figure", runs === 1 ? "time" : `median of ${runs}`, runs === 1 ? "" : "range", "target", ""], ...rows], paint), "", `In ${REPORT}, too.`].join("\n");
}
