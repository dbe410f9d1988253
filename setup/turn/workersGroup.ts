import { setTimeout as delay } from "node:timers/promises";
import { COPY_PROGRESS } from "../../topology/copyProgress";
import { IN_STEP_PORT } from "../../topology/guard";
import { LEAVING_LOCK_CLASS, SET_UP_LOCK } from "../../topology/locks";
import type { NodeAddress, TurnGroup } from "../../topology/plan";
import { Deadline } from "../deadline";
import { docker, EXEC_TIMEOUT_MS } from "../docker";
import type { Report } from "../report";
import { reason, SetupError } from "../setupError";
import { existing, healthOf } from "./existing";
import { BROKEN_SECONDS, DOWN_SECONDS, PATIENCE_SECONDS, type Group, type Verdict } from "./group";
import { PsqlSession } from "./psqlSession";

/** What the coordinator has registered. */
export interface Registered {
  /** Those with the fewest placements first. */
  readonly workers: readonly { readonly groupId: number; readonly host: string; readonly port: number; readonly active: boolean }[];
  /** Shards that have fewer usable placements than they should, and than there are workers for. */
  readonly missing: number;
}

/** A Citus cluster's nodes that are in no Patroni group, with the one that is about to be replaced. */
export interface WorkersView {
  readonly member: string;
  /** The planned workers that there are. */
  readonly workers: readonly string[];
  /** Nodes that take statements. */
  readonly answering: ReadonlySet<string>;
  /** Shards have copies, and a guard is planned, which brings workers back. */
  readonly guarded: boolean;
  /** There is one already. */
  readonly guardRuns: boolean;
  /** Undefined if no coordinator answers; not asked for where no guard runs. */
  readonly registered?: Registered | undefined;
  /** Where the copies of shards on all nodes have got to: another text while one goes on. */
  readonly copies: string;
}

/**
 * Whether a node may be replaced: every worker but itself takes statements and, where shards have copies, is in service with
 * all of its placements.
 */
export function judgeWorkers({ member, workers, answering, guarded, guardRuns, registered, copies }: WorkersView): Verdict {
  const others = workers.filter((name) => name !== member);
  const isWorker = workers.includes(member);
  const isBroken = !answering.has(member);
  const wait = (name: string, because: string, progress?: string): Verdict =>
    isBroken
      ? { kind: "repair", because: "it takes no statements", afterSeconds: BROKEN_SECONDS }
      : { kind: "wait", member: name, because, limitSeconds: PATIENCE_SECONDS, ...(progress !== undefined && { progress }) };
  const silent = others.find((name) => !answering.has(name));
  if (silent !== undefined) return wait(silent, "takes no statements");
  if (!guarded) return { kind: "go" };
  // One that the same update brings comes last; one beside a coordinator that is being replaced is back soon.
  if (!guardRuns) return { kind: "repair", because: "no guard of its cluster runs", afterSeconds: DOWN_SECONDS };
  if (registered === undefined) return { kind: "repair", because: "no coordinator of its cluster answers", afterSeconds: isWorker ? DOWN_SECONDS : BROKEN_SECONDS };
  const away = registered.workers.find(({ host, active }) => !active && others.includes(host));
  if (away !== undefined) return wait(away.host, "is out of service, and its guard has not brought it back");
  const [sparsest] = registered.workers.filter(({ host }) => workers.includes(host));
  if (registered.missing > 0 && sparsest !== undefined) return wait(sparsest.host, `is being given ${registered.missing} shards anew`, `${registered.missing} ${copies}`);
  return { kind: "go" };
}

/** How long what a worker has begun may take before it is stopped, in milliseconds. */
const DRAIN_MS = 5000;
/** How long PostgreSQL may take to stop before Docker kills it, in seconds. */
const STOP_SECONDS = 60;
/** Signals that tell this process to end. */
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** How long a guard takes to see that a worker is gone, in milliseconds. */
const GUARD_SEES_MS = 700;
/** How long a guard has to answer that a worker is no longer to be read, in milliseconds: it looks every 500. */
const TOLD_MS = 4000;
/** How long the proxies that ask the guard take to have done what it says, in milliseconds: they ask every 250. */
const SHUT_MS = 600;

/** What Docker says of a guard that runs. */
const RUNNING: ReadonlySet<string> = new Set(["healthy", "starting", "unhealthy"]);

const REGISTERED = `
  SELECT json_build_object(
    'workers', (
      SELECT coalesce(json_agg(json_build_object('groupId', groupid, 'host', nodename, 'port', nodeport, 'active', isactive) ORDER BY placements, nodename), '[]') FROM (
        SELECT *, (SELECT count(*) FROM pg_dist_placement p WHERE p.groupid = n.groupid) AS placements FROM pg_dist_node n WHERE groupid <> 0 AND noderole = 'primary') AS node),
    'missing', (
      SELECT count(*) FROM (
        SELECT replicationfactor, (
          SELECT count(*) FROM pg_dist_placement p JOIN pg_dist_node n ON n.groupid = p.groupid AND noderole = 'primary' AND isactive WHERE p.shardid = s.shardid) AS placed
        FROM pg_dist_shard s JOIN pg_dist_partition d USING (logicalrelid) JOIN pg_dist_colocation USING (colocationid) WHERE partmethod = 'h') AS shard
      WHERE replicationfactor > 1 AND placed < least(replicationfactor, (SELECT count(*) FROM pg_dist_node WHERE noderole = 'primary' AND isactive AND shouldhaveshards))))`;

/** The live nodes of a Citus cluster that are in no Patroni group, of which `member` is about to be replaced. */
export function workersGroup(member: string, { cluster, coordinators, workers, guards }: Extract<TurnGroup, { kind: "citus" }>, report: Report): Group {
  let session: PsqlSession | undefined;
  const drop = (): undefined => {
    session?.close();
    session = undefined;
  };
  const address = (name: string): NodeAddress => workers.find(({ container }) => container === name) ?? { host: name, port: 5432, container: name };
  const view = async (): Promise<WorkersView> => {
    const there = await existing(workers.map(({ container }) => container));
    const nodes = [...new Set([...there, member])];
    const copies = await Promise.all(nodes.map(copyProgress));
    const guardRuns = [...(await healthOf(guards)).values()].some((state) => RUNNING.has(state));
    session ??= guardRuns ? await openCoordinator(coordinators) : undefined;
    const registered = await session?.ask(REGISTERED).catch(drop);
    return {
      member,
      workers: there,
      answering: new Set(nodes.filter((_, index) => copies[index] !== undefined)),
      guarded: guards.length > 0,
      guardRuns,
      ...(registered !== undefined && { registered: JSON.parse(registered) as Registered }),
      copies: copies.join("; "),
    };
  };
  return {
    async look() {
      return judgeWorkers(await view());
    },
    async leave() {
      const registered = session && (JSON.parse(await session.ask(REGISTERED)) as Registered);
      const { host, port } = address(member);
      const worker = registered?.workers.find((other) => other.host === host && other.active);
      if (session === undefined || worker === undefined) return;
      if (![...(await healthOf(guards)).values()].includes("healthy")) {
        report.found(member, "is replaced without being taken out of service before: no guard of its cluster is healthy, which would bring it back");
        return;
      }
      report.activity = `waiting until the guard or another set-up of ${cluster} is done`;
      const lock = session;
      await new Deadline(PATIENCE_SECONDS).poll(
        async () => ((await lock.ask(`SELECT pg_try_advisory_lock(${SET_UP_LOCK})`)) === "t" ? true : undefined),
        () => `The guard, or another set-up of ${cluster}, was still at work after ${PATIENCE_SECONDS} s. ${member} and those after it were not touched; run the update again`,
      );
      report.activity = `taking ${member} out of service`;
      await lock.ask(`SELECT pg_advisory_lock(${LEAVING_LOCK_CLASS}, ${worker.groupId})`);
      if (await isToldToShut(lock.container, host)) await delay(SHUT_MS);
      else report.found(member, "may be read for up to a second after it is out of service: its guard, perhaps of an older version, does not keep readers away before");
      try {
        await lock.ask(`SET statement_timeout = '10s'; SELECT citus_disable_node('${host}', ${port}, true)`, 2 * EXEC_TIMEOUT_MS);
      } catch (error) {
        report.found(member, `is replaced without being taken out of service before: ${reason(error)}`);
        return;
      }
      await drained(member);
      // Stopped while the lock keeps the guard away: it would bring back at once what answers it.
      await orStartedAgain(member, async () => {
        const { code, stderr } = await docker(["stop", "--time", String(STOP_SECONDS), member]);
        if (code !== 0) throw new SetupError(`Docker could not stop ${member}, which the guard brings back now: ${stderr}. Run the update again`);
        await delay(GUARD_SEES_MS);
      });
      report.did(member, "out of service; its guard brings it back when it is another one");
    },
    close: drop,
  };
}

/** A session of the coordinator: of the container whose PostgreSQL is no standby. */
async function openCoordinator(coordinators: readonly string[]): Promise<PsqlSession | undefined> {
  for (const container of coordinators) {
    const session = new PsqlSession(container);
    if ((await session.ask("SELECT pg_is_in_recovery()").catch(() => undefined)) === "f") return session;
    session.close();
  }
  return undefined;
}

/** Whether the guard beside a coordinator says in time that a worker is not to be read. */
async function isToldToShut(coordinator: string, host: string): Promise<boolean> {
  for (const endsAt = performance.now() + TOLD_MS; performance.now() < endsAt; await delay(100)) {
    if ((await inStep(coordinator))?.includes(host) === false) return true;
  }
  return false;
}

/** The workers of which the guard beside a coordinator says that they may be read; undefined where it does not answer. */
async function inStep(coordinator: string): Promise<string[] | undefined> {
  // The images have no program for HTTP.
  const ask = `exec 3<>/dev/tcp/127.0.0.1/${IN_STEP_PORT} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3`;
  const { code, stdout } = await docker(["exec", coordinator, "bash", "-c", ask], "", EXEC_TIMEOUT_MS);
  const [, names] = /^HTTP\/1\.\d 200[^]*?\r\n\r\n([^]*)$/.exec(stdout) ?? [];
  return code === 0 ? names?.split("\n") : undefined;
}

/** Where the copies of shards on a node have got to; undefined if it takes no statements. */
async function copyProgress(container: string): Promise<string | undefined> {
  const statement = `SELECT format('steps: %s', (${COPY_PROGRESS})) WHERE NOT pg_is_in_recovery()`;
  const { code, stdout } = await docker(["exec", container, "psql", "-U", "postgres", "-XqAt", "-c", statement], "", EXEC_TIMEOUT_MS);
  return code === 0 && stdout !== "" ? stdout : undefined;
}

/** Waits, but not for long, until a worker is done with what it was asked before it was taken out of service. */
async function drained(worker: string): Promise<void> {
  const statement = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'citus_internal%' AND state <> 'idle'";
  for (const endsAt = performance.now() + DRAIN_MS; performance.now() < endsAt; await delay(100)) {
    const { code, stdout } = await docker(["exec", worker, "psql", "-U", "postgres", "-XqAt", "-c", statement], "", EXEC_TIMEOUT_MS);
    if (code !== 0 || stdout === "0") return;
  }
}

/**
 * Stops a worker that is out of service by `stop`. Where that fails, or this process is told to end meanwhile, the worker is started again:
 * its guard brings back only what answers it.
 */
async function orStartedAgain(worker: string, stop: () => Promise<void>): Promise<void> {
  let interrupt = (): void => undefined;
  const interrupted = new Promise<never>((_, reject) => {
    interrupt = () => reject(new SetupError(`The update was told to end while ${worker} was being stopped, which the guard brings back now. Run the update again`));
  });
  for (const signal of ENDING) process.once(signal, interrupt);
  try {
    await Promise.race([stop(), interrupted]);
  } catch (error) {
    // Not by `docker start`, which does nothing while Docker is still stopping it.
    await docker(["restart", "--time", String(STOP_SECONDS), worker]);
    throw error;
  } finally {
    for (const signal of ENDING) process.off(signal, interrupt);
  }
}
