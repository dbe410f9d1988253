import { FoundRows } from "./foundRows";
import type { FinalEvent, HistoryEvent, IncrementEvent, Outcome, ReadEvent, ReferenceEvent, RowCounts } from "./history";
import { Ledger } from "./ledger";
import { PossibleSchemas } from "./possibleSchemas";
import { Watermark } from "./watermark";

/** What must not happen in a run, as a count of it reads. */
export const VIOLATIONS = {
  lostInserts: "acknowledged inserts without a row",
  doubledRows: "keys with more than one row",
  refusedRows: "rows of refused inserts",
  unaskedRows: "rows that no client inserted",
  lostTransfers: "acknowledged transfers without either half",
  tornTransfers: "transfers with one half",
  refusedTransfers: "halves of refused transfers",
  movedSums: "sums of balances that changed",
  lostOldSide: "inserts without a row that a member acknowledged while it was cut off",
  lostReferences: "rows of reference tables behind what was acknowledged",
  strangeReferences: "rows of reference tables with values that nobody may have written",
  halfSchemas: "schema changes that are there in some places only",
  lostSchemas: "tables that are not as acknowledged schema changes left them",
  lostMoves: "acknowledged moves of shards that did not take place",
  orphans: "shards' tables that nobody knows of",
  lostUpdates: "counters below what was acknowledged",
  rewritten: "acknowledged increments whose value another one wrote again",
  surplusUpdates: "counters above all that can have been done",
  doubleSpending: "acknowledged increments of a value that another had read",
  wrongSteps: "acknowledged increments by other than 1",
  backwards: "acknowledged values that went backwards",
  staleReads: "reads at the leader behind what was acknowledged",
  differing: "placements or standbys that differ",
  unhealed: "faults that did not heal",
  unwhole: "troubles of the stack when everything was read back",
  slowConnects: "attempts to connect that took over 1 s",
  incomplete: "histories that were not read back",
} as const;
export type Violation = keyof typeof VIOLATIONS;

/** One case of a violation. */
export interface Example {
  /** The row's key, the counter, the shard or the fault. */
  readonly key: string;
  readonly client?: number;
  /** When it happened or began, in milliseconds of the run. */
  readonly at?: number;
  /** What should have been, and what was. */
  readonly sentence: string;
}

export interface Findings {
  readonly count: number;
  /** The first ones. */
  readonly examples: readonly Example[];
}

/** What the history of a run proves. */
export interface Verdict {
  readonly violations: Readonly<Record<Violation, Findings>>;
  /** Acknowledged writes that are not there: inserts, transfers that lack one half or both, and increments as far as counters tell. */
  readonly lostWrites: number;
  /** How many requests ended in which way. */
  readonly requests: Readonly<Record<"insert" | "increment" | "transfer" | "reference" | "schema" | "move" | "read", Readonly<Record<Outcome, number>>>>;
  /** How far reads from standbys were behind at the most; they may be. */
  readonly staleness: { readonly ms: number; readonly increments: number };
  /** Reads at the leader that did not see yet what was acknowledged during a fault, and how long after that the last of them was sent. See {@link LATE_MS}. */
  readonly late: { readonly reads: number; readonly ms: number };
  /** Whether there is no violation. */
  readonly sound: boolean;
}

export const SLOW_CONNECT_MS = 1000;
/**
 * How long a write that was acknowledged during a fault may stay unseen at the leader where shards have several placements. Citus
 * acknowledges a write to several placements once all have prepared it and the coordinator has recorded the outcome; a placement
 * that ends before it hears of the outcome shows the write when prepared transactions are resolved, every
 * `citus.recover_2pc_interval` of 5 s. Its rows stay locked until then, so that no write builds on the older value: one write
 * may be unseen, and not two. With one placement a write to one shard is committed in one phase, and nothing may stay unseen.
 * Time in which the whole cluster acknowledged no increment does not count: nobody resolves anything while it is away.
 */
export const LATE_MS = 7000;
/** Without an acknowledged increment for longer than this a cluster was away. */
const SILENCE_MS = 1000;
const MOST_EXAMPLES = 10;
const NO_ROWS: RowCounts = { rows: {} };

/** What is known of a counter. Counters begin at 0. */
class Counter {
  acknowledged = 0;
  unknown = 0;
  readonly watermark = new Watermark();
  /** When the acknowledged increment that read a value was sent. */
  readonly spent = new Map<number, number>();
  /** Who wrote a value for certain, and when that was known. */
  readonly writers = new Map<number, { readonly id: string; readonly since: number }>();
}

/** What is known of a row of a reference table. */
interface ReferenceRow {
  acknowledged?: number;
  /** Values that were asked for and may be there. */
  readonly possible: Set<number>;
  client: number;
  at: number;
}

/** What is known of a shard's placement that was moved. */
interface Moved {
  readonly from: number;
  readonly to: number;
  readonly client: number;
  readonly at: number;
  readonly ms: number;
}

/**
 * Checks a history, an event at a time. Events come in the order in which their answers came, as a run writes them. Holds
 * what it needs of each key and each acknowledged increment, and forgets reads.
 */
export class Checker {
  private readonly inserts = new Ledger();
  private readonly transfers = new Ledger();
  /** Where those are that a member which was cut off acknowledged. */
  private readonly oldSides = new Map<string, string>();
  private readonly references = new Map<string, ReferenceRow>();
  private readonly schemas = new Map<string, PossibleSchemas>();
  /** The last move of each shard, if it was acknowledged. */
  private readonly moves = new Map<string, Moved | undefined>();
  private readonly counters = new Map<string, Counter>();
  /** When each cluster last acknowledged an increment, and when it did not for long. */
  private readonly answers = new Map<string, { readonly last: number; readonly silences: { readonly from: number; readonly until: number }[] }>();
  /** How many placements shards have, as far as the history tells. */
  private copies: number | undefined;
  private rewritten = 0;
  /** Values of reference tables that were acknowledged, and gone when the next one was written. */
  private overwritten = 0;
  private readonly unhealed = new Map<number, Example>();
  private readonly findings = Object.fromEntries(Object.keys(VIOLATIONS).map((violation) => [violation, { count: 0, examples: [] as Example[] }])) as Record<
    Violation,
    { count: number; examples: Example[] }
  >;
  private readonly requests = { insert: outcomes(), increment: outcomes(), transfer: outcomes(), reference: outcomes(), schema: outcomes(), move: outcomes(), read: outcomes() };
  private readonly staleness = { ms: 0, increments: 0 };
  private readonly late = { reads: 0, ms: 0 };
  /** From when until when each fault lasted. */
  private readonly faults: { readonly number: number; readonly from: number; until: number }[] = [];
  private final: FinalEvent | undefined;

  add(event: HistoryEvent): void {
    switch (event.type) {
      case "run":
        this.copies = event.copies;
        return;
      case "insert":
        this.requests.insert[event.outcome] += 1;
        if (event.oldSide !== undefined) this.oldSides.set(event.key, event.oldSide);
        return this.inserts.set(event.key, event);
      case "transfer":
        this.requests.transfer[event.outcome] += 1;
        return this.transfers.set(event.key, event);
      case "increment":
        this.requests.increment[event.outcome] += 1;
        return this.increment(event);
      case "reference":
        this.requests.reference[event.outcome] += 1;
        return this.reference(event);
      case "schema":
        this.requests.schema[event.outcome] += 1;
        return this.possibleSchemas(event.table).add(event);
      case "move":
        this.requests.move[event.outcome] += 1;
        // A move whose outcome is unknown may have taken place, so that nothing is certain any more.
        if (event.outcome !== "refused") this.moves.set(event.shard, event.outcome === "ok" ? event : undefined);
        return;
      case "read":
        this.requests.read[event.outcome] += 1;
        return this.read(event);
      case "connect":
        if (event.ms <= SLOW_CONNECT_MS) return;
        return this.find("slowConnects", {
          key: event.endpoint,
          client: event.client,
          at: event.at,
          sentence: `should have been answered within ${SLOW_CONNECT_MS} ms, took ${Math.round(event.ms)} ms and was ${event.outcome === "ok" ? "made" : "refused"}`,
        });
      case "fault":
        this.faults.push({ number: event.number, from: event.at, until: Number.POSITIVE_INFINITY });
        this.unhealed.set(event.number, { key: `${event.fault} of ${event.targets.join(", ")}`, at: event.at, sentence: "should have healed; nothing says that it did" });
        return;
      case "healed": {
        const fault = this.unhealed.get(event.number) ?? { key: `fault ${event.number}`, at: event.at };
        this.unhealed.delete(event.number);
        for (const lasting of this.faults) if (lasting.number === event.number) lasting.until = event.at;
        if (event.problem !== undefined) this.find("unhealed", { ...fault, sentence: `should have healed: ${event.problem}` });
        return;
      }
      case "final":
        this.final = event;
    }
  }

  /** What all events together prove. To be asked once, after the last one. */
  verdict(): Verdict {
    for (const fault of this.unhealed.values()) this.find("unhealed", fault);
    let lostWrites = 0;
    if (this.final === undefined) this.find("incomplete", { key: "final", sentence: "should end with what was read back; it does not, so nothing shows whether writes were lost" });
    else {
      lostWrites += this.compareRows(this.final);
      lostWrites += this.compareTransfers(this.final);
      lostWrites += this.compareReferences(this.final);
      lostWrites += this.compareCounters(this.final);
      this.compareSchemas(this.final);
      this.comparePlacements(this.final);
      for (const [shard, difference] of Object.entries(this.final.differing)) this.find("differing", { key: shard, at: this.final.at, sentence: `should be the same in every copy: ${difference}` });
      for (const trouble of this.final.lacks ?? []) this.find("unwhole", { key: "stack", at: this.final.at, sentence: `should have been whole: ${trouble}` });
    }
    lostWrites += this.rewritten + this.overwritten;
    const sound = Object.values(this.findings).every(({ count }) => count === 0);
    return { violations: this.findings, lostWrites, requests: this.requests, staleness: this.staleness, late: this.late, sound };
  }

  private increment({ outcome, counter: key, client, at, ms, id, before, after, writer }: IncrementEvent): void {
    const counter = this.counter(key);
    if (outcome === "unknown") counter.unknown += 1;
    if (outcome !== "ok") return;
    counter.acknowledged += 1;
    this.answered(key, at + ms);
    if (before === undefined || after === undefined) return;
    const found = (violation: Violation, sentence: string): void => this.find(violation, { key, client, at, sentence });
    if (after !== before + 1) found("wrongSteps", `should have written ${before + 1} after it read ${before}, wrote ${after}`);
    const sent = counter.spent.get(before);
    if (sent === undefined) counter.spent.set(before, at);
    else found("doubleSpending", `should have read a value of its own, read ${before} as the increment did that was sent at ${seconds(sent)}`);
    const known = counter.watermark.before(at);
    if (known !== undefined && after < known) found("backwards", `should have written more than ${known}, which was acknowledged before it was sent, wrote ${after}`);
    counter.watermark.add(at + ms, after);
    // What an acknowledged increment builds on is there for good, whatever its own client was told.
    if (writer !== undefined && writer !== "") this.wrote(key, before, writer, { client, at, until: at + ms });
    if (id !== undefined) this.wrote(key, after, id, { client, at, until: at + ms });
  }

  /** A value has one writer: a second one shows that what the first wrote was lost, though the value be the same again. */
  private wrote(key: string, value: number, id: string, { client, at, until }: { readonly client?: number; readonly at: number; readonly until: number }): void {
    const { writers } = this.counter(key);
    const known = writers.get(value);
    if (known === undefined) return void writers.set(value, { id, since: until });
    if (known.id === id) return;
    this.rewritten += 1;
    this.find("rewritten", { key, ...(client !== undefined && { client }), at, sentence: `should have ${value} from increment ${known.id}, which was there for certain at ${seconds(known.since)}; has it from ${id}` });
    writers.set(value, { id, since: until });
  }

  private reference({ row: key, value, previous, outcome, client, at }: ReferenceEvent): void {
    const row = this.references.get(key) ?? { possible: new Set(), client, at };
    this.references.set(key, row);
    if (previous !== undefined && row.acknowledged !== undefined && previous < row.acknowledged) {
      this.overwritten += 1;
      this.find("lostReferences", { key, client, at, sentence: `should have taken the place of ${row.acknowledged} or more, which was acknowledged; ${previous === 0 ? "found no row" : `took that of ${previous}`}` });
    }
    if (outcome === "refused") return;
    row.possible.add(value);
    if (outcome === "ok") [row.acknowledged, row.client, row.at] = [value, client, at];
  }

  private possibleSchemas(table: string): PossibleSchemas {
    const schemas = this.schemas.get(table) ?? new PossibleSchemas();
    this.schemas.set(table, schemas);
    return schemas;
  }

  private read({ outcome, counter: key, endpoint, client, at, value, writer }: ReadEvent): void {
    if (outcome !== "ok" || value === undefined) return;
    const { watermark, writers } = this.counter(key);
    // A standby may have shown what was lost with its leader before anybody was told of it.
    if (endpoint === "leader" && writer !== undefined && (writers.get(value)?.since ?? Number.POSITIVE_INFINITY) <= at) this.wrote(key, value, writer, { client, at, until: at });
    const known = watermark.before(at);
    if (known === undefined || value >= known) return;
    const since = watermark.exceeded(value) ?? at;
    if (endpoint === "leader") {
      if (this.mayBeUnseen(value, known) && at - since - this.away(key, since, at) <= LATE_MS && this.duringFault(since)) {
        this.late.reads += 1;
        this.late.ms = Math.max(this.late.ms, at - since);
        return;
      }
      return this.find("staleReads", { key, client, at, sentence: `should have read ${known} or more, read ${value}, which was overtaken ${Math.round(at - since)} ms before it was sent` });
    }
    this.staleness.increments = Math.max(this.staleness.increments, known - value);
    this.staleness.ms = Math.max(this.staleness.ms, at - since);
  }

  /** Whether a fault had struck at a moment, and had not healed. */
  private duringFault(moment: number): boolean {
    return this.faults.some(({ from, until }) => from <= moment && moment <= until);
  }

  /** Keeps the times in which a counter's cluster answered nobody. */
  private answered(key: string, at: number): void {
    const cluster = clusterOf(key);
    const answers = this.answers.get(cluster) ?? { last: at, silences: [] };
    if (at - answers.last > SILENCE_MS) answers.silences.push({ from: answers.last, until: at });
    this.answers.set(cluster, { ...answers, last: Math.max(at, answers.last) });
  }

  /** For how long of a time a counter's cluster answered nobody, in milliseconds; what goes on then counts while a fault does, which heals when everything takes writes. */
  private away(key: string, from: number, until: number): number {
    const { last, silences } = this.answers.get(clusterOf(key)) ?? { last: until, silences: [] };
    const goesOn = this.duringFault(until) && until - last > SILENCE_MS ? [{ from: last, until }] : [];
    return [...silences, ...goesOn].reduce((sum, silence) => sum + Math.max(0, Math.min(until, silence.until) - Math.max(from, silence.from)), 0);
  }

  /** Whether two placements of which one has not heard of the last write yet explain a read. Histories that do not tell how many there are get the benefit of the doubt. */
  private mayBeUnseen(value: number, known: number): boolean {
    return this.copies === undefined || (this.copies > 1 && value === known - 1);
  }

  /** Compares the rows that are there with what clients were told; gives how many acknowledged ones are missing. */
  private compareRows(final: FinalEvent): number {
    const found = new FoundRows(final);
    let lost = 0;
    for (const [key, { outcome, client, at }] of this.inserts.entries()) {
      const count = found.count(key);
      const oldSide = this.oldSides.get(key);
      if (outcome === "ok" && count < 1) {
        lost += 1;
        if (oldSide !== undefined) this.find("lostOldSide", { key, client, at, sentence: `should have a row, since ${oldSide} acknowledged it while it was cut off; has none` });
        else this.find("lostInserts", { key, client, at, sentence: "should have a row, since it was acknowledged; has none" });
      }
      if (outcome === "refused" && count > 0) this.find("refusedRows", { key, client, at, sentence: "should have no row, since it was refused; has one" });
      if (count > 1) this.find("doubledRows", { key, client, at, sentence: `should have one row, has ${count}` });
    }
    for (const key of found.keys()) {
      if (this.inserts.get(key) === undefined) this.find("unaskedRows", { key, at: final.at, sentence: "should not be there: no client inserted it" });
    }
    return lost;
  }

  /** Compares the halves of transfers with what clients were told; gives how many acknowledged ones lack one or both. */
  private compareTransfers({ halves, balances = {}, at: readAt }: FinalEvent): number {
    const [first, second] = (halves ?? [NO_ROWS, NO_ROWS]).map((counts) => new FoundRows(counts)) as [FoundRows, FoundRows];
    let lost = 0;
    for (const [key, { outcome, client, at }] of this.transfers.entries()) {
      const counts = [first.count(key), second.count(key)] as const;
      const found = (violation: Violation, sentence: string): void => this.find(violation, { key, client, at, sentence });
      const there = counts.filter((count) => count > 0).length;
      const told = { ok: "was acknowledged", refused: "was refused", unknown: "may or may not have been done" }[outcome];
      if (outcome === "ok" && there < 2) lost += 1;
      if (there === 1) found("tornTransfers", `should have both halves or none, and ${told}; has only the ${counts[0] > 0 ? "first" : "second"}`);
      else if (outcome === "ok" && there === 0) found("lostTransfers", "should have both halves, since it was acknowledged; has none");
      if (outcome === "refused" && there > 0) found("refusedTransfers", "should have no half, since it was refused; has one");
      if (counts.some((count) => count > 1)) found("doubledRows", `should have each half once, has the first ${counts[0]} times and the second ${counts[1]} times`);
    }
    for (const key of both(first, second)) {
      if (this.transfers.get(key) === undefined) this.find("unaskedRows", { key, at: readAt, sentence: "should have no half: no client made such a transfer" });
    }
    for (const [cluster, { opening, sum }] of Object.entries(balances)) {
      if (sum !== opening) this.find("movedSums", { key: cluster, at: readAt, sentence: `should have ${opening} in all accounts together, as at the beginning; has ${sum}` });
    }
    return lost;
  }

  /** Compares rows of reference tables with what clients were told; gives how many are behind. */
  private compareReferences({ references = {}, at: readAt }: FinalEvent): number {
    let lost = 0;
    for (const [key, { acknowledged, possible, client, at }] of this.references) {
      const value = Object.hasOwn(references, key) ? references[key] : undefined;
      if (acknowledged !== undefined && (value === undefined || value < acknowledged)) {
        lost += 1;
        this.find("lostReferences", { key, client, at, sentence: `should be ${acknowledged} or more, which was acknowledged; ${value === undefined ? "is not there" : `is ${value}`}` });
      } else if (value !== undefined && !possible.has(value)) {
        this.find("strangeReferences", { key, client, at: readAt, sentence: `should be a value that a client asked for and was not refused; is ${value}` });
      }
    }
    return lost;
  }

  /** Compares tables as they are in every place with what schema changes may have left. */
  private compareSchemas({ schemas = {}, at }: FinalEvent): void {
    for (const [table, possible] of this.schemas) {
      const places = Object.entries(Object.hasOwn(schemas, table) ? (schemas[table] as Readonly<Record<string, string>>) : {});
      const found = new Set(places.map(([, columns]) => columns));
      const [columns = ""] = found;
      if (found.size > 1) {
        const sentence = places.map(([place, own]) => `${place} has ${described(own)}`).join(", ");
        this.find("halfSchemas", { key: table, at, sentence: `should be the same in every place: ${sentence}` });
      } else if (!possible.has(columns)) {
        this.find("lostSchemas", { key: table, at, sentence: `should be ${[...possible].map(described).join(" or ")}, by what was acknowledged; is ${described(columns)}` });
      }
    }
  }

  /** Compares where shards are with what was told of their moves. */
  private comparePlacements({ placements = {}, orphans = [], at: readAt }: FinalEvent): void {
    for (const [shard, move] of this.moves) {
      const groups = Object.hasOwn(placements, shard) ? (placements[shard] as readonly number[]) : [];
      if (move === undefined || (groups.includes(move.to) && !groups.includes(move.from)) || this.mayBeCopiedAnew(move, groups)) continue;
      const { from, to, client, at } = move;
      this.find("lostMoves", { key: shard, client, at, sentence: `should be in group ${to} and no more in group ${from}, since its move was acknowledged; is in ${groups.length === 0 ? "none" : groups.join(", ")}` });
    }
    for (const orphan of orphans) this.find("orphans", { key: orphan, at: readAt, sentence: "should have a placement, or a record that it is to be removed; has neither" });
  }

  /** Whether a shard may be elsewhere by now: one that has copies gets them anew, wherever there is room, after a worker was out of service. */
  private mayBeCopiedAnew({ at, ms }: Moved, groups: readonly number[]): boolean {
    return this.copies !== undefined && this.copies > 1 && groups.length === this.copies && this.faults.some(({ until }) => until > at + ms);
  }

  /** Compares counters with what clients were told; gives how many acknowledged increments are missing at the least. */
  private compareCounters({ counters, writers = {}, at }: FinalEvent): number {
    let lost = 0;
    for (const [key, writer] of Object.entries(writers)) {
      const value = counters[key];
      if (value !== undefined && this.counters.get(key)?.writers.has(value) === true) this.wrote(key, value, writer, { at, until: at });
    }
    for (const [key, { acknowledged, unknown, watermark }] of this.counters) {
      const value = Object.hasOwn(counters, key) ? (counters[key] as number) : 0;
      const least = Math.max(acknowledged, watermark.highest ?? 0);
      if (value < least) {
        lost += least - value;
        this.find("lostUpdates", { key, at, sentence: `should be ${least} or more, since ${acknowledged} increments were acknowledged, up to ${watermark.highest ?? "no known value"}; is ${value}` });
      }
      if (value > acknowledged + unknown) {
        this.find("surplusUpdates", { key, at, sentence: `should be ${acknowledged + unknown} or less: ${acknowledged} increments were acknowledged, and the outcome of ${unknown} is unknown; is ${value}` });
      }
    }
    for (const [key, value] of Object.entries(counters)) {
      if (value !== 0 && !this.counters.has(key)) this.find("surplusUpdates", { key, at, sentence: `should be 0, since no client has incremented it; is ${value}` });
    }
    return lost;
  }

  private counter(key: string): Counter {
    const known = this.counters.get(key);
    if (known !== undefined) return known;
    const counter = new Counter();
    this.counters.set(key, counter);
    return counter;
  }

  private find(violation: Violation, example: Example): void {
    const findings = this.findings[violation];
    findings.count += 1;
    if (findings.examples.length < MOST_EXAMPLES) findings.examples.push(example);
  }
}

function outcomes(): Record<Outcome, number> {
  return { ok: 0, refused: 0, unknown: 0 };
}

function described(columns: string): string {
  return columns === "" ? "no such table" : `the columns ${columns}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

/** The keys of both, one after the other, without a list of them. */
function* both(first: FoundRows, second: FoundRows): Generator<string> {
  yield* first.keys();
  yield* second.keys();
}

/** The cluster of a counter by its name, `a:3`. */
function clusterOf(key: string): string {
  return key.slice(0, Math.max(0, key.lastIndexOf(":")));
}
