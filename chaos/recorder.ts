import { once } from "node:events";
import { createWriteStream, mkdirSync, type WriteStream } from "node:fs";
import * as path from "node:path";
import type { HistoryEvent } from "./history";

/** Keeps a run's history: line by line in a file, which a run that is killed leaves behind, and in memory until it is forgotten. */
export class Recorder {
  readonly events: HistoryEvent[] = [];
  private readonly startedAt = performance.now();
  private readonly stream: WriteStream;

  /** @param file where the history goes; its folder is made. */
  constructor(readonly file: string) {
    mkdirSync(path.dirname(file), { recursive: true });
    this.stream = createWriteStream(file);
  }

  /** Milliseconds since the run began. */
  now(): number {
    return Math.round((performance.now() - this.startedAt) * 100) / 100;
  }

  /** Milliseconds from a moment of {@link now} until now. */
  since(at: number): number {
    return Math.round((this.now() - at) * 100) / 100;
  }

  record(event: HistoryEvent): void {
    this.events.push(event);
    this.stream.write(`${JSON.stringify(event)}\n`);
  }

  /** The run's first event, and those that ended after a moment: what a look at one fault needs, however long the run is. */
  endedSince(at: number): HistoryEvent[] {
    const before = this.events.findLastIndex((event) => event.at + ("ms" in event ? event.ms : 0) < at);
    return [...this.events.slice(0, Math.min(1, before + 1)), ...this.events.slice(before + 1)];
  }

  /** Forgets what ended before a moment, but for the run's first event; the file keeps it. A run with dense writers has more events than memory. */
  forget(at: number): void {
    const kept = this.endedSince(at);
    this.events.splice(0, this.events.length, ...kept.slice(0, 1));
    for (const event of kept.slice(1)) this.events.push(event);
  }

  /** Writes what is left, and closes the file. */
  async close(): Promise<void> {
    this.stream.end();
    await once(this.stream, "finish");
  }
}
