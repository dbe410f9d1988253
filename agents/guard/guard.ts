import { networkInterfaces } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "pg";
import { announceTakingOut, disable, endEarlierWrites, endTakingOut, onlyCopies, readRegistry, sparseTables, type RegisteredWorker, type Registry } from "./coordinator";
import { breakConnections, canBreakConnections, connectedPorts } from "./fence";
import { judge, retryMs, stalledRetryMs, type Judgement, type Ward } from "./judgement";
import { Poller } from "./poller";
import { abandon, openCoordinator, reason } from "./session";
import { writeState, type GuardedWorker, type GuardState } from "./state";
import { bringBack, Busy, Stalled, type FormerTables } from "./wayBack";

const REFRESH_MS = 500;
const CONTROL_TIMEOUT_MS = 5000;
/** How often shards are counted while nothing happens. */
const COUNT_MS = 10_000;
/** After a worker was disabled: for how long, and how often, what was planned with it is ended, in milliseconds. */
const SWEEP_MS = 1500;
const SWEEP_EVERY_MS = 150;
const HEARTBEAT_MS = 2000;
/** A network namespace without an interface or a database is one that its holder has left: Docker has made it a new one after this long. */
const HOMELESS_MS = 4000;

/**
 * Watches the workers of the coordinator whose network namespace it shares: takes a dead or frozen one out of service, so
 * that writes go on with the other placements, and brings it back when it answers. What it has to remember is in Citus.
 */
export class Guard {
  private control: Client | undefined;
  private registry: Registry = { recovering: false, workers: [] };
  private readonly pollers = new Map<string, Poller>();
  private readonly since = new Map<string, GuardedWorker>();
  private readonly empty = new Set<string>();
  private coordinator: GuardState["coordinator"] = "silent";
  private missing = 0;
  private countedAt = -Infinity;
  private disabling = false;
  /** The worker that is being taken out of service. */
  private leaving: string | undefined;
  private returning: readonly string[] | undefined;
  private copying: GuardState["copying"];
  private returnFailures = 0;
  private returnAt = 0;
  private readonly former: FormerTables = new Map();
  private note: string | undefined;
  /** What the guard cannot do on this machine. */
  private inability: string | undefined;
  private homelessSince: number | undefined;
  private writtenAt = -Infinity;
  private written = "";

  /**
   * @param log takes one line for each decision.
   * @param patienceMs how long a worker that answers that it recovers is waited for.
   * @param stallMs how long a copy may stand still.
   */
  constructor(
    private readonly log: (line: string) => void,
    private readonly patienceMs: number,
    private readonly stallMs: number,
  ) {}

  /** Guards until the network namespace is gone. */
  async run(): Promise<void> {
    if (!(await canBreakConnections().catch(() => false))) {
      this.inability = "connections to a frozen worker cannot be broken on this machine (ss -K needs a kernel with CONFIG_INET_DIAG_DESTROY): writes that wait for it wait until it ends";
      this.log(this.inability);
    }
    while (!this.isHomeless()) {
      await this.refresh();
      this.consider();
      await delay(REFRESH_MS);
    }
    this.log("the network namespace is gone with its holder: ending, to be started in the new one");
  }

  /** The workers that have every write, for as long as their coordinator says so; undefined where another guard knows. */
  inStep(): readonly string[] | undefined {
    if (this.coordinator !== "primary") return undefined;
    return this.registry.workers.filter(({ host, active, leaving }) => active && !leaving && host !== this.leaving).map(({ host }) => host);
  }

  /** Learns which workers there are, and watches exactly those. */
  private async refresh(): Promise<void> {
    try {
      // No connection to a worker is kept: one to a frozen worker would hang.
      this.control ??= await openCoordinator(CONTROL_TIMEOUT_MS, ["lock_timeout=1s", "statement_timeout=4s", "citus.max_cached_conns_per_worker=0"], CONTROL_TIMEOUT_MS);
      this.registry = await readRegistry(this.control);
      this.become(this.registry.recovering ? "standby" : "primary");
      const { workers } = this.registry;
      const whole = workers.length > 0 && workers.every(({ active }) => active);
      if (this.coordinator === "primary" && whole && performance.now() - this.countedAt > COUNT_MS) await this.count(this.control);
    } catch (error) {
      this.drop();
      this.become("silent", reason(error));
    }
    const watched = this.coordinator === "primary" ? this.registry.workers : [];
    this.announce(watched);
    for (const [key, poller] of this.pollers) {
      if (watched.some((worker) => keyOf(worker) === key)) continue;
      poller.stop();
      this.pollers.delete(key);
    }
    for (const worker of watched) {
      if (!this.pollers.has(keyOf(worker))) this.pollers.set(keyOf(worker), new Poller(worker.host, worker.port, () => this.consider()));
    }
  }

  private async count(control: Client): Promise<void> {
    this.missing = (await sparseTables(control)).reduce((sum, { missing }) => sum + missing, 0);
    this.countedAt = performance.now();
  }

  private become(coordinator: GuardState["coordinator"], problem = ""): void {
    if (coordinator === this.coordinator) return;
    this.coordinator = coordinator;
    if (coordinator === "primary") this.log("the database here is the coordinator");
    else this.log(coordinator === "standby" ? "the database here is a standby: another guard acts" : `the database here does not answer (${problem}): waiting for it`);
  }

  /** Tells which workers are watched, where they are others than before. */
  private announce(watched: readonly RegisteredWorker[]): void {
    if (watched.length === this.pollers.size && watched.every((worker) => this.pollers.has(keyOf(worker)))) return;
    const names = watched.map(({ host, active }) => `${host}${active ? "" : " (disabled)"}`);
    this.log(`watching ${names.length === 0 ? "no worker" : names.join(", ")}`);
  }

  private wards(): Ward[] {
    return this.registry.workers.flatMap((worker): Ward[] => {
      const poller = this.pollers.get(keyOf(worker));
      if (poller === undefined) return [];
      if (poller.pulse.failures > 0 || worker.active) this.empty.delete(worker.host);
      return [{ name: worker.host, active: worker.active, pulse: poller.pulse, empty: this.empty.has(worker.host) }];
    });
  }

  /** Judges what is known now, and begins what there is to do. */
  private consider(): void {
    if (this.coordinator === "primary") this.act(judge(this.wards(), this.missing > 0 || this.returnFailures > 0, performance.now(), this.patienceMs));
    this.tell();
  }

  private act(judgement: Judgement): void {
    switch (judgement.kind) {
      case "watch":
        return this.remark(undefined);
      case "hold":
        return this.remark(`nothing is disabled: ${judgement.because}`);
      case "suspect":
        for (const poller of this.pollers.values()) if (judgement.ask.includes(poller.host)) poller.hurry();
        return;
      case "disable":
        if (!this.disabling) void this.takeOut(judgement.worker, judgement.problem);
        return;
      case "bringBack":
        if (this.returning === undefined && !this.disabling && performance.now() >= this.returnAt) void this.takeBack(judgement.workers);
    }
  }

  /** Takes a worker out of service: its connections are broken while it is disabled, as what hangs on it blocks the way. */
  private async takeOut(name: string, problem: string): Promise<void> {
    this.disabling = true;
    const decidedAt = performance.now();
    const control = this.control;
    try {
      const poller = [...this.pollers.values()].find(({ host }) => host === name);
      if (control === undefined || poller === undefined) return;
      // Not waited for: who holds that lock must not keep a dead worker in service.
      await announceTakingOut(control).catch(() => undefined);
      this.registry = await readRegistry(control);
      const worker = this.registry.workers.find(({ host }) => host === name);
      if (this.registry.recovering || worker?.active !== true) return;
      const only = await onlyCopies(control, worker.groupId);
      if (only > 0) return this.remark(`${name} is not disabled (${problem}): it has the only usable copy of ${only} shards, and Citus brings no other worker back before it answers`);

      const failingForMs = decidedAt - (poller.pulse.failingSince ?? decidedAt);
      this.leaving = name;
      // An address that another worker has by now is not this one's any more.
      const isTaken = (): boolean => [...this.pollers.values()].some((other) => other !== poller && other.address === poller.address);
      const fence = (): Promise<number> => (poller.address === undefined || isTaken() ? Promise.resolve(0) : breakConnections(poller.address));
      const [first, disabledAt] = await Promise.all([fence(), disable(control, worker)]);
      const disabledMs = performance.now() - decidedAt;
      let broken = first + (await fence());
      this.registry = { ...this.registry, workers: this.registry.workers.map((other) => (other.host === name ? { ...other, active: false } : other)) };
      this.countedAt = -Infinity;
      this.log(
        `${name} disabled: ${problem}; decided ${seconds(failingForMs)} after the first poll that failed, the others answer; ` +
          `disabled in ${seconds(disabledMs)}, ${broken} connections broken`,
      );
      // Statements that were planned just before still go to the worker.
      let ended = 0;
      for (const endsAt = performance.now() + SWEEP_MS; performance.now() < endsAt; ) {
        await delay(SWEEP_EVERY_MS);
        broken += await fence();
        ended += await endEarlierWrites(control, disabledAt, failingForMs + disabledMs + 1000);
      }
      if (ended > 0) this.log(`${name}: ended ${ended} writes that began before`);
    } catch (error) {
      this.remark(`${name} could not be disabled (${problem}): ${reason(error)}; trying again`);
    } finally {
      if (control !== undefined) await endTakingOut(control).catch(() => undefined); // A session that broke has ended it.
      this.disabling = false;
      this.leaving = undefined;
    }
  }

  /** Brings workers back that answer again, and copies what shards lack. */
  private async takeBack(names: readonly string[]): Promise<void> {
    this.returning = names;
    const startedAt = performance.now();
    const subject = names.length === 0 ? "the rest of a way back" : names.join(", ");
    try {
      const workers = this.registry.workers.filter(({ host, active }) => names.includes(host) && !active);
      for (const worker of workers) if (!(await this.isItself(worker))) return;
      await this.endOrphans();
      const copied = (done: number, total: number): void => {
        this.copying = { done, total };
        this.tell();
      };
      await bringBack(workers, { did: (what) => this.log(`${subject}: ${what}`), copied }, this.stallMs, this.former);
      this.returnFailures = 0;
      this.returnAt = 0;
      if (this.control !== undefined) {
        this.registry = await readRegistry(this.control);
        await this.count(this.control);
      }
      this.remark(undefined);
      this.log(`${subject}: back in service in ${seconds(performance.now() - startedAt)}, every shard has its placements`);
    } catch (error) {
      this.returnFailures = error instanceof Busy ? 1 : this.returnFailures + 1;
      const waitMs = error instanceof Stalled ? stalledRetryMs(this.returnFailures) : retryMs(this.returnFailures);
      this.returnAt = performance.now() + waitMs;
      this.countedAt = -Infinity;
      this.remark(`${subject}: not back yet: ${reason(error)}; trying again${error instanceof Stalled ? ` in ${waitMs / 1000} s` : ""}`);
    } finally {
      this.returning = undefined;
      this.copying = undefined;
    }
  }

  /**
   * Ends what the coordinator left open on workers that were cut off when its side was broken: nobody told them, and
   * their transactions would keep their locks for hours.
   */
  private async endOrphans(): Promise<void> {
    const own = new Set(Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map(({ address }) => address) ?? []));
    for (const poller of this.pollers.values()) {
      if (poller.address === undefined || poller.pulse.failures > 0) continue;
      const left = await poller.rows<{ pid: number; address: string; port: number }>(
        `SELECT pid, host(client_addr) AS address, client_port AS port FROM pg_stat_activity
         WHERE application_name LIKE 'citus_internal%' AND state <> 'active' AND state_change < now() - interval '1 second'`,
      );
      const connected = await connectedPorts(poller.address);
      const orphans = left.filter(({ address, port }) => own.has(address) && !connected.has(port));
      if (orphans.length === 0) continue;
      await poller.rows(`SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[${orphans.map(({ pid }) => pid).join(", ")}]) AS pid`);
      this.log(`${poller.host}: ended ${orphans.length} sessions that the coordinator had left`);
    }
  }

  /** Whether a worker that came back has the data directory that it went with. One that lost its data is the set-up's. */
  private async isItself({ host, port, groupId }: RegisteredWorker): Promise<boolean> {
    const poller = this.pollers.get(keyOf({ host, port }));
    const rows = await poller?.rows<{ groupId: number }>(`SELECT groupid AS "groupId" FROM pg_dist_local_group`).catch((error: unknown) => {
      if ((error as { code?: string }).code === "42P01") return [];
      throw error;
    });
    if (rows?.[0]?.groupId === groupId) return true;
    this.empty.add(host);
    this.log(`${host} answers, but without the data that it went with: npm run up heals it`);
    return false;
  }

  /** Why the guard does not go on, in the log once, and in the state for as long as it is so. */
  private remark(note: string | undefined): void {
    if (note !== undefined && note !== this.note) this.log(note);
    this.note = note;
  }

  private drop(): void {
    if (this.control !== undefined) abandon(this.control);
    this.control = undefined;
  }

  private isHomeless(): boolean {
    const outside = Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ internal }) => !internal));
    const gone = this.coordinator === "silent" && !outside;
    this.homelessSince = gone ? (this.homelessSince ?? performance.now()) : undefined;
    return this.homelessSince !== undefined && performance.now() - this.homelessSince > HOMELESS_MS;
  }

  /** Writes the state when it is another one, and from time to time to show that the guard lives. */
  private tell(): void {
    const workers = this.wards().map((ward): GuardedWorker => {
      const state = this.stateOf(ward);
      const known = this.since.get(ward.name);
      const worker = known?.state === state ? known : { name: ward.name, state, since: new Date().toISOString() };
      this.since.set(ward.name, worker);
      return worker;
    });
    const notes = [this.inability, this.note].filter((note) => note !== undefined);
    const state = { coordinator: this.coordinator, workers, ...(this.copying && { copying: this.copying }), ...(notes.length > 0 && { note: notes.join("; ") }) };
    const text = JSON.stringify(state);
    if (text === this.written && performance.now() - this.writtenAt < HEARTBEAT_MS) return;
    writeState({ at: new Date().toISOString(), ...state });
    this.written = text;
    this.writtenAt = performance.now();
  }

  private stateOf({ name, active, empty, pulse }: Ward): GuardedWorker["state"] {
    if (this.returning?.includes(name) === true) return "returning";
    if (empty === true) return "empty";
    if (!active) return "disabled";
    return pulse.failures > 0 ? "suspected" : "watched";
  }
}

function keyOf({ host, port }: Pick<RegisteredWorker, "host" | "port">): string {
  return `${host}:${port}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
