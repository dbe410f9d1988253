import { setTimeout as delay } from "node:timers/promises";
import { told } from "../../../chaos/outcome";
import type { Random } from "../../../chaos/random";
import type { Gate } from "./gate";
import type { Ledger, Outcome, Request, RowChange } from "./ledger";
import { requestOutcome } from "./requestOutcome";
import { ACCOUNTS, WRITERS_AT_MOST } from "./schema";
import type { Way, Write } from "./ways";

/** What a writer does to one tenant. */
export interface WriterOptions {
  readonly tenant: string;
  /** The distribution column. */
  readonly column: string;
  /** Its number among those of the tenant: its rows are its own. */
  readonly number: number;
  readonly way: Way;
  readonly gate: Gate;
  readonly ledger: Ledger;
  readonly random: Random;
  /** Between two requests, in milliseconds. */
  readonly pauseMs: number;
  /** Is called with what a request ended with, and the error where it was not done. */
  readonly onEnd: (outcome: Outcome, request: Request, error?: { readonly said: string; readonly unexpected: boolean }) => void;
}

/** Rows that a writer keeps of each table; with more it deletes. */
const ROWS_AT_MOST = 80;
/** After an error it rests a little: a cluster that is down is not asked a thousand times a second. */
const REST_MS = 100;

/** An entry. */
interface Row {
  readonly id: string;
  readonly account: number;
  readonly amount: number;
  body: string;
}

/** A client that writes one tenant without a rest: rows of two tables, counters, and transactions over several tables; and that remembers what it was told. */
export class Writer {
  private stopping = false;
  private next = 0;
  private entries: Row[] = [];
  private readonly running: Promise<void>;

  constructor(private readonly options: WriterOptions) {
    this.running = this.run();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
    this.options.way.close();
  }

  private async run(): Promise<void> {
    while (!this.stopping) {
      const done = await this.options.gate.pass(() => this.request());
      await delay(done ? this.options.pauseMs : Math.max(this.options.pauseMs, REST_MS));
    }
  }

  private async request(): Promise<boolean> {
    const { random } = this.options;
    const chance = random.next();
    const old = random.pick(this.entries);
    if (old !== undefined && (this.entries.length >= ROWS_AT_MOST || chance < 0.1)) return this.remove(old);
    if (old !== undefined && chance < 0.3) return this.change(old);
    if (chance < 0.45) return this.hit();
    return chance < 0.7 ? this.insert() : this.transact();
  }

  private insert(): Promise<boolean> {
    const { column, tenant } = this.options;
    const row = this.newRow(0);
    const write = { text: `INSERT INTO moves_entries (${column}, entry_id, account_id, body) VALUES ($1, $2, $3, $4)`, values: [tenant, row.id, row.account, row.body] };
    return this.send([write], { rows: [entry(row.id, null, row.body)], counters: [] }, () => this.entries.push(row));
  }

  private change(row: Row): Promise<boolean> {
    const { column, tenant } = this.options;
    const body = `changed ${(this.next += 1)}`;
    const write = { text: `UPDATE moves_entries SET body = $3 WHERE ${column} = $1 AND entry_id = $2`, values: [tenant, row.id, body] };
    const before = row.body;
    return this.send([write], { rows: [entry(row.id, before, body)], counters: [] }, () => (row.body = body), () => this.forget(row));
  }

  /** Deletes an entry; its amount goes from the account in the same transaction. */
  private remove(row: Row): Promise<boolean> {
    const { column, tenant } = this.options;
    const writes = [
      { text: `UPDATE moves_accounts SET balance = balance - $3 WHERE ${column} = $1 AND account_id = $2`, values: [tenant, row.account, row.amount] },
      { text: `DELETE FROM moves_entries WHERE ${column} = $1 AND entry_id = $2`, values: [tenant, row.id] },
    ];
    return this.send(writes, { rows: [entry(row.id, row.body, null)], counters: [] }, () => this.forget(row), () => this.forget(row));
  }

  private hit(): Promise<boolean> {
    const { column, tenant, random } = this.options;
    const account = String(random.between(1, ACCOUNTS));
    return this.send([{ text: `UPDATE moves_accounts SET hits = hits + 1 WHERE ${column} = $1 AND account_id = $2`, values: [tenant, account] }], { rows: [], counters: [account] });
  }

  /** An entry with an amount, its account's balance, and an event, in one transaction. */
  private transact(): Promise<boolean> {
    const { column, tenant, random } = this.options;
    const row = this.newRow(random.between(1, 1000));
    const event = `${random.between(0, 1)} ${row.id}`;
    const [slot, id] = event.split(" ") as [string, string];
    const writes = [
      { text: `INSERT INTO moves_entries (${column}, entry_id, account_id, amount, body) VALUES ($1, $2, $3, $4, $5)`, values: [tenant, row.id, row.account, row.amount, row.body] },
      { text: `UPDATE moves_accounts SET balance = balance + $3 WHERE ${column} = $1 AND account_id = $2`, values: [tenant, row.account, row.amount] },
      { text: `INSERT INTO moves_events (${column}, slot, event_id, body) VALUES ($1, $2, $3, $4)`, values: [tenant, slot, id, row.body] },
    ];
    const rows = [entry(row.id, null, row.body), { table: "moves_events", id: event, before: null, after: row.body }];
    return this.send(writes, { rows, counters: [] }, () => this.entries.push(row));
  }

  /** @param lost what is done where the rows may be either way: they are left alone. */
  private async send(writes: readonly Write[], request: Request, done: () => void = () => undefined, lost: () => void = () => undefined): Promise<boolean> {
    const { way, ledger, onEnd } = this.options;
    try {
      await way.run(writes);
      ledger.note(request, "done");
      done();
      onEnd("done", request);
      return true;
    } catch (error) {
      const { outcome, unexpected } = requestOutcome(error);
      ledger.note(request, outcome);
      if (outcome === "unknown" || unexpected) lost();
      onEnd(outcome, request, { said: told(error), unexpected });
      return false;
    }
  }

  private newRow(amount: number): Row {
    const { number, random } = this.options;
    const id = String((this.next += 1) * WRITERS_AT_MOST + number);
    return { id, account: random.between(1, ACCOUNTS), amount, body: `new ${id}` };
  }

  private forget(row: Row): void {
    this.entries = this.entries.filter((other) => other !== row);
  }
}

function entry(id: string, before: string | null, after: string | null): RowChange {
  return { table: "moves_entries", id, before, after };
}
