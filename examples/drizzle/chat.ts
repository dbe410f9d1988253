import { and, asc, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { bigint, pgTable, primaryKey, text } from "drizzle-orm/pg-core";
import type { Router } from "@citus-sharding/tenant-router";

const messages = pgTable(
  "messages",
  {
    room: bigint("room_id", { mode: "number" }).notNull(),
    id: bigint("message_id", { mode: "number" }).generatedByDefaultAsIdentity(),
    user: bigint("user_id", { mode: "number" }).notNull(),
    body: text("body").notNull(),
  },
  ({ room, id }) => [primaryKey({ columns: [room, id] })],
);

/** Chat rooms with Drizzle: one database object for all rooms, which goes by the room of the run. */
export class Chat {
  private readonly db;

  constructor(private readonly router: Router) {
    this.db = drizzle({ client: router.pool });
  }

  /** One statement: it follows the room when that moves. */
  async post(room: number, user: number, body: string): Promise<void> {
    await this.router.run(room, () => this.db.insert(messages).values({ room, user, body }));
  }

  /** A transaction that Drizzle begins and ends: where the room moves under it, all of it is run again. So what answers may be asked more than once. */
  async exchange(room: number, user: number, question: string, answer: (earlier: number) => Promise<string>): Promise<void> {
    await this.router.for(room).retry(() =>
      this.db.transaction(async (tx) => {
        const answered = await answer(await tx.$count(messages, eq(messages.room, room)));
        await tx.insert(messages).values({ room, user, body: question });
        await tx.insert(messages).values({ room, user, body: answered });
      }),
    );
  }

  async bodies(room: number, user: number): Promise<string[]> {
    const found = await this.router.run(room, () =>
      this.db
        .select({ body: messages.body })
        .from(messages)
        .where(and(eq(messages.room, room), eq(messages.user, user)))
        .orderBy(asc(messages.id)),
    );
    return found.map(({ body }) => body);
  }
}
