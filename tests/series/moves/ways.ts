import { setTimeout as delay } from "node:timers/promises";
import type { Client, QueryResult } from "pg";
import { connect } from "../../../cli/connections";
import { refusalOf, type Router } from "../../../router/index";
import { MetNothing, NotConnected } from "./requestOutcome";

/** A statement that writes one row. */
export interface Write {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** How a client does its writes: one alone, several in a transaction. @throws if they were not done, or not for certain; {@link MetNothing} if one met no row, and none was done. */
export interface Way {
  run(writes: readonly Write[]): Promise<void>;
  close(): void;
}

function refuseNone({ rowCount }: QueryResult, { text }: Write): void {
  if (rowCount !== 1) throw new MetNothing(text);
}

/** Through the router, as applications do. */
export function routed(router: Router, tenant: string): Way {
  const handle = router.for(tenant);
  return {
    async run(writes) {
      const [first, ...more] = writes as readonly [Write, ...Write[]];
      if (more.length === 0) return refuseNone(await handle.query(first.text, first.values), first);
      await handle.transaction(async (transaction) => {
        for (const write of writes) refuseNone(await transaction.query(write.text, write.values), write);
      });
    },
    close: () => undefined,
  };
}

/** How long somebody who connects by hand tries again, how often what he does not find is looked for, and the pause in between. */
const PATIENCE_MS = 5000;
const LOOKS = 5;
const PAUSE_MS = 20;
/** A statement that takes longer was sent to a server that does not answer. */
const ANSWER_MS = 15_000;

/** By hand, on a connection to the cluster where the tenant was last: nobody tells him that it moved, but the fence and rows that are not there. */
export function byHand(uris: Readonly<Record<string, string>>, tenant: string, firstHome: string): Way {
  let [home, session]: [string, Client | undefined] = [firstHome, undefined];
  const leave = (): void => {
    void session?.end().catch(() => undefined);
    session = undefined;
  };
  const go = (where: string): void => {
    if (where === home) return;
    leave();
    home = where;
  };
  const attempt = async (client: Client, writes: readonly Write[]): Promise<void> => {
    if (writes.length > 1) await client.query("BEGIN");
    try {
      for (const write of writes) refuseNone(await client.query(write.text, [...write.values]), write);
    } catch (error) {
      if (writes.length > 1 && (error instanceof MetNothing || refusalOf(error) !== undefined)) await client.query("ROLLBACK");
      throw error;
    }
    if (writes.length > 1) await client.query("COMMIT");
  };
  return {
    async run(writes) {
      const until = performance.now() + PATIENCE_MS;
      for (let missed = 0; ; ) {
        session ??= await connect(uris[home] as string, ANSWER_MS).catch((error: unknown) => {
          throw new NotConnected((error as Error).message);
        });
        try {
          return await attempt(session, writes);
        } catch (error) {
          const refusal = refusalOf(error);
          if (refusal?.kind === "elsewhere") go(refusal.home);
          else if (error instanceof MetNothing && (missed += 1) < LOOKS) {
            const { rows } = await session.query<{ home: string }>("SELECT tenancy.home($1) AS home", [tenant]);
            go((rows[0] as { home: string }).home);
          } else if (refusal?.kind !== "closed") {
            leave();
            throw error;
          }
          if (performance.now() > until) throw error;
          await delay(PAUSE_MS);
        }
      }
    },
    close: leave,
  };
}
