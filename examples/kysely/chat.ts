import { Kysely, PostgresDialect, type Generated } from "kysely";
import Cursor from "pg-cursor";
import type { Router } from "@citus-sharding/tenant-router";

interface Database {
  messages: { room_id: number; message_id: Generated<string>; user_id: number; body: string };
}

/** Chat rooms with Kysely: one instance for all rooms, which goes by the room of the run. */
export class Chat {
  private readonly db: Kysely<Database>;

  constructor(private readonly router: Router) {
    this.db = new Kysely<Database>({ dialect: new PostgresDialect({ pool: router.pool, cursor: Cursor }) });
  }

  /** One statement: it follows the room when that moves. */
  async post(room: number, user: number, body: string): Promise<void> {
    await this.router.run(room, () => this.db.insertInto("messages").values({ room_id: room, user_id: user, body }).execute());
  }

  /** A transaction that Kysely begins and ends: where the room moves under it, all of it is run again. So what answers may be asked more than once. */
  async exchange(room: number, user: number, question: string, answer: (earlier: number) => Promise<string>): Promise<void> {
    await this.router.for(room).retry(() =>
      this.db.transaction().execute(async (trx) => {
        const { earlier } = await trx
          .selectFrom("messages")
          .select(({ fn }) => fn.countAll<string>().as("earlier"))
          .where("room_id", "=", room)
          .executeTakeFirstOrThrow();
        const answered = await answer(Number(earlier));
        await trx.insertInto("messages").values({ room_id: room, user_id: user, body: question }).execute();
        await trx.insertInto("messages").values({ room_id: room, user_id: user, body: answered }).execute();
      }),
    );
  }

  /** Read through a cursor. A room that moves meanwhile is read again from its beginning. */
  async bodies(room: number, user: number): Promise<string[]> {
    return this.router.for(room).retry(async () => {
      const bodies: string[] = [];
      const rows = this.db.selectFrom("messages").select("body").where("room_id", "=", room).where("user_id", "=", user).orderBy("message_id").stream(100);
      for await (const { body } of rows) bodies.push(body);
      return bodies;
    });
  }
}
