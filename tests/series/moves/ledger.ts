/** How a client's request ended: `refused`, it was certainly not done; `unknown`, it may have been. */
export type Outcome = "done" | "refused" | "unknown";

/** A row that is written: where it is, and its body before and after; null: no row. */
export interface RowChange {
  readonly table: string;
  readonly id: string;
  readonly before: string | null;
  readonly after: string | null;
}

/** What one request, a statement or a transaction, does: all of it or nothing. */
export interface Request {
  readonly rows: readonly RowChange[];
  /** Counters that are incremented by one, by their row. */
  readonly counters: readonly string[];
}

/** A tenant's rows in one cluster. */
export interface Found {
  /** Bodies by table and id, see {@link keyOf}. */
  readonly rows: ReadonlyMap<string, string>;
  readonly counters: ReadonlyMap<string, number>;
}

/** What a ledger and the rows do not agree about. */
export type Kind = "lost" | "doubled" | "wrong" | "torn";
export interface Disagreement {
  readonly kind: Kind;
  readonly sentence: string;
}

interface Counter {
  value: number;
  /** Increments that may come yet. */
  unknown: number;
}

/** A row's name in a {@link Found}. */
export function keyOf({ table, id }: Pick<RowChange, "table" | "id">): string {
  return `${table} ${id}`;
}

/**
 * What the clients of one tenant were told, and what has to be there for it. A row is written by one client only, one request after the other, so that what it was told last is what is there. After an answer that leaves
 * open whether a request was done, the client writes none of its rows again; both ways are right, but all parts of the request go the same way, and what was seen done once stays. A request whose answer was lost may be
 * done later, by a server that stood still meanwhile: not done is no final answer.
 */
export class Ledger {
  private readonly rows = new Map<string, string>();
  private readonly open = new Map<string, Request>();
  private readonly counters = new Map<string, Counter>();

  /** Remembers how a request ended. */
  note(request: Request, outcome: Outcome): void {
    if (outcome === "refused") return;
    for (const counter of request.counters) {
      const known = this.counters.get(counter) ?? { value: 0, unknown: 0 };
      known[outcome === "done" ? "value" : "unknown"] += 1;
      this.counters.set(counter, known);
    }
    if (outcome === "done") this.settle(request);
    else for (const row of request.rows) this.open.set(keyOf(row), request);
  }

  /** Compares it with what is there, at a moment at which no client waits for an answer, and learns from it which of the open requests were done. */
  compare({ rows, counters }: Found): Disagreement[] {
    const wrong: Disagreement[] = [];
    const add = (kind: Kind, sentence: string): void => void wrong.push({ kind, sentence });
    for (const request of new Set(this.open.values())) {
      const there = request.rows.map((row) => ({ row, body: rows.get(keyOf(row)) ?? null }));
      const astray = there.filter(({ row, body }) => body !== row.before && body !== row.after);
      for (const { row, body } of astray) add(body === null ? "lost" : "wrong", `${keyOf(row)} is ${text(body)}, and may be ${text(row.before)} or ${text(row.after)}`);
      const done = there.filter(({ row, body }) => body === row.after).length;
      if (astray.length > 0 || done === 0) continue;
      if (done < there.length) add("torn", `of one transaction ${listOf(there.filter(({ row, body }) => body === row.after))} is there and ${listOf(there.filter(({ row, body }) => body !== row.after))} is not`);
      else {
        this.settle(request);
        for (const row of request.rows) this.open.delete(keyOf(row));
      }
    }
    for (const [key, body] of this.rows) {
      if (this.open.has(key)) continue;
      const there = rows.get(key);
      if (there === undefined) add("lost", `${key} was acknowledged as ${text(body)} and is not there`);
      else if (there !== body) add("wrong", `${key} was acknowledged as ${text(body)} and is ${text(there)}`);
    }
    for (const [key, body] of rows) if (!this.rows.has(key) && !this.open.has(key)) add("doubled", `${key} is ${text(body)}, and was deleted, or never acknowledged`);
    for (const [key, known] of this.counters) {
      const value = counters.get(key) ?? 0;
      const most = known.value + known.unknown;
      if (value < known.value) add("lost", `the counter ${key} is ${value}, and ${known.value} increments were acknowledged`);
      if (value > most) add("doubled", `the counter ${key} is ${value}, and ${most} increments were made at most`);
      known.unknown = Math.max(0, Math.min(known.unknown, most - value));
      known.value = value;
    }
    return wrong;
  }

  private settle({ rows }: Request): void {
    for (const row of rows) {
      if (row.after === null) this.rows.delete(keyOf(row));
      else this.rows.set(keyOf(row), row.after);
    }
  }
}

function text(body: string | null): string {
  return body === null ? "absent" : JSON.stringify(body);
}

function listOf(there: readonly { readonly row: RowChange }[]): string {
  return there.map(({ row }) => keyOf(row)).join(", ");
}
