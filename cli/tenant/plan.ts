import colors from "picocolors";
import { hindrancesOf, hindranceWarning } from "../../tenants/hindrances";
import { gapWarning, migrationGap, migrationsIn } from "../../tenants/migrations";
import { openSites } from "../../tenants/move";
import { planMoves, type PlannedMove } from "../../tenants/plan";
import { newestRing } from "../../tenants/ring";
import { ringInWords, weightsOf } from "../../router/tickets";
import { Failure } from "../failure";
import { size } from "../print";
import { table } from "../table";
import { ringOf } from "./ringOf";
import { clustersOf, explained, onlyTenantStack } from "./stacks";

export interface PlanCommandOptions {
  readonly add?: string;
  readonly remove?: string;
  readonly json: boolean;
}

/** `npm run tenant -- plan [stack] [--add c] [--remove a]`: what a rebalance would move, and what it would with other clusters. Nothing is changed. */
export async function plan(words: readonly string[], { add, remove, json }: PlanCommandOptions): Promise<void> {
  const stack = onlyTenantStack("tenant -- plan", words);
  const clusters = await clustersOf(stack);
  const names = clusters.map(({ name }) => name);
  if (remove !== undefined && !names.includes(remove)) throw new Failure(`${stack.name} has no cluster "${remove}". Its clusters are ${names.join(", ")}.`);
  const ring = ringOf(stack, [...new Set([...names.filter((name) => name !== remove), ...(add === undefined ? [] : [add])])]);
  if (ring.length === 0) throw new Failure(`${remove ?? ""} is the only cluster: there is none that its tenants could move to.`);
  const { moves, now, hindrances } = await explained(async () => {
    const sites = await openSites(clusters, "citus-sharding tenant", names);
    try {
      const found = await Promise.all(sites.map(async ({ name, coordinator }) => (await hindrancesOf(coordinator)).map((hindrance) => hindranceWarning(name, hindrance))));
      const migrated = await Promise.all(sites.map(async ({ name, coordinator }) => ({ name, migrations: await migrationsIn(coordinator) })));
      const gap = migrationGap(migrated.flatMap(({ name, migrations }) => (migrations === undefined ? [] : [{ name, migrations }])));
      return { moves: await planMoves(sites, ring), now: await newestRing(sites), hindrances: [...found.flat(), ...(gap === undefined ? [] : [gapWarning(gap)])] };
    } finally {
      for (const site of sites) site.close();
    }
  });
  const ways = summed(moves);
  if (json) return console.log(JSON.stringify({ stack: stack.name, from: Object.keys(weightsOf(now.clusters)), to: Object.keys(weightsOf(ring)), weights: { from: weightsOf(now.clusters), to: weightsOf(ring) }, ways, moves, hindrances }, undefined, 2));
  for (const hindrance of hindrances) console.log(hindrance);
  const change = String(now.clusters) === String(ring) ? `Tenants are spread over ${ringInWords(ring)}` : `Spreading tenants over ${ringInWords(ring)} instead of ${ringInWords(now.clusters)}`;
  if (moves.length === 0) return console.log(`${change}: nothing has to move.`);
  const number = (value: number): string => value.toLocaleString("en-US");
  const rows = ways.map(({ from, to, tenants, rows: count, bytes }) => [from, to, number(tenants), number(count), size(bytes)]);
  console.log([`${change} moves ${number(moves.length)} ${moves.length === 1 ? "tenant" : "tenants"}:`, "", ...table([["from", "to", "tenants", "rows", "bytes"], ...rows], (cell, row) => (row === 0 ? colors.dim(cell) : cell))].join("\n"));
}

/** Moves summed up by where they come from and go to. */
export function summed(moves: readonly PlannedMove[]): { from: string; to: string; tenants: number; rows: number; bytes: number }[] {
  const ways = new Map<string, { from: string; to: string; tenants: number; rows: number; bytes: number }>();
  for (const { home, to, rows, bytes } of moves) {
    const way = ways.get(`${home} ${to}`) ?? { from: home, to, tenants: 0, rows: 0, bytes: 0 };
    ways.set(`${home} ${to}`, { ...way, tenants: way.tenants + 1, rows: way.rows + rows, bytes: way.bytes + bytes });
  }
  return [...ways.values()].sort((one, other) => (`${one.from} ${one.to}` < `${other.from} ${other.to}` ? -1 : 1));
}
