import { PrismaPg } from "@prisma/adapter-pg";
import type { Router } from "@citus-sharding/tenant-router";
import { PrismaClient } from "./generated/client";
import { Turns } from "./turns";

/** Prisma's client, which goes by the tenant of the run. */
function clientOf(router: Router) {
  const turns = new Turns();
  // Prisma gives a transaction up after 5 s unless it is told otherwise, and it may wait for a room that moves.
  const prisma = new PrismaClient({ adapter: new PrismaPg(router.pool), transactionOptions: { maxWait: 10_000, timeout: 20_000 } });
  return prisma.$extends({ query: { $allOperations: ({ args, query }) => turns.begin(router.tenant.id, () => query(args)) } });
}

/** Chat rooms with Prisma: one client for all rooms, which goes by the room of the run. */
export class Chat {
  private readonly prisma: ReturnType<typeof clientOf>;

  constructor(private readonly router: Router) {
    this.prisma = clientOf(router);
  }

  /** One statement: it follows the room when that moves. */
  async post(room: number, user: number, body: string): Promise<void> {
    await this.router.run(room, () => this.prisma.message.createMany({ data: { room, user, body } }));
  }

  /** A transaction that Prisma begins and ends: where the room moves under it, all of it is run again. So what answers may be asked more than once. */
  async exchange(room: number, user: number, question: string, answer: (earlier: number) => Promise<string>): Promise<void> {
    await this.router.for(room).retry(() =>
      this.prisma.$transaction(async (tx) => {
        const answered = await answer(await tx.message.count({ where: { room } }));
        await tx.message.createMany({ data: { room, user, body: question } });
        await tx.message.createMany({ data: { room, user, body: answered } });
      }),
    );
  }

  async bodies(room: number, user: number): Promise<string[]> {
    const found = await this.router.run(room, () => this.prisma.message.findMany({ where: { room, user }, orderBy: { id: "asc" } }));
    return found.map(({ body }) => body);
  }

  /** Whether a message is there, by its key. */
  async has(room: number, id: bigint): Promise<boolean> {
    return (await this.router.run(room, () => this.prisma.message.findUnique({ where: { room_id: { room, id } } }))) !== null;
  }

  async ids(room: number): Promise<bigint[]> {
    const found = await this.router.run(room, () => this.prisma.message.findMany({ where: { room }, select: { id: true } }));
    return found.map(({ id }) => id);
  }
}
