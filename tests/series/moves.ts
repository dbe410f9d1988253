import { createWriteStream, mkdirSync } from "node:fs";
import * as path from "node:path";
import { Command } from "commander";
import { clusterTargets, type Target } from "../../chaos/target";
import { Random } from "../../chaos/random";
import { connectionUris, coordinatorUris } from "../../cli/connections";
import { requireDocker } from "../../cli/docker";
import { Failure } from "../../cli/failure";
import { numberOption } from "../../cli/numberOption";
import { fail, say } from "../../cli/print";
import { PROJECT_DIRECTORY, requireStack } from "../../cli/project";
import { readStack } from "../../cli/stack";
import { table } from "../../cli/table";
import { clustersOf } from "../../cli/tenant/stacks";
import { createRouter } from "../../router/index";
import type { ClusterAccess } from "../../tenants/clusterAccess";
import { deal, type Planned } from "./moves/deal";
import { FAULTS, nameOf, STEPS, type Fault } from "./moves/faults";
import { Proxy } from "./moves/proxy";
import { Schema } from "./moves/schema";
import { Series, type MoveRecord, type Problem } from "./moves/series";
import type { Place } from "./moves/strike";

interface Options {
  readonly times?: string;
  readonly seed?: string;
  readonly tenants?: string;
  readonly writers?: string;
  readonly pause?: string;
  readonly only?: string;
  readonly json?: boolean;
}

const LARGEST_SEED = 2 ** 32 - 1;
/** Ids of tenants are above those that anybody uses, and others in each run. */
const FIRST_ID = 7_000_000_000_000_000;
const IDS_A_RUN = 1000;
/** Connections of the router to each cluster: for every writer, and for who gathers. */
const CONNECTIONS = 24;

/** Between two requests of a client. */
const PAUSE_MS = 5;

/** What the series judges, and which problems are of it. */
const JUDGEMENTS: readonly (readonly [string, readonly Problem["kind"][]])[] = [
  ["acknowledged writes lost", ["lost"]],
  ["applied twice, or although it was said not to be", ["doubled"]],
  ["other than acknowledged", ["wrong"]],
  ["transactions done in part", ["torn"]],
  ["rows left behind in a cluster that is not the home", ["left behind"]],
  ["copies of a shard that differ", ["copies"]],
  ["writes that two clusters took at a time", ["open twice"]],
  ["reads that saw a tenant twice or in part", ["seen"]],
  ["errors that nothing explains", ["unexpected error"]],
  ["what did not come to its end", ["stuck"]],
];

async function main(name: string, { times: given, seed: number, tenants: count, writers: sessions, pause, only, json = false }: Options): Promise<void> {
  const times = numberOption("times", given, { from: 1, to: 100_000, whole: true }) ?? 500;
  const seed = numberOption("seed", number, { from: 0, to: LARGEST_SEED, whole: true }) ?? Math.floor(Math.random() * LARGEST_SEED);
  const tenants = numberOption("tenants", count, { from: 2, to: 50, whole: true }) ?? 4;
  const writers = numberOption("writers", sessions, { from: 1, to: 20, whole: true }) ?? 3;
  const pauseMs = numberOption("pause", pause, { from: 0, to: 10_000 }) ?? PAUSE_MS;
  const faults = FAULTS.filter((fault) => nameOf(fault).includes(only ?? ""));
  if (faults.length === 0) throw new Failure(`--only is "${only ?? ""}", which is in the name of no fault. There is: ${FAULTS.map(nameOf).join(", ")}.`);
  const stack = readStack(name);
  if (stack.plan.topology !== "active-active" || stack.plan.clusters.length < 2) throw new Failure(`Tenants move between the clusters of an active-active stack, and ${name} has ${stack.plan.clusters.length}.`);
  const { local } = await requireDocker();
  const uris = await connectionUris(name);
  const target: Target = { stack: name, plan: stack.plan, clusters: clusterTargets(stack.plan, coordinatorUris(stack, uris)), local };
  const access = await clustersOf(stack);
  const random = new Random(seed);
  say(`seed ${seed}: ${times} moves of ${tenants} tenants, ${stack.settings.replicationFactor ?? 1} copies of each shard`);
  const file = path.join(PROJECT_DIRECTORY, "reports", `moves-${new Date().toISOString().replace(/[:.]/g, "-")}.jsonl`);
  mkdirSync(path.dirname(file), { recursive: true });
  const history = createWriteStream(file);
  const record = (event: Readonly<Record<string, unknown>>): void => void history.write(`${JSON.stringify({ at: Date.now(), ...event })}\n`);
  record({ type: "run", stack: name, seed, times, tenants, writers, replicationFactor: target.clusters[0]?.plan.setup.replicationFactor });
  const places = await Promise.all(target.clusters.map(async (cluster): Promise<Place> => {
    const own = access.find((one) => one.name === cluster.name) as ClusterAccess;
    return { target: cluster, access: own, ...(await Proxy.open(own)) };
  }));
  const schema = await Schema.create(target.clusters);
  const homes = await schema.settle(tenants, FIRST_ID + (Date.now() % 1_000_000) * IDS_A_RUN);
  const router = await createRouter({ clusters: Object.fromEntries(target.clusters.map((cluster) => [cluster.name, { connectionString: cluster.uri, max: CONNECTIONS }])) });
  const series = new Series(homes, { target, places, schema, router, random, writers, pauseMs, record, say });
  process.on("exit", () => series.abandon());
  let interrupted = false;
  process.once("SIGINT", () => {
    interrupted = true;
    say("ending after this move; once more to end at once");
  });
  const planned = deal(random, times, faults);
  const missed: Planned[] = [];
  for (let next = planned.shift(); next !== undefined && !interrupted; next = planned.shift()) {
    const happened = await series.move(next);
    // A second time at its step, where the mover waits for it.
    if (!happened && next.between) planned.push({ ...next, between: false });
    else if (!happened) missed.push(next);
  }
  await series.end();
  await router.end();
  for (const { proxy } of places) proxy.close();
  record({ type: "end", ...counted(series) });
  await new Promise<void>((resolve) => history.end(resolve));
  if (json) console.log(JSON.stringify({ stack: name, seed, ...counted(series), moves: series.moves, problems: series.problems, history: file }, undefined, 2));
  say(summary(series, missed, faults).join("\n"));
  say(`history: ${path.relative(process.cwd(), file)}`);
  await schema.drop([...homes.keys()]);
  if (series.problems.length > 0) process.exitCode = 1;
}

function counted({ counts: { errors, ...counts } }: Series): Readonly<Record<string, unknown>> {
  return { ...counts, errors: Object.fromEntries(errors) };
}

function summary({ moves, problems, counts }: Series, missed: readonly Planned[], chosen: readonly Fault[]): string[] {
  const rows = (name: string, of: readonly MoveRecord[]): string[] => {
    const longest = (values: readonly (number | undefined)[]): string => {
      const known = values.filter((value) => value !== undefined);
      return known.length === 0 ? "-" : `${(Math.max(...known) / 1000).toFixed(2)} s`;
    };
    const number = (condition: (move: MoveRecord) => boolean): string => String(of.filter(condition).length);
    return [
      name,
      String(of.length),
      number(({ ended }) => ended === "moved"),
      number(({ ended }) => ended === "given up"),
      number(({ recovered }) => recovered !== undefined),
      number(({ fault, hit }) => fault !== "nothing" && hit === undefined),
      longest(of.map(({ closedMs }) => closedMs)),
      longest(of.map(({ unwritableMs }) => unwritableMs)),
    ];
  };
  const head = ["", "moves", "moved", "given up", "recovered", "nothing to hit", "longest closed", "longest unwritable"];
  const faults = ["nothing", ...chosen.map(nameOf)].map((fault) => rows(fault, moves.filter((move) => move.fault === fault)));
  const steps = STEPS.map((step) => rows(step, moves.filter((move) => move.step === step)));
  const combinations = chosen.length * STEPS.length;
  const hit = new Set(moves.filter((move) => move.hit !== undefined).map(({ fault, step }) => `${fault} ${step}`));
  return [
    ...table([head, ...faults, ...steps, rows("all", moves)]),
    `${hit.size} of ${combinations} combinations of fault and step came up${missed.length === 0 ? "" : `; nothing to hit for ${[...new Set(missed.map(({ fault, step }) => `${nameOf(fault)} at "${step}"`))].join(", ")}`}`,
    `${counts.done} requests were acknowledged, ${counts.refused} refused, ${counts.unknown} left unknown; ${counts.probes} probes were taken; ${counts.gatherings} gatherings`,
    ...[...counts.errors].sort(([, one], [, other]) => other - one).slice(0, 20).map(([kind, times]) => `  ${times} times: ${kind}`),
    ...JUDGEMENTS.map(([what, kinds]) => `${problems.filter(({ kind }) => kinds.includes(kind)).length} ${what}`),
  ];
}

new Command("npm run series:moves --")
  .description("Moves tenants back and forth under writers while the mover, a node, a session or the network is stopped, paused or killed at every step, and checks that nothing is lost, nothing doubled, and one cluster open at most.")
  .argument("[stack]", "the stack, which is up; its own tables are not touched")
  .option("--times <count>", "moves", "500")
  .option("--seed <number>", "repeats the choices of an earlier run")
  .option("--tenants <count>", "tenants that are moved", "4")
  .option("--writers <count>", "writers of each tenant through the router; one more writes by hand", "3")
  .option("--pause <milliseconds>", "pause of a client between two requests", String(PAUSE_MS))
  .option("--only <words>", "only faults with these words in their name, such as stopped, killed, network")
  .option("--json", "print the moves and what was found as JSON", false)
  .action((stack: string | undefined, options: Options) => main(requireStack("series:moves", stack), options))
  .parseAsync()
  .catch((error: unknown) => {
    if (!(error instanceof Failure)) throw error;
    fail(error.message);
    process.exitCode = 1;
  });
