import { setTimeout as delay } from "node:timers/promises";
import { errorKind } from "../../../chaos/errorKind";
import { lacks } from "../../../chaos/fullStrength";
import type { Random } from "../../../chaos/random";
import type { Target } from "../../../chaos/target";
import type { Router } from "../../../router/index";
import { openSites } from "../../../tenants/move";
import { dropOrphans } from "../../../tenants/orphans";
import { lockMovers, settle, unsettledTenants, type Settled } from "../../../tenants/settle";
import { messageOf } from "../../../tenants/site";
import { compare, publicationsLeft, type Finding } from "./comparison";
import type { Planned } from "./deal";
import { nameOf } from "./faults";
import { Gate } from "./gate";
import { wrongGathering } from "./gathered";
import { Ledger } from "./ledger";
import { MoverProcess, type MoverEnd } from "./moverProcess";
import { Openness, type Probe } from "./openness";
import { Prober } from "./prober";
import { ACCOUNTS, type Schema } from "./schema";
import { endOnWorkers, strike, type Place, type Struck } from "./strike";
import { byHand, routed } from "./ways";
import { Writer } from "./writer";

/** What the series found that may not be; `open twice` and `seen` are of probes and readers, `stuck` of what did not come to its end. */
export interface Problem {
  readonly kind: Finding["kind"] | "open twice" | "seen" | "unexpected error" | "stuck";
  readonly sentence: string;
}

/** How a move ended. */
export interface MoveRecord {
  readonly number: number;
  readonly tenant: string;
  readonly from: string;
  readonly to: string;
  readonly fault: string;
  readonly step: string;
  readonly between: boolean;
  /** What was hit; absent if there was nothing to hit, or the mover had ended. */
  readonly hit?: string;
  /** What the mover said at its end: that the tenant is where it was to go, perhaps with something that failed afterwards, or that it is not; else it was stopped or killed. */
  readonly ended: "moved" | "given up" | "without a word" | "stopped";
  readonly reason?: string;
  /** What `recover` did, where there was something to settle. */
  readonly recovered?: Settled["outcome"];
  /** Where the tenant lives afterwards. */
  readonly home: string;
  /** How long nobody took writes, as the mover says. */
  readonly closedMs?: number;
  /** The longest time without a probe of the tenant that was taken, from the beginning of the move. */
  readonly unwritableMs: number;
  readonly tookMs: number;
}

/** What clients' requests ended with. */
export interface Counts {
  done: number;
  refused: number;
  unknown: number;
  probes: number;
  gatherings: number;
  /** Errors by what they said. */
  readonly errors: Map<string, number>;
}

/** A tenant, its clients, and what they were told. */
interface Subject {
  readonly tenant: string;
  home: string;
  readonly gate: Gate;
  readonly ledger: Ledger;
  readonly writers: readonly Writer[];
  readonly probers: readonly Prober[];
  /** Where probes were taken last, and since which epoch. */
  open: string;
  /** When a probe was taken last, and the longest time without since somebody looked. */
  takenAt: number;
  longestMs: number;
}

/** A mover that stands still. */
interface Stopped {
  readonly mover: MoverProcess;
  readonly subject: Subject;
  readonly until: "recover" | "the next move" | "it came back";
  readonly giver: string;
  /** Moves of the tenant since. */
  moves: number;
}

export interface SeriesOptions {
  readonly target: Target;
  readonly places: readonly Place[];
  readonly schema: Schema;
  readonly router: Router;
  readonly random: Random;
  /** Writers of each tenant: that many through the router, and one by hand. */
  readonly writers: number;
  /** Between two requests of a client, in milliseconds. */
  readonly pauseMs: number;
  /** Keeps what happens, as it happens. */
  readonly record: (event: Readonly<Record<string, unknown>>) => void;
  readonly say: (line: string) => void;
}

/** A mover that takes longer has not found its end. */
const MOVER_MS = 180_000;
/** A stack that is not whole by then, or a tenant that is not settled. */
const WHOLE_MS = 300_000;
const AGAIN_MS = 1000;
const GONE_MS = 3000;
/** A fault that comes between steps comes within so long after one. */
const BETWEEN_MS = 150;
/** How often a settling may fail before what is in its way on workers is ended, as its message says. */
const PATIENT_ATTEMPTS = 3;
/** How often it is asked what the router gathers, and for how long at most. */
const GATHER_PAUSE_MS = 50;
const GATHER_MS = 20_000;
/** The next move is one of a tenant whose mover stands still, if there is one, so often. */
const STOPPED_FIRST = 0.8;

/** Moves tenants back and forth under writers while something happens to each move, brings everything back as a person would, and compares. */
export class Series {
  readonly problems: Problem[] = [];
  readonly moves: MoveRecord[] = [];
  readonly counts: Counts = { done: 0, refused: 0, unknown: 0, probes: 0, gatherings: 0, errors: new Map() };
  private readonly openness = new Openness();
  private readonly subjects: readonly Subject[];
  private readonly stopped: Stopped[] = [];
  private reading = true;
  private readonly reader: Promise<void>;

  constructor(
    homes: ReadonlyMap<string, string>,
    private readonly options: SeriesOptions,
  ) {
    this.subjects = [...homes].map(([tenant, home]) => this.subject(tenant, home));
    this.reader = this.read();
  }

  /** One move, with what happens to it, and everything whole and compared afterwards. @returns whether what was planned has happened. */
  async move(planned: Planned): Promise<boolean> {
    const { random, places, say, record } = this.options;
    const waiting = this.stopped[0]?.subject;
    const subject = waiting !== undefined && random.next() < STOPPED_FIRST ? waiting : (random.pick(this.subjects) as Subject);
    const giver = places.find(({ target }) => target.name === subject.home) as Place;
    const taker = random.pick(places.filter((place) => place !== giver)) as Place;
    const beganAt = performance.now();
    subject.longestMs = 0;
    const mover = new MoverProcess(places.map(({ through }) => through), subject.tenant, taker.target.name, planned.fault.kind === "nothing" || planned.between ? undefined : planned.step);
    const struck = await this.strike(planned, mover, subject.tenant, giver, taker);
    const standing = planned.fault.kind === "stop" && struck !== undefined;
    if (standing) this.stopped.push({ mover, subject, until: planned.fault.until, giver: giver.target.name, moves: 0 });
    const [end] = await Promise.all([standing ? undefined : this.endOf(mover), struck?.heal?.()]);
    if (struck?.node === true) await this.whole();
    const settled = await this.settleAsAPerson(subject);
    const ended = standing ? "stopped" : end === undefined ? "without a word" : "closedMs" in end || subject.home === taker.target.name ? "moved" : "given up";
    const moved: MoveRecord = {
      number: this.moves.length + 1,
      tenant: subject.tenant,
      from: giver.target.name,
      to: taker.target.name,
      fault: nameOf(planned.fault),
      step: planned.fault.kind === "nothing" ? "" : planned.step,
      between: planned.between,
      ...(struck !== undefined && { hit: struck.what }),
      ended,
      ...(end !== undefined && "error" in end && { reason: end.error }),
      ...(settled !== undefined && { recovered: settled }),
      home: subject.home,
      ...(end !== undefined && "closedMs" in end && { closedMs: end.closedMs }),
      unwritableMs: Math.max(subject.longestMs, performance.now() - Math.max(subject.takenAt, beganAt)),
      tookMs: performance.now() - beganAt,
    };
    this.moves.push(moved);
    record({ type: "move", ...moved });
    for (const one of this.stopped.filter((other) => other.subject === subject && other.mover !== mover)) one.moves += 1;
    await this.compare(subject);
    await this.wake((one) => one.until === "recover" || (one.until === "the next move" && one.moves > 0) || (one.until === "it came back" && one.moves > 0 && one.subject.home === one.giver));
    const what = planned.fault.kind === "nothing" ? "nothing happens" : `${moved.fault} ${planned.between ? "after" : "at"} "${planned.step}"${struck === undefined ? ", and there was nothing to hit" : ""}`;
    say(`${moved.number}: tenant ${moved.tenant} from ${moved.from} to ${moved.to}, ${what}: ${ended}${settled === undefined ? "" : `, ${settled} by recover`}; lives in ${moved.home}; unwritable for ${(moved.unwritableMs / 1000).toFixed(1)} s at most; ${(moved.tookMs / 1000).toFixed(0)} s`);
    return planned.fault.kind === "nothing" || struck !== undefined;
  }

  /** Wakes up every mover that still stands still, compares every tenant once more, and ends the clients. */
  async end(): Promise<void> {
    await this.wake(() => true);
    // Servers see that a process has gone a moment later.
    await delay(GONE_MS);
    for (const subject of this.subjects) {
      await this.settleAsAPerson(subject);
      await this.compare(subject);
    }
    for (const finding of await publicationsLeft(this.options.target.clusters)) this.report(finding);
    this.reading = false;
    await Promise.all([this.reader, ...this.subjects.flatMap(({ writers, probers }) => [...writers, ...probers].map((client) => client.stop()))]);
  }

  /** Ends what is under way at once. */
  abandon(): void {
    for (const { mover } of this.stopped) mover.signal("SIGKILL");
  }

  private subject(tenant: string, home: string): Subject {
    const { places, schema, router, random, writers, pauseMs } = this.options;
    const [gate, ledger] = [new Gate(), new Ledger()];
    const uris = Object.fromEntries(places.map(({ target }) => [target.name, target.uri]));
    const ways = [...Array.from({ length: writers }, () => routed(router, tenant)), byHand(uris, tenant, home)];
    const subject: Subject = {
      tenant,
      home,
      gate,
      ledger,
      writers: ways.map(
        (way, number) =>
          new Writer({
            tenant,
            column: schema.column,
            number,
            way,
            gate,
            ledger,
            random,
            pauseMs,
            onEnd: (outcome, request, error) => {
              this.counts[outcome] += 1;
              if (error === undefined) return;
              this.count(errorKind(error.said));
              if (outcome === "unknown" || error.unexpected) this.options.record({ type: "request", tenant, writer: number, outcome, ...request, error: error.said });
              if (error.unexpected) this.report({ kind: "unexpected error", sentence: `writer ${number} of tenant ${tenant} was told ${error.said}` });
            },
          }),
      ),
      probers: places.map(({ target }) => new Prober(target, tenant, schema.column, gate, pauseMs, (probe) => this.note(subject, probe))),
      open: "",
      takenAt: performance.now(),
      longestMs: 0,
    };
    return subject;
  }

  private note(subject: Subject, probe: Probe): void {
    this.counts.probes += 1;
    subject.longestMs = Math.max(subject.longestMs, probe.endedAt - subject.takenAt);
    subject.takenAt = probe.endedAt;
    const open = `${probe.cluster} ${probe.epoch}`;
    if (open !== subject.open) this.options.record({ type: "open", ...probe });
    subject.open = open;
    const wrong = this.openness.note(probe);
    if (wrong !== undefined) this.report({ kind: "open twice", sentence: wrong });
  }

  private count(error: string): void {
    this.counts.errors.set(error, (this.counts.errors.get(error) ?? 0) + 1);
  }

  private report(problem: Problem): void {
    this.problems.push(problem);
    this.options.record({ type: "problem", move: this.moves.length, ...problem });
    this.options.say(`  ${problem.kind}: ${problem.sentence}`);
  }

  private async strike({ fault, step, between }: Planned, mover: MoverProcess, tenant: string, giver: Place, taker: Place): Promise<Struck | undefined> {
    if (fault.kind === "nothing" || !(await mover.at(step))) return undefined;
    if (between) await delay(this.options.random.between(0, BETWEEN_MS));
    try {
      return await strike(fault, { mover, tenant, places: { giver, taker }, random: this.options.random });
    } catch (error) {
      this.options.record({ type: "not struck", fault: nameOf(fault), reason: messageOf(error) });
      return undefined;
    } finally {
      mover.goOn();
    }
  }

  private async endOf(mover: MoverProcess): Promise<MoverEnd | undefined> {
    const end = await Promise.race([mover.ended, delay(MOVER_MS, "late" as const, { ref: false })]);
    if (end !== "late") return end;
    this.report({ kind: "stuck", sentence: `the mover of tenant ${mover.tenant} has not come to its end within ${MOVER_MS / 1000} s` });
    mover.signal("SIGKILL");
    return mover.ended;
  }

  /** Waits until every container runs, every node is active, and every shard has all its copies. */
  private async whole(): Promise<void> {
    for (const until = performance.now() + WHOLE_MS; ; await delay(AGAIN_MS)) {
      const missing = await lacks(this.options.target, { quiet: false });
      if (missing.length === 0) return;
      if (performance.now() > until) return this.report({ kind: "stuck", sentence: `the stack is not whole after ${WHOLE_MS / 1000} s: ${missing.join("; ")}` });
    }
  }

  /** `recover`, again and again, until there is nothing of the tenant to settle in any cluster. @returns what it did, if there was something. */
  private async settleAsAPerson(subject: Subject): Promise<Settled["outcome"] | undefined> {
    const { places } = this.options;
    const names = places.map(({ target }) => target.name);
    let [outcome, why]: [Settled["outcome"] | undefined, string] = [undefined, "another run has the tenant's lock"];
    const until = performance.now() + WHOLE_MS;
    for (let attempt = 1; performance.now() < until; attempt += 1) {
      try {
        const sites = await openSites(places.map(({ access }) => access), "citus-sharding recover", names);
        try {
          const locks = await lockMovers(sites, [subject.tenant]);
          if (locks.tenants.length > 0) {
            const settled = (await unsettledTenants(sites)).includes(subject.tenant) ? await settle(sites, names, subject.tenant) : undefined;
            outcome ??= settled?.outcome;
            why = settled === undefined ? "" : `${settled.unreached.join(", ")} did not answer`;
            if (settled === undefined || settled.unreached.length === 0) {
              await dropOrphans(sites);
              const { rows } = await (sites[0] as (typeof sites)[number]).coordinator.query<{ home: string }>("SELECT tenancy.home($1) AS home", [subject.tenant]);
              subject.home = (rows[0] as { home: string }).home;
              return outcome;
            }
          }
        } finally {
          for (const site of sites) site.close();
        }
      } catch (error) {
        why = messageOf(error);
      }
      if (attempt > PATIENT_ATTEMPTS) this.options.record({ type: "ended", sessions: await endOnWorkers(places).catch(messageOf), why });
      await delay(AGAIN_MS);
    }
    this.report({ kind: "stuck", sentence: `tenant ${subject.tenant} could not be settled within ${WHOLE_MS / 1000} s: ${why}` });
    return outcome;
  }

  private async wake(which: (stopped: Stopped) => boolean): Promise<void> {
    for (const one of this.stopped.filter(which)) {
      this.stopped.splice(this.stopped.indexOf(one), 1);
      one.mover.signal("SIGCONT");
      const end = await this.endOf(one.mover);
      this.options.record({ type: "woken", tenant: one.subject.tenant, until: one.until, moves: one.moves, end });
      const { home } = one.subject;
      await this.settleAsAPerson(one.subject);
      if (one.subject.home !== home) this.report({ kind: "stuck", sentence: `a mover of tenant ${one.subject.tenant} that woke up has brought it from ${home} to ${one.subject.home}` });
      await this.compare(one.subject);
    }
  }

  private async compare(subject: Subject): Promise<void> {
    const { target, schema } = this.options;
    for (const until = performance.now() + WHOLE_MS; ; await delay(AGAIN_MS)) {
      try {
        const findings = await subject.gate.alone(() => compare(target.clusters, schema.column, subject.tenant, subject.home, subject.ledger));
        for (const finding of findings) this.report(finding);
        // The time in which nobody was let through is nobody's fault.
        subject.takenAt = performance.now();
        return;
      } catch (error) {
        if (performance.now() > until) return this.report({ kind: "stuck", sentence: `tenant ${subject.tenant} could not be compared: ${messageOf(error)}` });
      }
    }
  }

  /** Gathers every tenant's accounts, all the time. */
  private async read(): Promise<void> {
    const { router, schema, pauseMs } = this.options;
    const tenants = this.subjects.map(({ tenant }) => tenant);
    while (this.reading) {
      await delay(Math.max(pauseMs, GATHER_PAUSE_MS));
      try {
        const gathered = await router.all<{ tenant: string; account: string }>(
          (here) => `SELECT ${schema.column}::text AS tenant, account_id::text AS account FROM moves_accounts m WHERE ${schema.column} = ANY ($1::bigint[]) AND ${here(`m.${schema.column}`)}`,
          [tenants],
          { timeoutMs: GATHER_MS },
        );
        this.counts.gatherings += 1;
        const wrong = wrongGathering(gathered, tenants, ACCOUNTS);
        if (wrong !== undefined) this.report({ kind: "seen", sentence: wrong });
        const tenant = this.options.random.pick(tenants) as string;
        const { rows } = await router.for(tenant).query<{ count: number }>(`SELECT count(*)::int AS count FROM moves_accounts WHERE ${schema.column} = $1`, [tenant]);
        if (rows[0]?.count !== ACCOUNTS) this.report({ kind: "seen", sentence: `missing: a read of tenant ${tenant} through the router found ${rows[0]?.count ?? 0} of its ${ACCOUNTS} accounts` });
      } catch (error) {
        this.count(errorKind(`a reader: ${messageOf(error)}`));
      }
    }
  }
}
