/**
 * Prisma sends what begins in the same tick together, in the asynchronous context of whoever was first: a statement of one tenant would ask for another tenant's connection, and one query be made of `findUnique` of both. So in
 * each tick one tenant's may begin; the others' begin in the next ones.
 */
export class Turns {
  private tenant: string | undefined;
  private tick: Promise<void> = Promise.resolve();

  async begin<Result>(tenant: string, work: () => Promise<Result>): Promise<Result> {
    while (this.tenant !== undefined && this.tenant !== tenant) await this.tick;
    if (this.tenant === undefined) {
      this.tenant = tenant;
      this.tick = new Promise((resolve) =>
        setImmediate(() => {
          this.tenant = undefined;
          resolve();
        }),
      );
    }
    return work();
  }
}
