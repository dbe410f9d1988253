import { setTimeout as delay } from "node:timers/promises";
import type { Router } from "../../router/index";
import { Failure } from "../failure";

/** Ids of messages that the client writes, beyond those that are there before. */
const FIRST_WRITTEN = 1_000_000_000;

/** A client of one room: eight inserts in ten, an update and a delete, one after the other with a small pause. */
export class RoomWriter {
  acknowledged = 0;
  /** The longest time between two acknowledged writes, in milliseconds. */
  longest = 0;
  private readonly rows = new Map<number, string>();
  private last = performance.now();
  private stopped = false;
  private readonly work: Promise<void>;

  constructor(
    private readonly router: Router,
    readonly room: number,
    private readonly pauseMs: number,
  ) {
    this.work = this.run();
    this.work.catch(() => undefined);
  }

  /** Begins to look for the longest pause. */
  begin(): void {
    this.longest = 0;
    this.last = performance.now();
  }

  /** Stops, and counts rows that are not as they were acknowledged. @param size how many messages the room had before. */
  async check(size: number): Promise<number> {
    this.stopped = true;
    await this.work;
    const { rows, missing } = await this.router.all<{ id: string; body: string }>("SELECT message_id::text AS id, body FROM messages WHERE room_id = $1 AND message_id >= $2", [this.room, FIRST_WRITTEN]);
    const [first] = missing;
    if (first !== undefined) throw new Failure(`Cluster ${first.cluster} does not answer: ${first.error.message}`);
    const before = await this.router.all<{ count: string }>("SELECT count(*) AS count FROM messages WHERE room_id = $1 AND message_id < $2", [this.room, FIRST_WRITTEN]);
    const found = new Map(rows.map(({ row }) => [Number(row.id), row.body]));
    const wrong = [...this.rows].filter(([id, body]) => found.get(id) !== body).length;
    const extra = [...found.keys()].filter((id) => !this.rows.has(id)).length;
    return wrong + extra + (rows.length - found.size) + Math.abs(before.rows.reduce((sum, { row }) => sum + Number(row.count), 0) - size);
  }

  private async run(): Promise<void> {
    const tenant = this.router.for(this.room);
    const recent: number[] = [];
    for (let id = FIRST_WRITTEN; !this.stopped; id += 1) {
      const old = id % 10 >= 8 ? recent.shift() : undefined;
      if (old === undefined) {
        await tenant.query("INSERT INTO messages (room_id, message_id, user_id, body) VALUES ($1, $2, 1, $3)", [this.room, id, `new ${id}`]);
        this.rows.set(id, `new ${id}`);
        recent.push(id);
      } else if (id % 2 === 0) {
        await tenant.query("UPDATE messages SET body = $3 WHERE room_id = $1 AND message_id = $2", [this.room, old, `changed ${id}`]);
        this.rows.set(old, `changed ${id}`);
      } else {
        await tenant.query("DELETE FROM messages WHERE room_id = $1 AND message_id = $2", [this.room, old]);
        this.rows.delete(old);
      }
      this.acknowledged += 1;
      const now = performance.now();
      this.longest = Math.max(this.longest, now - this.last);
      this.last = now;
      await delay(this.pauseMs);
    }
  }
}
