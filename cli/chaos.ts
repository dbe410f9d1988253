import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import colors from "picocolors";
import { ChoiceError, chooseFaults, type Planned } from "../chaos/faults/catalogue";
import type { HistoryEvent } from "../chaos/history";
import { Random } from "../chaos/random";
import { Recorder } from "../chaos/recorder";
import { NotStarted, runChaos, type Teller } from "../chaos/run";
import { byChance, inOrder } from "../chaos/schedule";
import { isGood, summarize, summarizeFault, type FaultSummary, type Summary } from "../chaos/summary";
import type { ClusterTarget, Target } from "../chaos/target";
import { connectionUris, coordinatorUris, type ConnectionUris } from "./connections";
import { requireDocker } from "./docker";
import { Failure } from "./failure";
import { fail, listed, say, warn } from "./print";
import { PROJECT_DIRECTORY, requireStack } from "./project";
import { readStack, type Stack } from "./stack";
import { StatusLine } from "./statusLine";
import { table } from "./table";

/** Options of `npm run chaos` as they are written. */
export interface ChaosOptions {
  readonly fault?: string;
  readonly role?: string;
  readonly times?: string;
  readonly minutes?: string;
  readonly seed?: string;
  readonly hold?: string;
  readonly json: boolean;
}

/** What the options ask for. */
export interface ChaosRequest {
  /** Names of faults; none for all. */
  readonly faults: readonly string[];
  readonly role?: string;
  /** How often each fault happens; 1 unless there are minutes. */
  readonly times: number;
  /** How long faults go on, by chance, instead. */
  readonly minutes?: number;
  readonly seed: number;
  readonly holdMs?: number;
}

const LARGEST_SEED = 2 ** 32 - 1;
/** How far back from a fault the last write of every shard is. */
const BEFORE_FAULT_MS = 5000;
/** A program that runs late measures too much; less than this does not matter. */
const LATE_MS = 100;

/**
 * `npm run chaos -- <stack>`: breaks a running stack while clients write, heals it, and checks what it acknowledged.
 * `npm run chaos -- check <file>` checks a history again. Exits with 1 if something is not as it should be.
 */
export async function chaos(what: string | undefined, file: string | undefined, options: ChaosOptions): Promise<void> {
  if (what === "check") return check(file, options.json);
  const name = requireStack("chaos", what);
  if (file !== undefined) throw new Failure(`"${file}" is one too many: npm run chaos takes one stack.`);
  const request = chaosRequest(options);
  const stack = readStack(name);
  const clusterNames = stack.plan.clusters.map((plan): ClusterTarget => ({ name: plan.name, plan, uri: "" }));
  const planned = choose(() => chooseFaults(stack.plan, clusterNames, request.faults, request.role));
  const { local } = await requireDocker();
  const target = targetOf(stack, await connectionUris(name), local);
  await run(target, planned, request, options.json);
}

/**
 * What the options ask for, checked.
 *
 * @throws {@link Failure} that says what would be right.
 */
export function chaosRequest({ fault, role, times, minutes, seed, hold }: Omit<ChaosOptions, "json">): ChaosRequest {
  if (times !== undefined && minutes !== undefined) throw new Failure("--times and --minutes do not go together: faults happen so often, or for so long.");
  return {
    faults: fault === undefined ? [] : fault.split(",").map((name) => name.trim()),
    ...(role !== undefined && { role }),
    times: number("times", times, 1, 1000, true) ?? 1,
    ...optional("minutes", number("minutes", minutes, 0.1, 10_080)),
    seed: number("seed", seed, 0, LARGEST_SEED, true) ?? Math.floor(Math.random() * LARGEST_SEED),
    ...optional("holdMs", scaled(number("hold", hold, 0, 600))),
  };
}

function number(option: string, text: string | undefined, from: number, to: number, whole = false): number | undefined {
  if (text === undefined) return undefined;
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (value >= from && value <= to && (!whole || Number.isInteger(value))) return value;
  throw new Failure(`--${option} is "${text}": it must be a ${whole ? "whole number" : "number"} from ${from} to ${to}.`);
}

function scaled(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

function optional<Key extends string>(key: Key, value: number | undefined): Partial<Record<Key, number>> {
  return value === undefined ? {} : ({ [key]: value } as Record<Key, number>);
}

function choose(work: () => Planned[]): Planned[] {
  try {
    return work();
  } catch (error) {
    if (error instanceof ChoiceError) throw new Failure(error.message);
    throw error;
  }
}

function targetOf(stack: Stack, uris: ConnectionUris, local: boolean): Target {
  const standbysUri = uris["standbys"];
  const clusters = coordinatorUris(stack, uris).flatMap(({ cluster, uri }) => {
    const plan = stack.plan.clusters.find((candidate) => candidate.name === cluster);
    return plan === undefined ? [] : [{ name: cluster, plan, uri, ...(standbysUri !== undefined && { standbysUri }) }];
  });
  return { stack: stack.name, plan: stack.plan, clusters, local };
}

async function run(target: Target, planned: readonly Planned[], request: ChaosRequest, json: boolean): Promise<void> {
  const { seed, times, minutes, holdMs } = request;
  const recorder = new Recorder(path.join(PROJECT_DIRECTORY, "reports", `chaos-${target.stack}-${new Date().toISOString().replaceAll(/[:.]/g, "-")}.jsonl`));
  const random = new Random(seed);
  const endsAt = performance.now() + (minutes ?? 0) * 60_000;
  const faults = minutes === undefined ? inOrder(planned, times) : byChance(planned, random, () => performance.now() < endsAt);
  const line = new StatusLine();
  const skipped: { fault: string; role: string; why: string }[] = [];
  const tell: Teller = {
    started: () =>
      line.interleave(() => {
        warn(`${target.stack} is broken on purpose now, again and again. Its data is safe: clients write to a schema of their own, chaos, which is dropped at the end. Ctrl-C heals what is broken and ends the run.`);
        say(`Seed ${seed}: --seed ${seed} makes the same choices again. History: ${path.relative(process.cwd(), recorder.file)}`);
      }),
    doing: (activity) => line.doing(activity),
    healed: (fault, healed) => line.line(faultLine(summarizeFault(recorder.endedSince(fault.at - BEFORE_FAULT_MS), fault, healed))),
    skipped({ fault, role }, why) {
      if (skipped.some((earlier) => earlier.fault === fault.name && earlier.role === role)) return;
      skipped.push({ fault: fault.name, role, why });
      line.line(colors.dim(`${fault.name} ${role}: skipped, ${why}`));
    },
    warned: (sentence) => line.interleave(() => warn(sentence)),
  };
  const interrupt = new AbortController();
  const onInterrupt = (): void => {
    if (interrupt.signal.aborted) process.exit(130);
    interrupt.abort();
    line.line("interrupted: healing what is broken; once more Ctrl-C leaves it as it is");
  };
  process.on("SIGINT", onInterrupt).on("SIGTERM", onInterrupt);
  const lateness = monitorEventLoopDelay();
  lateness.enable();
  try {
    await runChaos(target, { recorder, seed, random, faults, ...(holdMs !== undefined && { holdMs }), signal: interrupt.signal, tell });
  } catch (error) {
    if (!(error instanceof NotStarted)) throw error;
    rmSync(recorder.file, { force: true });
    throw new Failure(`The run did not begin: ${error.message}. npm run status -- ${target.stack} has more.`);
  } finally {
    line.end();
    await recorder.close();
    process.off("SIGINT", onInterrupt).off("SIGTERM", onInterrupt);
  }
  const lateMs = lateness.max / 1e6;
  if (lateMs > LATE_MS) warn(`The machine did not let this program run for up to ${(lateMs / 1000).toFixed(2)} s: what it measured is at most so much too long.`);
  report(summarize(recorder.events), recorder.file, json, skipped);
}

function check(file: string | undefined, json: boolean): void {
  if (file === undefined) throw new Failure("Which history? For example: npm run chaos -- check reports/chaos-active-passive-<date>.jsonl");
  if (!existsSync(file)) throw new Failure(`There is no file ${file}.`);
  const events = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as HistoryEvent);
  report(summarize(events), file, json, []);
}

function report(summary: Summary, file: string, json: boolean, skipped: readonly { fault: string; role: string; why: string }[]): void {
  const result = { good: isGood(summary), ...summary, skipped, history: file };
  writeFileSync(file.replace(/\.jsonl$/, "") + ".json", `${JSON.stringify(result, undefined, 2)}\n`);
  console.log(json ? JSON.stringify(result, undefined, 2) : render(summary));
  if (!result.good) fail(`${summary.stack} has not survived this as it should.`);
  process.exitCode = result.good ? 0 : 1;
}

function render({ faults, writes, lost, doubled, miscounted, differing, complete }: Summary): string {
  const rows = faults.map(({ number: count, fault, role, targets, gapMs, errors, connectMs, wholeMs, help, problem }) => {
    const hit = targets.length > 3 ? `${targets.length} containers` : targets.join(", ");
    return [String(count), fault, role, hit, seconds(gapMs), String(errors), seconds(connectMs), seconds(wholeMs), problem ?? (help.length > 3 ? `${help.length} commands` : help.join(", "))];
  });
  const verdict = (text: string, items: readonly string[]): string => `${items.length === 0 ? colors.green("✓") : colors.red("✗")} ${items.length} ${text}${items.length === 0 ? "" : `: ${listed(items.slice(0, 5))}`}`;
  return [
    ...table([["", "fault", "role", "hit", "longest gap", "errors", "longest connect", "whole after", "help or problem"], ...rows], (cell, row) => (row === 0 ? colors.dim(cell) : cell)),
    "",
    `${writes.toLocaleString("en-US")} writes were acknowledged.`,
    ...(complete
      ? [
          verdict("of them lost", lost),
          verdict("rows doubled", doubled),
          verdict("counters wrong", miscounted),
          verdict("shards with placements that differ", Object.entries(differing).map(([shard, difference]) => `${shard} (${difference})`)),
        ]
      : [`${colors.red("✗")} It was not read back.`]),
  ].join("\n");
}

/** What a fault came to, on one line. */
export function faultLine({ fault, role, targets, gapMs, errors, wholeMs, problem }: FaultSummary): string {
  const hit = targets.length > 3 ? `${targets.length} containers` : targets.join(", ");
  const whole = problem === undefined ? `whole again after ${(wholeMs / 1000).toFixed(1)} s` : colors.red(`not whole after ${(wholeMs / 1000).toFixed(1)} s: ${problem}`);
  return `${fault} ${role === fault || role === "stack" ? "" : `${role} `}${hit}: longest gap ${seconds(gapMs)}, ${errors} ${errors === 1 ? "error" : "errors"}, ${whole}`;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}
