import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { HistoryEvent } from "../../../chaos/history";
import { readHistory } from "../../../chaos/historyFile";
import { recheck } from "../../../chaos/recheck";
import { answers, fault, final, healed, increment, insert, read, run } from "./events";

let directory = "";
beforeAll(() => void (directory = mkdtempSync(path.join(tmpdir(), "chaos-history-"))));
afterAll(() => rmSync(directory, { recursive: true }));

function kept(text: string): string {
  const file = path.join(directory, "history.jsonl");
  writeFileSync(file, text);
  return file;
}

const lines = (events: readonly HistoryEvent[]): string => events.map((event) => `${JSON.stringify(event)}\n`).join("");

async function readAll(file: string): Promise<HistoryEvent[]> {
  const events: HistoryEvent[] = [];
  for await (const event of readHistory(file)) events.push(event);
  return events;
}

test("a kept history is read as it was written, lines longer than a block of the file among them", async () => {
  const rows = Object.fromEntries(Array.from({ length: 60_000 }, (_, index) => [`schlüssel-${index}-${"x".repeat(20)}`, 1]));
  const events = [run(), insert("k", { error: "a\nb" }), increment(0, 1), read(1, 2), fault(1, 3), healed(1, 4), final({ rows })];
  expect(await readAll(kept(lines(events)))).toEqual(events);
  expect(await readAll(kept(lines(events).trimEnd()))).toHaveLength(events.length);
});

test.each<[string, string, string]>([
  ["is cut off", '{"type":"insert","cl', "Line 3 of FILE is not JSON: it was cut off while it was written, or changed since."],
  ["is of no known type", '{"type":"toString"}', "Line 3 of FILE is no event: its type should be one of run, insert, increment, transfer, reference, schema, move, read, connect, fault, healed, final."],
  ["is no event at all", "null", "Line 3 of FILE is no event: its type should be one of run, insert, increment, transfer, reference, schema, move, read, connect, fault, healed, final."],
  ["has a field of another kind", '{"type":"healed","number":"1","at":5,"help":[]}', 'Line 3 of FILE is no whole event of the type healed: "number" should be a number.'],
  ["lacks a field", '{"type":"final","at":5,"rows":{},"differing":{}}', 'Line 3 of FILE is no whole event of the type final: "counters" should be an object or a list.'],
])("a line that %s is named", async (_, line, sentence) => {
  const file = kept(`${lines([run(), insert("k")])}${line}`);
  await expect(readAll(file)).rejects.toThrow(sentence.replace("FILE", file));
});

test("a kept history is judged by what was asked of its run", async () => {
  const events = [...answers("s1", 100), fault(1, 105), ...answers("s1", 700), healed(1, 900), final({ at: 1000, rows: { "s1-100": 1, "s1-700": 1 } })];
  const limits = [{ fault: "kill", role: "coordinator", ms: 500 }];
  expect((await recheck(kept(lines([run(), ...events])))).met).toBe(true);
  const judgement = await recheck(kept(lines([run({ limits }), ...events])));
  expect(judgement.met).toBe(false);
  expect(judgement.assessments.filter(({ met }) => !met)).toEqual([{ objective: "gap of kill of coordinator, p95", limit: "0.50 s", figure: "0.60 s", met: false }]);
});
