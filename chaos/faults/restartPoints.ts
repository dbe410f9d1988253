import type { PatroniPlan } from "../../topology/plan";
import { PatroniRest } from "../../setup/patroniRest";
import { command } from "./command";

/** So that no checkpoint comes by itself, neither by time nor by the amount that is written. */
const PARAMETERS = { checkpoint_timeout: "30min", max_wal_size: "8GB" } as const;
/** What one round of writing changes: rows of about a kilobyte, so that some 40 MB go to the log. */
const ROWS = 20_000;
const MOST_ROUNDS = 60;
/** A standby that has much more to replay than was asked for costs time and shows nothing more. */
const MOST_FACTOR = 3;
const SQL_TIMEOUT_MS = 120_000;
const PAD = `SET citus.enable_ddl_propagation = off; CREATE SCHEMA IF NOT EXISTS chaos; CREATE TABLE IF NOT EXISTS chaos.pad (id integer PRIMARY KEY, pad text NOT NULL)`;
const WRITE = `INSERT INTO chaos.pad SELECT id, repeat(md5(random()::text), 30) FROM generate_series(1, ${ROWS}) AS id ON CONFLICT (id) DO UPDATE SET pad = excluded.pad`;

/**
 * Brings a group's standbys apart: `far` has to replay at least so many bytes of its own log when it starts, `near` next to none.
 * What is written goes to `chaos.pad` on the leader. @throws the reason if it could not be done.
 */
export async function farBehind({ members }: PatroniPlan, { leader, near, far }: { readonly leader: string; readonly near?: string; readonly far?: string }, bytes: number): Promise<void> {
  if (far === undefined) return;
  await keepCheckpointsAway(members.map(({ name }) => name), leader);
  if ((await toReplay(leader, far)) > MOST_FACTOR * bytes) await checkpoint(leader, far);
  await sql(leader, PAD);
  for (let round = 0; round < MOST_ROUNDS && (await toReplay(leader, far)) < bytes; round += 1) await sql(leader, WRITE);
  if (near !== undefined) await checkpoint(leader, near);
}

/** Sets what keeps checkpoints away, where it is not set yet; the next `up` puts back what the stack's settings have. */
async function keepCheckpointsAway(members: readonly string[], leader: string): Promise<void> {
  const rest = new PatroniRest(members);
  const { postgresql } = (await rest.configuration(leader)) as { postgresql?: { parameters?: Readonly<Record<string, unknown>> } };
  if (Object.entries(PARAMETERS).every(([name, value]) => postgresql?.parameters?.[name] === value)) return;
  await rest.patchConfiguration(leader, { postgresql: { parameters: PARAMETERS } });
}

/** How many bytes lie between a standby's restart point and the end of its leader's log. */
async function toReplay(leader: string, standby: string): Promise<number> {
  const redo = (await sql(standby, "SELECT redo_lsn FROM pg_control_checkpoint()")).trim();
  return Number(await sql(leader, `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '${redo}')`));
}

/** A checkpoint of the leader, and a restart point of the standby at it, once that has replayed it. */
async function checkpoint(leader: string, standby: string): Promise<void> {
  await sql(leader, "CHECKPOINT");
  const at = (await sql(leader, "SELECT pg_current_wal_lsn()")).trim();
  await sql(standby, `DO $$ BEGIN FOR i IN 1..600 LOOP EXIT WHEN pg_last_wal_replay_lsn() >= '${at}'; PERFORM pg_sleep(0.05); END LOOP; END $$`);
  await sql(standby, "CHECKPOINT");
}

function sql(container: string, statement: string): Promise<string> {
  return command(["exec", container, "psql", "-U", "postgres", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement], SQL_TIMEOUT_MS);
}
