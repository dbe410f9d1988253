import { existsSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import colors from "picocolors";
import { ChoiceError, chooseFaults, type Planned } from "../chaos/faults/catalogue";
import type { CutExtent } from "../chaos/faults/fault";
import { Gaps, type FaultEffect } from "../chaos/gaps";
import { groupTarget } from "../chaos/groupTarget";
import { HistoryError } from "../chaos/historyFile";
import type { Judgement } from "../chaos/judge";
import { limitsOf } from "../chaos/limits";
import type { Disturber } from "../chaos/load";
import type { Limit, Objectives } from "../chaos/objectives";
import { Random } from "../chaos/random";
import { recheck } from "../chaos/recheck";
import { Recorder } from "../chaos/recorder";
import { markdownReport, terminalReport } from "../chaos/report";
import { NotStarted, REMEMBERED_MS, runChaos, type Teller } from "../chaos/run";
import { byChance, inOrder } from "../chaos/schedule";
import { clusterTargets, guards, type ClusterTarget, type Target } from "../chaos/target";
import { toMilliseconds } from "../config/duration";
import type { Settings } from "../config/settings";
import { holderName } from "../topology/plan";
import { connectionUris, coordinatorUris } from "./connections";
import { docker, requireDocker } from "./docker";
import { Failure } from "./failure";
import { inspectContainers } from "./live";
import { numberOption } from "./numberOption";
import { say, warn } from "./print";
import { PROJECT_DIRECTORY, requireStack } from "./project";
import { readStack } from "./stack";
import { StatusLine } from "./statusLine";

/** Options of `npm run chaos` as they are written. */
export interface ChaosOptions {
  readonly fault?: string;
  readonly role?: string;
  readonly times?: string;
  readonly minutes?: string;
  readonly seed?: string;
  readonly hold?: string;
  readonly dense?: string | boolean;
  readonly disturb?: string;
  readonly cut?: string;
  readonly shape?: boolean;
  readonly engineRestart?: string;
  /** Containers of a group: its members, etcd's, and HAProxy's. */
  readonly members?: string;
  readonly etcd?: string;
  readonly haproxy?: string;
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
  /** How many clients write without a pause; in runs of minutes in bursts only, unless the user asked for them. */
  readonly dense: number;
  readonly bursts: boolean;
  readonly disturbers: readonly Disturber[];
  /** What power cuts take; none for the databases. */
  readonly cuts: readonly CutExtent[];
  readonly shaped: boolean;
  readonly engineRestart?: string;
}

/** Where a group's URIs come from: they hold its password, which belongs on no command line. */
const URI_VARIABLE = "CHAOS_URI";
const STANDBYS_URI_VARIABLE = "CHAOS_STANDBYS_URI";
const CUTS: readonly CutExtent[] = ["databases", "etcd", "everything"];
const DISTURBERS: readonly Disturber[] = ["schema", "moves"];
const DENSE_CLIENTS = 12;
const LARGEST_SEED = 2 ** 32 - 1;
/** A program that runs late measures too much; less than this does not matter. */
const LATE_MS = 100;

/**
 * `npm run chaos -- <stack>`: breaks a running stack while clients write, heals it, and checks what it acknowledged.
 * `npm run chaos -- group` does that to a Patroni group without Citus, `npm run chaos -- check <file>` checks a history again. Exits with 1 if something is not as it should be.
 */
export async function chaos(what: string | undefined, file: string | undefined, options: ChaosOptions): Promise<void> {
  if (what === "check") return check(file, options.json);
  if (what === "group") return group(options);
  const name = requireStack("chaos", what);
  if (file !== undefined) throw new Failure(`"${file}" is one too many: npm run chaos takes one stack.`);
  const request = chaosRequest(options);
  const stack = readStack(name);
  const clusterNames = stack.plan.clusters.map((plan): ClusterTarget => ({ name: plan.name, plan, uri: "" }));
  const planned = choose(() => chooseFaults(stack.plan, clusterNames, request.faults, request.role));
  const { local } = await requireDocker();
  const uris = await connectionUris(name);
  const target: Target = { stack: name, plan: stack.plan, clusters: clusterTargets(stack.plan, coordinatorUris(stack, uris), uris["standbys"]), local };
  await run(target, objectivesOf(stack.settings), limitsFor(target), planned, request, options.json);
}

/** `npm run chaos -- group --members … --etcd …`: the same for a Patroni group of another program. Its URI, which holds the password, comes in the environment. */
async function group(options: ChaosOptions): Promise<void> {
  const { [URI_VARIABLE]: uri, [STANDBYS_URI_VARIABLE]: standbysUri } = process.env;
  const [members, etcd] = [named(options.members), named(options.etcd)];
  const example = `For example: ${URI_VARIABLE}=postgresql://… npm run chaos -- group --members db-1,db-2,db-3 --etcd etcd-1,etcd-2,etcd-3`;
  if (members.length === 0) throw new Failure(`Which containers are the group's members? ${example}`);
  if (etcd.length % 2 === 0) throw new Failure(`--etcd has ${etcd.length} names: it must name all containers of etcd, an odd number. ${example}`);
  if (uri === undefined) throw new Failure(`${URI_VARIABLE} is not set: it must be where the leader takes statements, with the password. ${example}`);
  const request = chaosRequest(options);
  const { local } = await requireDocker();
  const all = [...members, ...etcd, ...(options.haproxy === undefined ? [] : [options.haproxy])];
  const live = await inspectContainers(all.flatMap((name) => [name, holderName(name)]));
  const missing = all.find((name) => !live.some((container) => container.name === name));
  if (missing !== undefined) throw new Failure(`There is no container ${missing}. ${example}`);
  const held = all.filter((name) => live.some((container) => container.name === holderName(name)));
  const [first = ""] = members;
  const network = (await docker(["inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}\n{{end}}", held.includes(first) ? holderName(first) : first])).stdout.split("\n")[0] ?? "";
  const target = groupTarget(first.replace(/-\d+$/, ""), { members, etcd, held, network, ...(options.haproxy !== undefined && { haproxy: options.haproxy }) }, uri, local, standbysUri);
  const planned = choose(() => chooseFaults(target.plan, target.clusters, request.faults, request.role));
  await run(target, { rpo: 0 }, limitsFor(target), planned, request, options.json);
}

function named(list: string | undefined): string[] {
  return (list ?? "").split(",").map((name) => name.trim()).filter((name) => name !== "");
}

/**
 * What the options ask for, checked.
 *
 * @throws {@link Failure} that says what would be right.
 */
export function chaosRequest({ fault, role, times, minutes, seed, hold, dense, disturb, cut, shape = false, engineRestart }: Omit<ChaosOptions, "json">): ChaosRequest {
  if (times !== undefined && minutes !== undefined) throw new Failure("--times and --minutes do not go together: faults happen so often, or for so long.");
  return {
    faults: fault === undefined ? [] : fault.split(",").map((name) => name.trim()),
    ...(role !== undefined && { role }),
    times: numberOption("times", times, { from: 1, to: 1000, whole: true }) ?? 1,
    ...optional("minutes", numberOption("minutes", minutes, { from: 0.1, to: 10_080 })),
    seed: numberOption("seed", seed, { from: 0, to: LARGEST_SEED, whole: true }) ?? Math.floor(Math.random() * LARGEST_SEED),
    ...optional("holdMs", scaled(numberOption("hold", hold, { from: 0, to: 600 }))),
    dense: typeof dense === "string" ? (numberOption("dense", dense, { from: 0, to: 200, whole: true }) ?? 0) : dense === true || minutes !== undefined ? DENSE_CLIENTS : 0,
    bursts: minutes !== undefined && dense === undefined,
    disturbers: disturbersOf(disturb ?? (minutes === undefined ? "" : DISTURBERS.join(","))),
    cuts: cut === undefined ? [] : named(cut).map(cutExtent),
    shaped: shape,
    ...(engineRestart !== undefined && { engineRestart }),
  };
}

function disturbersOf(list: string): Disturber[] {
  return named(list).map((name) => {
    const disturber = DISTURBERS.find((known) => known === name);
    if (disturber === undefined) throw new Failure(`--disturb is "${list}": it must be ${DISTURBERS.join(" or ")}, both with a comma between, or empty for neither.`);
    return disturber;
  });
}

function cutExtent(name: string): CutExtent {
  const extent = CUTS.find((known) => known === name);
  if (extent === undefined) throw new Failure(`--cut is "${name}": it must be ${CUTS.join(", ")}, or some of them with commas between.`);
  return extent;
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

/** What the stack's settings ask for; no acknowledged write may be lost unless they allow it. */
function objectivesOf({ objectives: { rto, rpo = 0 } }: Settings): Objectives {
  return { rpo, ...(rto !== undefined && { rtoMs: toMilliseconds(rto) }) };
}

async function run(target: Target, objectives: Objectives, limits: readonly Limit[], planned: readonly Planned[], request: ChaosRequest, json: boolean): Promise<void> {
  const { seed, times, minutes, holdMs, dense, bursts, disturbers, cuts, shaped, engineRestart } = request;
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
    healed(fault) {
      const gaps = new Gaps();
      for (const event of recorder.endedSince(fault.at - REMEMBERED_MS)) gaps.add(event);
      for (const effect of gaps.effects()) if (effect.number === fault.number) line.line(faultLine(effect));
    },
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
    await runChaos(target, { recorder, seed, random, faults, objectives, limits, choices: { ...(holdMs !== undefined && { holdMs }), ...(cuts.length > 0 && { cuts }), shaped, ...(engineRestart !== undefined && { engineRestart }) }, load: { dense, bursts, disturbers }, signal: interrupt.signal, tell });
  } catch (error) {
    if (!(error instanceof NotStarted)) throw error;
    rmSync(recorder.file, { force: true });
    throw new Failure(`The run did not begin: ${error.message}. ${target.clusters.some(({ plain }) => plain === true) ? "docker ps --all" : `npm run status -- ${target.stack}`} has more.`);
  } finally {
    line.end();
    await recorder.close();
    process.off("SIGINT", onInterrupt).off("SIGTERM", onInterrupt);
  }
  const lateMs = lateness.max / 1e6;
  if (lateMs > LATE_MS) warn(`The machine did not let this program run for up to ${(lateMs / 1000).toFixed(2)} s: what it measured is at most so much too long.`);
  report(await recheck(recorder.file), recorder.file, json, skipped);
}

function limitsFor({ plan }: Target): Limit[] {
  return limitsOf({ coordinators: plan.coordinators === undefined ? "single" : "group", workers: plan.workerGroups !== undefined ? "group" : guards(plan).length > 0 ? "guarded" : "single" });
}

async function check(file: string | undefined, json: boolean): Promise<void> {
  if (file === undefined) throw new Failure("Which history? For example: npm run chaos -- check reports/chaos-active-passive-<date>.jsonl");
  if (!existsSync(file)) throw new Failure(`There is no file ${file}.`);
  const judgement = await recheck(file).catch((error: unknown) => {
    throw error instanceof HistoryError ? new Failure(error.message) : error;
  });
  report(judgement, file, json, []);
}

/** Prints a judgement, and keeps it beside the history: for programs, for people, and as pictures. */
function report(judgement: Judgement, file: string, json: boolean, skipped: readonly { fault: string; role: string; why: string }[]): void {
  const { timeline, chart, ...figures } = judgement;
  const result = JSON.stringify({ ...figures, skipped, history: file }, undefined, 2);
  const base = file.replace(/\.jsonl$/, "");
  const name = path.basename(base);
  writeFileSync(`${base}.svg`, timeline);
  writeFileSync(`${base}-gaps.svg`, chart);
  writeFileSync(`${base}.json`, `${result}\n`);
  writeFileSync(`${base}.md`, markdownReport(judgement, { "The run in time": `${name}.svg`, "All faults compared": `${name}-gaps.svg` }));
  console.log(json ? result : terminalReport(judgement));
  say(`Kept beside the history: ${path.relative(process.cwd(), base)}.md, .svg, -gaps.svg and .json.`);
  process.exitCode = judgement.met ? 0 : 1;
}

/** What a fault came to, on one line. */
export function faultLine({ fault, role, targets, at, healedAt, gap, failedWrites, problem }: FaultEffect): string {
  const hit = targets.length > 3 ? `${targets.length} containers` : targets.join(", ");
  const errors = `${failedWrites} ${failedWrites === 1 ? "error" : "errors"}`;
  const after = healedAt === undefined ? "" : ` after ${((healedAt - at) / 1000).toFixed(1)} s`;
  const whole = problem === undefined ? `whole again${after}` : colors.red(`not whole${after}: ${problem}`);
  return `${fault} ${role === fault || role === "stack" ? "" : `${role} `}${hit}: longest gap ${gap === undefined ? "unknown" : `${(gap.ms / 1000).toFixed(2)} s`}, ${errors}, ${whole}`;
}
