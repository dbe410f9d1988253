import type { Outcome } from "./history";

/** What a client was told of a key. */
export interface Entry {
  readonly outcome: Outcome;
  readonly client: number;
  /** When it was sent. */
  readonly at: number;
}

const OUTCOMES: readonly Outcome[] = ["ok", "refused", "unknown"];
/** Times have hundredths of milliseconds. */
const PER_MS = 100;
const COUNTED = /^(0|[1-9]\d*)-(0|[1-9]\d*)$/;
/** A client counts up; a number so much higher than all before is none of its count. */
const LARGEST_STEP = 1000;

/** What clients were told, by key. A key `<client>-<number>` of a client that counts up takes 8 bytes, so that millions fit. */
export class Ledger {
  /** By client and number: the time and the outcome in one number. */
  private readonly counted = new Map<number, (number | undefined)[]>();
  private readonly others = new Map<string, Entry>();

  set(key: string, entry: Entry): void {
    const [client, number] = parts(key);
    if (client !== entry.client || number === undefined) return void this.others.set(key, entry);
    const own = this.counted.get(client) ?? [];
    if (number > own.length + LARGEST_STEP) return void this.others.set(key, entry);
    this.counted.set(client, own);
    while (own.length < number) own.push(undefined);
    own[number] = Math.round(entry.at * PER_MS) * OUTCOMES.length + OUTCOMES.indexOf(entry.outcome);
  }

  get(key: string): Entry | undefined {
    const [client, number] = parts(key);
    const packed = client === undefined || number === undefined ? undefined : this.counted.get(client)?.[number];
    return packed === undefined || client === undefined ? this.others.get(key) : unpacked(client, packed);
  }

  *entries(): Generator<[string, Entry]> {
    for (const [client, own] of this.counted) {
      for (const [number, packed] of own.entries()) if (packed !== undefined) yield [`${client}-${number}`, unpacked(client, packed)];
    }
    yield* this.others;
  }
}

function parts(key: string): [client?: number, number?: number] {
  const [, client, number] = COUNTED.exec(key) ?? [];
  return client === undefined || number === undefined ? [] : [Number(client), Number(number)];
}

function unpacked(client: number, packed: number): Entry {
  return { client, at: Math.floor(packed / OUTCOMES.length) / PER_MS, outcome: OUTCOMES[packed % OUTCOMES.length] as Outcome };
}
