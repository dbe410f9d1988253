import type { Work } from "./clients";
import { outcomeOf, told } from "./outcome";
import type { Recorder } from "./recorder";
import type { ClusterTarget } from "./target";

/** Rows that a client writes in turn; each is inserted the first time, and updated from then on. */
const ROWS = 8;

/** Writes values that grow to rows of the reference table, which every node has a copy of; each tells which one it took the place of. */
export function referenceClient(client: number, cluster: ClusterTarget, recorder: Recorder): Work {
  let value = 0;
  return {
    uri: cluster.uri,
    endpoint: "leader",
    async request(session) {
      value += 1;
      const key = `${client}-${value % ROWS}`;
      const event = { type: "reference", client, row: referenceRow(cluster, key), value, at: recorder.now() } as const;
      try {
        const { rows } = await session.query<{ previous: string | null }>(
          "INSERT INTO chaos.settings AS own (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value, previous = own.value RETURNING previous",
          [key, value],
        );
        recorder.record({ ...event, ms: recorder.since(event.at), outcome: "ok", previous: Number(rows[0]?.previous ?? 0) });
        return true;
      } catch (error) {
        recorder.record({ ...event, ms: recorder.since(event.at), outcome: outcomeOf(error), error: told(error) });
        return false;
      }
    },
  };
}

/** The name of a reference table's row in the history. */
export function referenceRow({ name }: Pick<ClusterTarget, "name">, key: string): string {
  return `${name}:${key}`;
}
