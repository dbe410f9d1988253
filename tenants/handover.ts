import type { Client } from "pg";

/** How a move ended. */
export interface Handover {
  /** The epoch of the tenant before the move. */
  readonly epoch: number;
  /** Who decided: the move, or what gave it up. */
  readonly move: string;
  /** The cluster that took the tenant; null: it stayed. */
  readonly taker: string | null;
}

/**
 * Decides a move, unless that epoch or a later one is decided. Who has a tenant after a move is this one row, on the coordinator of the cluster that gives it away (`tenancy.handover`, a local table): the
 * first to write it for an epoch wins. So a mover that was thought dead cannot give away what was taken back.
 *
 * @returns how the epoch, or a later one, is decided.
 */
export async function decide(session: Client, tenant: string, { epoch, move, taker }: Handover): Promise<Handover> {
  const { rows } = await session.query<{ epoch: string; move: string; taker: string | null }>(
    `INSERT INTO tenancy.handover AS known (tenant, epoch, move, taker) VALUES ($1, $2, $3, $4)
     ON CONFLICT (tenant) DO UPDATE SET epoch = excluded.epoch, move = excluded.move, taker = excluded.taker WHERE known.epoch < excluded.epoch
     RETURNING epoch, move, taker`,
    [tenant, epoch, move, taker],
  );
  const known = rows[0] ?? (await session.query<{ epoch: string; move: string; taker: string | null }>("SELECT epoch, move, taker FROM tenancy.handover WHERE tenant = $1", [tenant])).rows[0];
  const decided = known as { epoch: string; move: string; taker: string | null };
  return { ...decided, epoch: Number(decided.epoch) };
}
