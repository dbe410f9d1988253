import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import type { Client } from "pg";
import { pause, polled, timeout, UNKNOWN, type Pulse } from "./judgement";
import { abandon, openSession, reason } from "./session";

/** SQLSTATEs of a server that answers only to say that it goes, is gone or is not there yet. */
const NOT_SERVING = /^57P0/;
/** Of these, what it says when it comes: after another process of it has crashed (57P02), or before it serves (57P03), which it says as well when it goes. */
const COMING = /^57P0[23]/;
const GOING = /shutting down/;

/** Why a worker does not serve. */
interface Shortcoming {
  readonly problem: string;
  readonly recovering?: boolean;
}
const NAME_TIMEOUT_MS = 1000;

/** Asks one worker again and again, over a connection that is kept open: a new one takes longer than the answer. */
export class Poller {
  pulse: Pulse = UNKNOWN;
  /** The worker's address, kept from the time when its name resolved: a dead container's name takes seconds to fail. */
  address: string | undefined;
  private client: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private asking = false;
  private stopped = false;
  private readonly resolver = new Resolver({ timeout: NAME_TIMEOUT_MS, tries: 1 });

  constructor(
    readonly host: string,
    readonly port: number,
    private readonly onPoll: () => void,
  ) {
    void this.poll();
  }

  /** Asks at once, unless a question is under way. */
  hurry(): void {
    if (this.asking || this.stopped) return;
    clearTimeout(this.timer);
    void this.poll();
  }

  /** A statement's rows, from the connection that is open. @throws if there is none, or the worker refuses. */
  async rows<Row extends object>(statement: string): Promise<Row[]> {
    if (this.client === undefined) throw new Error(`${this.host} is not connected`);
    return (await this.client.query<Row>(statement)).rows;
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.drop();
  }

  private async poll(): Promise<void> {
    this.asking = true;
    const startedAt = performance.now();
    const limitMs = timeout(this.pulse);
    const shortcoming = await this.shortcoming(limitMs);
    this.asking = false;
    if (this.stopped) return this.drop();
    const endedAt = performance.now();
    const failure = shortcoming !== undefined && { ...shortcoming, silent: endedAt - startedAt > limitMs - 10 };
    this.pulse = polled(this.pulse, { startedAt, endedAt, ...failure });
    this.timer = setTimeout(() => void this.poll(), pause(this.pulse));
    this.onPoll();
  }

  /** Why the worker does not serve; undefined if it does. */
  private async shortcoming(limitMs: number): Promise<Shortcoming | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Shortcoming>((resolve) => {
      // An answer that came while this process was held up is read before time is called.
      timer = setTimeout(() => setImmediate(() => resolve({ problem: `no answer within ${limitMs} ms` })), limitMs);
    });
    try {
      const shortcoming = await Promise.race([this.ask(limitMs), late]);
      if (shortcoming !== undefined) this.drop();
      return shortcoming;
    } catch (error) {
      this.drop();
      const { code = "", severity, message = "" } = error as { code?: string; severity?: string; message?: string };
      // A server that refuses, because it is full, for example, is alive.
      if (severity !== undefined && !NOT_SERVING.test(code)) return undefined;
      return { problem: reason(error), ...(severity !== undefined && COMING.test(code) && !GOING.test(message) && { recovering: true }) };
    } finally {
      clearTimeout(timer);
    }
  }

  private async ask(limitMs: number): Promise<undefined> {
    if (this.client === undefined) {
      const known = this.address;
      // The address may be another one after the worker's network came back; the known one is good until then.
      const resolving = this.resolve();
      if (known === undefined || this.pulse.failures === 0) await resolving;
      const address = this.address;
      if (address === undefined) throw new Error(`the name ${this.host} does not resolve`);
      const client = await openSession(address, this.port, limitMs);
      if (this.client !== undefined || this.stopped) return abandon(client) as undefined;
      this.client = client;
      // A server that ends closes its connections, which says so sooner than the next question would.
      client.once("end", () => {
        if (this.client === client) this.hurry();
      });
    }
    await this.client.query("SELECT 1");
    return undefined;
  }

  private async resolve(): Promise<void> {
    if (isIP(this.host) !== 0) {
      this.address = this.host;
      return;
    }
    const addresses = await this.resolver.resolve4(this.host).catch(() => []);
    this.address = addresses[0] ?? this.address;
  }

  private drop(): void {
    if (this.client !== undefined) abandon(this.client);
    this.client = undefined;
  }
}
