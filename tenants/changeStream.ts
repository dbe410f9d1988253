import type { Duplex } from "node:stream";
import type { Client, Submittable } from "pg";
import * as copyStreams from "pg-copy-streams";
import { parseChange, type Change } from "./pgoutput";
import { messageOf } from "./site";
import { TenantError } from "./tenantError";

/** What pg-copy-streams has beside what its types say: COPY in both directions, which replication is. */
const { both } = copyStreams as unknown as { both: (text: string, options: { alignOnCopyDataFrame: boolean; readableObjectMode: boolean }) => Duplex & Submittable };

/** PostgreSQL's time begins in 2000. */
const POSTGRES_EPOCH_MS = Date.UTC(2000, 0, 1);

/** PostgreSQL ends a stream that is silent for a minute (`wal_sender_timeout`). */
const STATUS_INTERVAL_MS = 5000;

const XLOG_DATA = 0x77;
const KEEPALIVE = 0x6b;

/** The changes of a replication slot as they are committed, in order. */
export class ChangeStream {
  private readonly stream: Duplex;
  private readonly status: NodeJS.Timeout;
  private received = 0n;
  private problem: Error | undefined;
  private ended = false;

  /**
   * Begins to stream; the session can do nothing else from then on.
   *
   * @param receive is called with each change, in order, at once.
   * @param broken is called once if the stream ends before {@link stop}.
   */
  constructor(session: Client, slot: string, publication: string, receive: (change: Change) => void, broken: (error: Error) => void) {
    const options = `proto_version '1', publication_names '${publication}', messages 'true'`;
    this.stream = session.query(both(`START_REPLICATION SLOT ${slot} LOGICAL 0/0 (${options})`, { alignOnCopyDataFrame: true, readableObjectMode: true }));
    const end = (error?: unknown): void => {
      if (this.ended) return;
      this.ended = true;
      clearInterval(this.status);
      this.problem = new TenantError(`The stream of changes broke: ${error === undefined ? "the worker ended it" : messageOf(error)}. The move has to begin again`, { cause: error });
      broken(this.problem);
    };
    this.stream.on("data", (frame: Buffer) => {
      try {
        this.take(frame, receive);
      } catch (error) {
        end(error);
      }
    });
    this.stream.on("error", end);
    this.stream.on("end", () => end());
    session.on("error", end);
    session.on("end", () => end());
    this.status = setInterval(() => this.confirm(), STATUS_INTERVAL_MS);
    this.status.unref();
  }

  /** Has what follows wait in the worker's log, or goes on. Meanwhile the worker hears that the reader is there. */
  rest(resting: boolean): void {
    if (resting) this.stream.pause();
    else this.stream.resume();
  }

  /** Ends the stream; the session goes with it. */
  stop(): void {
    this.ended = true;
    clearInterval(this.status);
  }

  private take(frame: Buffer, receive: (change: Change) => void): void {
    if (frame[0] === XLOG_DATA) {
      this.received = frame.readBigUInt64BE(1);
      receive(parseChange(frame.subarray(25)));
    } else if (frame[0] === KEEPALIVE) {
      const end = frame.readBigUInt64BE(1);
      if (end > this.received) this.received = end;
      if (frame[17] === 1) this.confirm();
    }
  }

  /** Tells how far the stream was read, so that the worker keeps it, and not the log behind it. */
  private confirm(): void {
    const message = Buffer.alloc(34);
    message.writeUInt8(0x72, 0);
    for (const offset of [1, 9, 17]) message.writeBigUInt64BE(this.received, offset);
    message.writeBigInt64BE(BigInt(Date.now() - POSTGRES_EPOCH_MS) * 1000n, 25);
    this.stream.write(message);
  }
}
