import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import * as path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import colors from "picocolors";
import type { Application } from "../blast/application";
import { columnsOf, comparisonPage, comparisonTable } from "../blast/comparison";
import { costOf, type FaultCost } from "../blast/cost";
import { share } from "../blast/figures";
import { layoutOf } from "../blast/layout";
import { blastPicture } from "../blast/picture";
import { PooledApplication } from "../blast/pooledApplication";
import { markdownReport, terminalReport, type BlastReport } from "../blast/report";
import { RoutedApplication } from "../blast/routedApplication";
import { NotStarted, runBlast, type RunOptions, type Teller } from "../blast/run";
import { MOST_TENANTS } from "../blast/tenants";
import { chooseVictims, KINDS, type Victim } from "../blast/victims";
import { ChoiceError } from "../chaos/faults/catalogue";
import { Recorder } from "../chaos/recorder";
import { clusterTargets, type Target } from "../chaos/target";
import { reason } from "../setup/setupError";
import { connectionUris, coordinatorUris } from "./connections";
import { requireDocker } from "./docker";
import { Failure } from "./failure";
import { numberOption } from "./numberOption";
import { listed, say, warn } from "./print";
import { PROJECT_DIRECTORY, requireStack } from "./project";
import { readStack, type Stack } from "./stack";
import { StatusLine } from "./statusLine";

/** Options of `npm run blast` as they are written. */
export interface BlastOptions {
  readonly kill?: string;
  readonly tenants?: string;
  readonly seconds?: string;
  readonly json: boolean;
}

/** What the options ask for. */
export interface BlastRequest {
  /** How many tenants write. */
  readonly tenants: number;
  /** How long what is killed stays dead. */
  readonly deadMs: number;
}

const REPORTS = path.join(PROJECT_DIRECTORY, "reports");
const COMPARISON = "blast-comparison";
const TENANTS = 300;
const DEAD_SECONDS = 10;
/** A program that runs late measures too much; less than this does not matter. */
const LATE_MS = 100;

/**
 * `npm run blast -- <stack>`: kills what a user names while an application's tenants write, and says what that cost them. `npm run blast -- compare [reports]` puts
 * reports of several stacks on one page. Exits with 1 if an acknowledged write was lost or doubled, or something else is not as it should be.
 */
export async function blast(what: string | undefined, reports: readonly string[], options: BlastOptions): Promise<void> {
  if (what === "compare") return compare(reports, options.json);
  const name = requireStack("blast", what);
  if (reports.length > 0) throw new Failure(`"${reports.join(" ")}" is too much: npm run blast takes one stack.`);
  const request = blastRequest(options);
  const stack = readStack(name);
  const victims = choose(stack, options.kill);
  const { local } = await requireDocker();
  const uris = await connectionUris(name);
  const target: Target = { stack: name, plan: stack.plan, clusters: clusterTargets(stack.plan, coordinatorUris(stack, uris), uris["standbys"]), local };
  await run(target, victims, request, options.json);
}

/**
 * What the options ask for, checked.
 *
 * @throws {@link Failure} that says what would be right.
 */
export function blastRequest({ tenants, seconds }: Omit<BlastOptions, "json">): BlastRequest {
  return {
    tenants: numberOption("tenants", tenants, { from: 1, to: MOST_TENANTS, whole: true }) ?? TENANTS,
    deadMs: (numberOption("seconds", seconds, { from: 1, to: 600 }) ?? DEAD_SECONDS) * 1000,
  };
}

function choose({ plan }: Stack, kill: string | undefined): Victim[] {
  try {
    return chooseVictims(plan, kill);
  } catch (error) {
    throw error instanceof ChoiceError ? new Failure(error.message) : error;
  }
}

async function run(target: Target, victims: readonly Victim[], request: BlastRequest, json: boolean): Promise<void> {
  const base = path.join(REPORTS, `blast-${target.stack}-${new Date().toISOString().replaceAll(/[:.]/g, "-")}`);
  const line = new StatusLine();
  line.interleave(() =>
    warn(`${target.stack} is broken on purpose now: ${listed(victims.map(({ name }) => name))}. Its data is safe: clients write to rooms of their own, and their messages are removed at the end. Ctrl-C starts what is dead and ends the run.`),
  );
  const interrupt = new AbortController();
  const onInterrupt = (): void => {
    if (interrupt.signal.aborted) process.exit(130);
    interrupt.abort();
    line.line("interrupted: what is dead is started, and what was written is removed; once more Ctrl-C leaves it as it is");
  };
  process.on("SIGINT", onInterrupt).on("SIGTERM", onInterrupt);
  const lateness = monitorEventLoopDelay();
  lateness.enable();
  const tell: Teller = { doing: (activity) => line.doing(activity), warned: (sentence) => line.interleave(() => warn(sentence)) };
  const faults: FaultCost[] = [];
  let application: Application | undefined;
  try {
    application = await applicationOn(target);
    for (const victim of victims) {
      const cost = await strike(target, { application, victim, ...request, signal: interrupt.signal, tell }, `${base}-${victim.name.replaceAll(":", "-")}.jsonl`).catch((error: unknown) => {
        if (faults.length === 0 || !(error instanceof Failure)) throw error;
        // What was measured before stays worth something.
        return tell.warned(error.message);
      });
      if (cost === undefined) break;
      faults.push(cost);
      line.line(costLine(cost));
      // What is broken for good would be blamed on the next victim, too.
      if (cost.wholeAfterMs === undefined) break;
    }
  } finally {
    line.end();
    process.off("SIGINT", onInterrupt).off("SIGTERM", onInterrupt);
    await application?.end();
  }
  const lateMs = lateness.max / 1e6;
  if (lateMs > LATE_MS) warn(`The machine did not let this program run for up to ${(lateMs / 1000).toFixed(2)} s: what it measured is at most so much too long.`);
  if (faults.length === 0) return void (process.exitCode = 130);
  const { stack, plan } = target;
  const sound = faults.every(({ troubles }) => troubles.length === 0);
  keep({ kind: "blast", stack, layout: layoutOf(plan), date: new Date().toISOString(), machine: machine(), ...request, faults, sound }, base, json);
}

/** Kills one victim, with the history in a file; what it cost, or undefined if the user ended the run. @throws {@link Failure} if it did not begin. */
async function strike(target: Target, options: Omit<RunOptions, "recorder">, file: string): Promise<FaultCost | undefined> {
  const recorder = new Recorder(file);
  try {
    await runBlast(target, { ...options, recorder });
  } catch (error) {
    rmSync(file, { force: true });
    throw error instanceof NotStarted ? new Failure(`The run did not begin: ${error.message}. npm run status -- ${target.stack} has more.`) : error;
  } finally {
    await recorder.close();
  }
  return options.signal.aborted ? undefined : costOf(recorder.events, options.victim);
}

/** An application that is at home on the stack: by the tenant router where the clusters know which tenants are whose, else by a pool on the only cluster. */
async function applicationOn({ stack, plan, clusters }: Target): Promise<Application> {
  const [first] = clusters;
  if (first === undefined) throw new Failure("The stack has no cluster that could be connected to.");
  if (plan.tenancy === undefined && clusters.length > 1) throw new Failure(`${stack} has tenantFence: false, so that no room has a home that the router could find. Set it to true: npm run pulumi -- config set tenantFence true --stack ${stack}`);
  if (plan.tenancy === undefined) return new PooledApplication(first.name, first.uri);
  return RoutedApplication.open(clusters).catch((error: unknown) => {
    throw new Failure(`The tenant router cannot begin: ${reason(error)}.`);
  });
}

/** Prints a report, and keeps it: for programs, for people, and as a picture. */
function keep(report: BlastReport, base: string, json: boolean): void {
  const name = path.basename(base);
  mkdirSync(REPORTS, { recursive: true });
  writeFileSync(`${base}.json`, `${JSON.stringify(report)}\n`);
  writeFileSync(`${base}.md`, markdownReport(report, `${name}.svg`));
  writeFileSync(`${base}.svg`, blastPicture(`What a failure costs: ${report.stack}`, [{ heading: report.layout, faults: report.faults }]));
  console.log(json ? JSON.stringify(report) : terminalReport(report));
  say(`Kept: ${path.relative(process.cwd(), base)}.md, .svg and .json, and the histories beside them.`);
  process.exitCode = report.sound ? 0 : 1;
}

function compare(files: readonly string[], json: boolean): void {
  const chosen = files.length > 0 ? files : reportFiles();
  const reports = chosen.flatMap((file) => readReport(file, files.length > 0) ?? []);
  if (reports.length === 0) throw new Failure("There is no report to compare. Make them: npm run blast -- active-active, and npm run blast -- active-passive");
  const columns = columnsOf(reports);
  const [only] = columns;
  if (columns.length === 1) warn(`There is only ${only?.heading ?? "one stack"} to show: run npm run blast on another stack, too.`);
  const base = path.join(REPORTS, COMPARISON);
  const kinds = KINDS.filter((kind) => columns.some(({ faults }) => faults[kind] !== undefined));
  mkdirSync(REPORTS, { recursive: true });
  writeFileSync(`${base}.md`, comparisonPage(columns, `${COMPARISON}.svg`));
  writeFileSync(`${base}.svg`, blastPicture("What a failure costs, stack by stack", columns.map(({ heading, faults }) => ({ heading, faults: kinds.map((kind) => faults[kind]) }))));
  console.log(json ? JSON.stringify(columns) : comparisonTable(columns));
  say(`Kept: ${path.relative(process.cwd(), base)}.md and .svg.`);
}

/** All that was ever kept: the newest of each kind count. */
function reportFiles(): string[] {
  const names = existsSync(REPORTS) ? readdirSync(REPORTS) : [];
  return names.filter((name) => /^blast-.*\.json$/.test(name)).map((name) => path.join(REPORTS, name));
}

/** A kept report; undefined if the file is none and nobody named it. @throws {@link Failure} if somebody did. */
function readReport(file: string, named: boolean): BlastReport | undefined {
  if (!existsSync(file)) throw new Failure(`There is no file ${file}.`);
  try {
    const report = JSON.parse(readFileSync(file, "utf8")) as Partial<BlastReport> | null;
    if (report?.kind === "blast" && Array.isArray(report.faults)) return report as BlastReport;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  if (named) throw new Failure(`${file} is no report of npm run blast: name one such as reports/blast-active-active-<date>.json.`);
  return undefined;
}

/** What a fault came to, on one line. */
export function costLine({ victim, all, wholeAfterMs, troubles }: FaultCost): string {
  const gap = all.gapMs === undefined ? "" : `, for up to ${(all.gapMs.max / 1000).toFixed(2)} s`;
  const whole = wholeAfterMs === undefined ? colors.red("not whole again") : `whole again after ${(wholeAfterMs / 1000).toFixed(1)} s`;
  return `${victim}: ${share(all.couldNotWrite, all.tenants)} of ${all.tenants} tenants could not write${gap}; ${all.lost ?? "unknown"} acknowledged writes lost; ${whole}${troubles.length === 0 ? "" : `; ${colors.red(troubles.join("; "))}`}`;
}

function machine(): string {
  const processors = cpus().length;
  return `${processors} ${processors === 1 ? "processor" : "processors"} and ${Math.round(totalmem() / 1024 ** 3)} GB, everything on it`;
}
