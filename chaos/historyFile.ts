import { createReadStream } from "node:fs";
import type { HistoryEvent } from "./history";

type Kind = "number" | "string" | "object";

const REQUEST = { client: "number", shard: "string", at: "number", ms: "number", outcome: "string" } as const;

/** What an event has at the least, by its type. */
const FIELDS: Readonly<Record<HistoryEvent["type"], Readonly<Record<string, Kind>>>> = {
  run: { at: "number", stack: "string", startedAt: "string", shards: "object" },
  insert: { ...REQUEST, key: "string" },
  increment: { ...REQUEST, counter: "string" },
  transfer: { client: "number", key: "string", shards: "object", at: "number", ms: "number", outcome: "string" },
  reference: { client: "number", row: "string", value: "number", at: "number", ms: "number", outcome: "string" },
  schema: { client: "number", table: "string", change: "string", at: "number", ms: "number", outcome: "string" },
  move: { ...REQUEST, from: "number", to: "number" },
  read: { ...REQUEST, counter: "string", endpoint: "string" },
  connect: { client: "number", at: "number", ms: "number", outcome: "string" },
  fault: { number: "number", fault: "string", role: "string", targets: "object", at: "number" },
  healed: { number: "number", at: "number", help: "object" },
  final: { at: "number", rows: "object", counters: "object", differing: "object" },
};

/** Why a kept history cannot be read: one sentence that names the file and the line. */
export class HistoryError extends Error {
  constructor(sentence: string) {
    super(sentence);
    this.name = "HistoryError";
  }
}

/**
 * Reads a kept history, a line at a time, however long it is.
 *
 * @throws {@link HistoryError} at the first line that is no event.
 */
export async function* readHistory(file: string): AsyncGenerator<HistoryEvent> {
  let number = 0;
  for await (const line of lines(file)) {
    number += 1;
    if (line.trim() === "") continue;
    const problem = (what: string): HistoryError => new HistoryError(`Line ${number} of ${file} ${what}.`);
    let event: unknown;
    try {
      event = JSON.parse(line);
    } catch {
      throw problem("is not JSON: it was cut off while it was written, or changed since");
    }
    const { type } = (event ?? {}) as { type?: unknown };
    if (typeof type !== "string" || !Object.hasOwn(FIELDS, type)) throw problem(`is no event: its type should be one of ${Object.keys(FIELDS).join(", ")}`);
    for (const [field, kind] of Object.entries(FIELDS[type as HistoryEvent["type"]])) {
      const value = (event as Readonly<Record<string, unknown>>)[field];
      if (typeof value !== kind || value === null) throw problem(`is no whole event of the type ${type}: "${field}" should be ${kind === "object" ? "an object or a list" : `a ${kind}`}`);
    }
    yield event as HistoryEvent;
  }
}

async function* lines(file: string): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of createReadStream(file, { encoding: "utf8", highWaterMark: 1 << 20 }) as AsyncIterable<string>) {
    let from = 0;
    for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", from)) {
      yield rest + chunk.slice(from, end);
      rest = "";
      from = end + 1;
    }
    rest += chunk.slice(from);
  }
  if (rest !== "") yield rest;
}
