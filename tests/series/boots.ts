import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { percentile } from "../../chaos/percentile";
import { connect, connectionUris, coordinatorUris } from "../../cli/connections";
import { docker } from "../../cli/docker";
import { Failure } from "../../cli/failure";
import { inspectContainers } from "../../cli/live";
import { numberOption } from "../../cli/numberOption";
import { fail, listed, say } from "../../cli/print";
import { requireStack } from "../../cli/project";
import { run } from "../../cli/run";
import { containerNames, readStack, type Stack } from "../../cli/stack";
import { table } from "../../cli/table";
import { writeEveryShard } from "../../setup/probe";
import { Writers } from "./writers";

/** How a boot came about: the engine stopped in order, or everything ended at once. */
type BootKind = "restart" | "power cut";

/** One boot of the engine, and how the stack took it. */
interface Boot {
  readonly kind: BootKind;
  /** From the engine's first answer until every container of the plan ran; undefined if they never did. */
  readonly runningSeconds?: number;
  /** From the engine's first answer until every shard of every cluster took a write; undefined if they never did. */
  readonly writingSeconds?: number;
  /** Containers that did not run when the engine answered first. */
  readonly down: readonly string[];
  /** What never came. */
  readonly problem?: string;
  /** Acknowledged rows before the boot, and those of them that were gone afterwards. */
  readonly acknowledged: number;
  readonly lost: number;
}

interface Options {
  readonly start: string;
  readonly stop: string;
  readonly kill: string;
  readonly times?: string;
  readonly only?: string;
  readonly writers?: string;
}

/** The engine's machine may be busy. */
const COMMAND_TIMEOUT_MS = 300_000;
const ENGINE_TIMEOUT_MS = 120_000;
/** A stack that is not whole after so long does not become so. */
const WHOLE_TIMEOUT_MS = 120_000;
const POLL_MS = 200;
/** How long clients write before a boot, and quiet after it before what they were told is checked. */
const WRITING_MS = 5000;
const QUIET_MS = 5000;

async function main(names: readonly string[], { start, stop, kill, times: given, only, writers: count }: Options): Promise<void> {
  const times = numberOption("times", given, { from: 1, to: 1000, whole: true }) ?? 20;
  const sessions = numberOption("writers", count, { from: 0, to: 64, whole: true }) ?? 4;
  if (only !== undefined && only !== "stop" && only !== "kill") throw new Failure(`--only is "${only}": it must be stop or kill.`);
  const stacks = names.map((name) => readStack(name));
  const uris = (await Promise.all(stacks.map(async (stack) => coordinatorUris(stack, await connectionUris(stack.name)).map(({ uri }) => uri)))).flat();
  const kinds: readonly BootKind[] = [...(only === "kill" ? [] : (["restart"] as const)), ...(only === "stop" ? [] : (["power cut"] as const))];
  const unready = (await until(() => firstRefusal(uris))) ?? (await until(() => Writers.prepare(uris).then(() => undefined, String)));
  if (unready !== undefined) throw new Failure(`${listed(names)} ${names.length > 1 ? "are" : "is"} not whole to begin with: ${unready}. npm run status -- ${names.join(", or ")} has more.`);
  const boots: Boot[] = [];
  for (const kind of kinds) {
    for (let number = 1; number <= times; number += 1) {
      const boot = await bootOnce(stacks, uris, kind, { down: kind === "restart" ? stop : kill, up: start, sessions });
      boots.push(boot);
      say(`${kind} ${number} of ${times}: ${sentence(boot)}`);
    }
  }
  console.log(JSON.stringify({ stacks: names, engine: (await docker(["version", "--format", "{{.Server.Version}}"])).stdout, boots }, undefined, 2));
  say(summary(boots).join("\n"));
  if (boots.some(({ problem, lost }) => problem !== undefined || lost > 0)) process.exitCode = 1;
}

async function bootOnce(stacks: readonly Stack[], uris: readonly string[], kind: BootKind, { down, up, sessions }: { down: string; up: string; sessions: number }): Promise<Boot> {
  const writers = Writers.open(uris, sessions);
  await delay(WRITING_MS);
  await shell(down);
  const acknowledged = await writers.stop();
  const started = shell(up);
  const answeredAt = await firstAnswer();
  const [names, after] = [stacks.flatMap(containerNames), (): number => (performance.now() - answeredAt) / 1000];
  const stopped = async (): Promise<string[]> => {
    const running = new Set((await inspectContainers(names)).filter(({ status }) => status === "running").map((container) => container.name));
    return names.filter((name) => !running.has(name));
  };
  const atFirst = await stopped();
  const running = until(async () => {
    const missing = await stopped();
    return missing.length === 0 ? undefined : `${listed(missing)} did not run`;
  }).then((problem) => ({ problem, seconds: after() }));
  const writing = until(() => firstRefusal(uris)).then((problem) => ({ problem, seconds: after() }));
  const [containers, writes] = await Promise.all([running, writing, started]);
  await delay(QUIET_MS);
  const lost = writes.problem === undefined ? await writers.missing(acknowledged) : 0;
  const problem = [containers.problem, writes.problem].filter((text) => text !== undefined).join("; ");
  return {
    kind,
    down: atFirst,
    acknowledged: acknowledged.length,
    lost,
    ...(containers.problem === undefined && { runningSeconds: containers.seconds }),
    ...(writes.problem === undefined && { writingSeconds: writes.seconds }),
    ...(problem !== "" && { problem }),
  };
}

/** Why not every shard of every cluster takes a write; undefined if each does. */
async function firstRefusal(uris: readonly string[]): Promise<string | undefined> {
  for (const uri of uris) {
    const client = await connect(uri).catch((error: unknown) => String(error));
    if (typeof client === "string") return `a coordinator did not answer: ${client}`;
    const result = await writeEveryShard(client).catch((error: unknown) => String(error)).finally(() => void client.end().catch(() => undefined));
    if (typeof result === "string") return result;
    if (result.failed.length > 0) return `${result.failed.length} of ${result.shards} shards took no write: ${result.failed[0]?.error ?? ""}`;
  }
  return undefined;
}

/** When the engine answered first, in the time of `performance.now()`. */
async function firstAnswer(): Promise<number> {
  for (const endsAt = performance.now() + ENGINE_TIMEOUT_MS; performance.now() < endsAt; await delay(POLL_MS)) {
    if ((await docker(["version", "--format", "{{.Server.Version}}"], 5000)).code === 0) return performance.now();
  }
  throw new Failure(`The engine did not answer within ${ENGINE_TIMEOUT_MS / 1000} s of its start.`);
}

/** Asks until nothing is wrong; what was wrong last, when time is up. */
async function until(problem: () => Promise<string | undefined>): Promise<string | undefined> {
  const endsAt = performance.now() + WHOLE_TIMEOUT_MS;
  for (;;) {
    const found = await problem();
    if (found === undefined || performance.now() > endsAt) return found;
    await delay(POLL_MS);
  }
}

async function shell(command: string): Promise<void> {
  const { code, stderr } = await run("sh", ["-c", command], { timeoutMs: COMMAND_TIMEOUT_MS });
  if (code !== 0) throw new Failure(`"${command}" failed (${code}): ${stderr}`);
}

function sentence({ runningSeconds, writingSeconds, down, problem, acknowledged, lost }: Boot): string {
  const seconds = (value: number | undefined): string => (value === undefined ? "never" : `${value.toFixed(1)} s`);
  return `all run after ${seconds(runningSeconds)}, every shard takes a write after ${seconds(writingSeconds)}; ${down.length} down at first; ${lost} of ${acknowledged} acknowledged rows lost${problem === undefined ? "" : `; ${problem}`}`;
}

function summary(boots: readonly Boot[]): string[] {
  const kinds = [...new Set(boots.map(({ kind }) => kind))];
  const figures = (values: readonly (number | undefined)[]): string[] => {
    const known = values.filter((value) => value !== undefined);
    return [50, 95, 100].map((share) => (known.length === 0 ? "-" : `${percentile(known, share).toFixed(1)} s`));
  };
  const rows = kinds.flatMap((kind) => {
    const some = boots.filter((boot) => boot.kind === kind);
    const whole = (of: readonly unknown[]): string => `${of.filter((value) => value !== undefined).length} of ${of.length}`;
    const [running, writing] = [some.map(({ runningSeconds }) => runningSeconds), some.map(({ writingSeconds }) => writingSeconds)];
    const lost = `${some.reduce((sum, boot) => sum + boot.lost, 0)} of ${some.reduce((sum, boot) => sum + boot.acknowledged, 0)}`;
    return [
      [kind, "every container runs", whole(running), ...figures(running), ""],
      [kind, "every shard takes a write", whole(writing), ...figures(writing), lost],
    ];
  });
  return table([["boot", "", "came", "median", "p95", "longest", "acknowledged rows lost"], ...rows]);
}

new Command("npm run series:boots --")
  .description("Stops or kills the Docker engine and starts it again, many times, and measures until the stack is whole by itself. Whoever calls it knows how to: it gives the commands.")
  .argument("[stacks...]", "the stacks, which are up; of several, the last one that is whole decides")
  .requiredOption("--start <command>", "starts the engine; may end before the engine answers")
  .requiredOption("--stop <command>", "stops the engine gracefully, and waits until it is gone")
  .requiredOption("--kill <command>", "ends the engine and all containers at once")
  .option("--times <count>", "boots of each kind", "20")
  .option("--only <kind>", "only boots after stop, or only after kill")
  .option("--writers <count>", "sessions that write until the engine goes", "4")
  .action((stacks: readonly string[], options: Options) => main(stacks.length === 0 ? [requireStack("series:boots", undefined)] : stacks.map((stack) => requireStack("series:boots", stack)), options))
  .parseAsync()
  .catch((error: unknown) => {
    if (!(error instanceof Failure)) throw error;
    fail(error.message);
    process.exitCode = 1;
  });
