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
 * Decides moves of tenants, all at once, unless that epoch or a later one of a tenant is decided. Who has a tenant after a move is this one row, on the coordinator of the cluster that gives it away (`tenancy.handover`, a local
 * table): the first to write it for an epoch wins. So a mover that was thought dead cannot give away what was taken back.
 *
 * @param wanted what is to be decided, by tenant.
 * @returns how the epoch of each tenant, or a later one, is decided.
 */
export async function decide(session: Client, wanted: ReadonlyMap<string, Handover>): Promise<Map<string, Handover>> {
  const tenants = [...wanted.keys()].sort();
  const handovers = tenants.map((tenant) => wanted.get(tenant) as Handover);
  const { rows: first } = await session.query<Row>(
    `INSERT INTO tenancy.handover AS known (tenant, epoch, move, taker) SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[])
     ON CONFLICT (tenant) DO UPDATE SET epoch = excluded.epoch, move = excluded.move, taker = excluded.taker WHERE known.epoch < excluded.epoch
     RETURNING tenant, epoch, move, taker`,
    [tenants, handovers.map(({ epoch }) => epoch), handovers.map(({ move }) => move), handovers.map(({ taker }) => taker)],
  );
  const decided = new Map(first.map((row) => [row.tenant, handoverOf(row)]));
  const others = tenants.filter((tenant) => !decided.has(tenant));
  if (others.length === 0) return decided;
  const { rows: before } = await session.query<Row>("SELECT tenant, epoch, move, taker FROM tenancy.handover WHERE tenant = ANY ($1)", [others]);
  for (const row of before) decided.set(row.tenant, handoverOf(row));
  return decided;
}

type Row = Omit<Handover, "epoch"> & { readonly tenant: string; readonly epoch: string };

function handoverOf({ epoch, move, taker }: Row): Handover {
  return { epoch: Number(epoch), move, taker };
}
