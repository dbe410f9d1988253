import { once } from "node:events";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Client } from "pg";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import { Breather } from "./breather";

/** A copy that moves nothing for so long is given up: a frozen worker says nothing. */
const STALL_MS = 15_000;

/**
 * Copies what a query gives into a table on several workers at once.
 *
 * @param progress is called with the bytes that went through, again and again.
 * @returns how many rows each of the workers took.
 */
export async function copyRows(source: Client, query: string, targets: readonly Client[], into: string, progress: (bytes: number) => void): Promise<number> {
  const reading = source.query(copyTo(`COPY (${query}) TO STDOUT`));
  const writing = targets.map((target) => target.query(copyFrom(`COPY ${into} FROM STDIN`)));
  let stalled: NodeJS.Timeout | undefined;
  const breather = new Breather();
  const fail = (error: Error): void => void [reading, ...writing].forEach((stream) => stream.destroy(error));
  const alive = (): void => {
    clearTimeout(stalled);
    stalled = setTimeout(() => fail(new Error(`the copy stood still for ${STALL_MS / 1000} s`)), STALL_MS);
  };
  const finished = writing.map(async (stream) => {
    stream.on("error", fail);
    await once(stream, "finish");
  });
  alive();
  try {
    await Promise.all([
      pipeline(
        reading,
        new Writable({
          write(chunk: Buffer, _, done) {
            alive();
            progress(chunk.length);
            const full = writing.filter((stream) => !stream.write(chunk));
            Promise.all(full.map((stream) => once(stream, "drain")))
              .then(() => breather.breathe(chunk.length))
              .then(() => done(), done);
          },
          final(done) {
            for (const stream of writing) stream.end();
            done();
          },
        }),
      ),
      ...finished,
    ]);
    return (writing[0] as { rowCount: number }).rowCount;
  } finally {
    clearTimeout(stalled);
  }
}
