import { escapeIdentifier, escapeLiteral, type Client } from "pg";
import type { Change, Relation, Value } from "./pgoutput";
import type { TenantShard } from "./tenantTables";
import { TenantError } from "./tenantError";

type RowChange = Extract<Change, { kind: "insert" | "update" | "delete" }>;

/** The changes that were committed together. */
interface Transaction {
  readonly commitLsn: bigint;
  readonly changes: readonly { readonly change: RowChange; readonly relation: Relation }[];
  /** Bytes of the values. */
  readonly bytes: number;
}

/** More transactions at once would only make the last wait longer for the first. */
const TRANSACTIONS_AT_ONCE = 200;

/** How many bytes of changes are in this process. */
export interface Limits {
  /** A message is about as long at most, and so are the transactions that go together; one that is longer goes as several messages. */
  readonly atOnce: number;
  /** So much may wait; the rest stays in the worker's log until there is room. */
  readonly waiting: number;
}

const LIMITS: Limits = { atOnce: 4 * 1024 ** 2, waiting: 64 * 1024 ** 2 };

/**
 * Applies a stream of changes to the copies of a tenant's shards at its new home, in the order of their commits. It writes into the shards themselves, on every worker that has one: the tenant is closed
 * there, so that nobody sees a half of it, and what fails is emptied again.
 */
export class Applier {
  private readonly relations = new Map<number, Relation>();
  private readonly targets: ReadonlyMap<string, TenantShard>;
  private readonly barriers = new Map<string, () => void>();
  private waiting: Transaction[] = [];
  private waitingBytes = 0;
  private full = false;
  private open: { commitLsn: bigint; changes: { change: RowChange; relation: Relation }[]; bytes: number } | undefined;
  private limit: bigint | undefined;
  private working: Promise<void> | undefined;
  private problem: unknown;
  /** Changes of rows that were applied. */
  applied = 0;

  /**
   * @param sessions one for each worker that has a copy; they may write the tenant.
   * @param shards the tenant's shards at its old home and, in the same order, at its new.
   * @param onFull is called when too much waits, and the stream has to rest, and when it may go on.
   */
  constructor(
    private readonly sessions: readonly Client[],
    shards: readonly (readonly [TenantShard, TenantShard])[],
    private readonly onFull: (full: boolean) => void = () => undefined,
    private readonly limits: Limits = LIMITS,
  ) {
    this.targets = new Map(shards.map(([source, target]) => [unquoted(source.relation), target]));
  }

  /** Takes the next change of the stream. */
  readonly receive = (change: Change): void => {
    switch (change.kind) {
      case "begin":
        this.open = { commitLsn: change.commitLsn, changes: [], bytes: 0 };
        return;
      case "relation":
        this.relations.set(change.id, change.relation);
        return;
      case "insert":
      case "update":
      case "delete":
        if (this.open === undefined) return;
        this.open.changes.push({ change, relation: this.relations.get(change.relation) as Relation });
        this.open.bytes += sizeOf(change);
        return;
      case "commit":
        if (this.open !== undefined && this.open.changes.length > 0) {
          this.waiting.push(this.open);
          this.weigh(this.open.bytes);
        }
        this.open = undefined;
        this.work();
        return;
      case "message":
        this.barriers.get(change.content)?.();
        return;
      case "truncate":
        this.fail(new TenantError("A table was truncated while the tenant moved. The move has to begin again"));
        return;
      case "other":
        return;
    }
  };

  /** Ends what waits. */
  readonly fail = (error: unknown): void => {
    this.problem ??= error;
    for (const release of this.barriers.values()) release();
  };

  /** Resolves once a barrier was read from the stream and all that was committed before it is applied, up to {@link holdFrom}. */
  async passed(barrier: string, timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(new TenantError(`The stream of changes is more than ${timeoutMs} ms behind`)), timeoutMs);
      this.barriers.set(barrier, resolve);
      if (this.problem !== undefined) resolve();
    }).finally(() => {
      clearTimeout(timer);
      this.barriers.delete(barrier);
    });
    await this.settled();
  }

  /** Applies nothing that was committed at this position or later, until {@link goOn}; without a position, nothing more at all. */
  holdFrom(lsn = 0n): void {
    this.limit = lsn;
    this.work();
  }

  goOn(): void {
    this.limit = undefined;
    this.work();
  }

  /** Resolves once all that may be applied is. @throws what went wrong. */
  private async settled(): Promise<void> {
    while (this.working !== undefined) await this.working;
    if (this.problem !== undefined) throw this.problem as Error;
  }

  private work(): void {
    if (this.working !== undefined || this.problem !== undefined || this.next().length === 0) return;
    this.working = this.applyAll().then(
      () => void (this.working = undefined),
      (error: unknown) => {
        this.working = undefined;
        this.fail(error);
      },
    );
  }

  /** What goes together next: at least one transaction, if it may go. */
  private next(): Transaction[] {
    const end = this.waiting.findIndex(({ commitLsn }) => this.limit !== undefined && commitLsn >= this.limit);
    let bytes = 0;
    const most = this.waiting.slice(0, Math.min(end < 0 ? this.waiting.length : end, TRANSACTIONS_AT_ONCE));
    const heavy = most.findIndex((transaction, index) => (bytes += transaction.bytes) > this.limits.atOnce && index > 0);
    return heavy < 0 ? most : most.slice(0, heavy);
  }

  private weigh(bytes: number): void {
    this.waitingBytes += bytes;
    const full = this.waitingBytes > (this.full ? this.limits.waiting / 2 : this.limits.waiting);
    if (full === this.full) return;
    this.full = full;
    this.onFull(full);
  }

  private async applyAll(): Promise<void> {
    for (let batch = this.next(); batch.length > 0; batch = this.next()) {
      const changes = batch.flatMap((transaction) => transaction.changes);
      await Promise.all(this.sessions.map((session) => this.apply(session, changes)));
      this.applied += changes.length;
      this.waiting = this.waiting.slice(batch.length);
      this.weigh(-batch.reduce((sum, { bytes }) => sum + bytes, 0));
    }
  }

  /** Makes the changes in one transaction, which goes to the worker as one message, or as several where it is long. */
  private async apply(session: Client, changes: Transaction["changes"]): Promise<void> {
    const statements = changes.map(({ change, relation }) => {
      const target = this.targets.get(`${relation.schema}.${relation.name}`);
      if (target === undefined) throw new TenantError(`The stream brought a change of ${relation.name}, which is no table of the tenant`);
      return statementFor(change, relation, target.relation);
    });
    const messages = messagesOf(["BEGIN", ...statements, "COMMIT"], this.limits.atOnce);
    const results: { readonly rowCount: number | null }[] = [];
    for (const message of messages) results.push(...[(await session.query(message)) as unknown].flat() as { readonly rowCount: number | null }[]);
    const wrong = statements.findIndex((_, index) => results[index + 1]?.rowCount !== 1);
    if (wrong >= 0) {
      const { relation } = changes[wrong] as Transaction["changes"][number];
      throw new TenantError(`A change of ${relation.name} met ${results[wrong + 1]?.rowCount} rows at the new home instead of one: the copies differ. The move has to begin again`);
    }
  }
}

/** The statement that makes a change. */
export function statementFor(change: RowChange, { columns }: Relation, table: string): string {
  const name = (index: number): string => escapeIdentifier((columns[index] as { name: string }).name);
  const literal = (value: Value): string => (value === null || value === undefined ? "NULL" : escapeLiteral(value));
  const where = (row: readonly Value[]): string => columns.flatMap(({ key }, index) => (key ? [`${name(index)} = ${literal(row[index])}`] : [])).join(" AND ");
  switch (change.kind) {
    case "insert":
      return `INSERT INTO ${table} (${columns.map((_, index) => name(index)).join(", ")}) OVERRIDING SYSTEM VALUE VALUES (${change.row.map(literal).join(", ")})`;
    case "update": {
      const set = change.row.flatMap((value, index) => (value === undefined ? [] : [`${name(index)} = ${literal(value)}`]));
      return `UPDATE ${table} SET ${set.join(", ")} WHERE ${where(change.old ?? change.row)}`;
    }
    case "delete":
      return `DELETE FROM ${table} WHERE ${where(change.old)}`;
  }
}

/** Statements as messages of so many characters, or one statement: PostgreSQL takes no gigabyte, and JavaScript no half of it. */
function messagesOf(statements: readonly string[], most: number): string[] {
  const messages: string[][] = [[]];
  let length = 0;
  for (const statement of statements) {
    if (length > 0 && length + statement.length > most) {
      messages.push([]);
      length = 0;
    }
    messages.at(-1)?.push(statement);
    length += statement.length;
  }
  return messages.map((message) => message.join("; "));
}

function sizeOf(change: RowChange): number {
  const values = [...("row" in change ? change.row : []), ...("old" in change ? (change.old ?? []) : [])];
  return values.reduce((sum, value) => sum + (value?.length ?? 0), 0);
}

function unquoted(relation: string): string {
  return relation.replaceAll('"', "");
}
