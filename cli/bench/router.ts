import { Pool } from "pg";
import { createRouter, Placement } from "../../router/index";
import { Directory } from "../../router/directory";
import { clustersOf, onlyTenantStack } from "../tenant/stacks";
import { say } from "../print";
import { percentileOf, tell, type Figure } from "./figures";

export interface BenchRouterOptions {
  readonly rounds: number;
  readonly json: boolean;
}

const DECISIONS = 1_000_000;
const TENANTS = 10_000;
const ROUND_MS = 3000;
const CONNECTIONS = 8;
/** More statements at a time than connections, as an application under load has. */
const CONCURRENCY = 16;

/** `npm run bench:router [-- <stack>]`: what a decision costs, and what a statement loses by going through the router. Needs an active-active stack that is up. */
export async function benchRouter(words: readonly string[], { rounds, json }: BenchRouterOptions): Promise<void> {
  const stack = onlyTenantStack("bench:router", words);
  const clusters = await clustersOf(stack);
  const figures = [...decisions(clusters.map(({ name }) => name))];

  const router = await createRouter({ clusters: Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max: CONNECTIONS }])) });
  const [{ name: cluster = "", uri = "" } = {}] = clusters;
  const pool = new Pool({ connectionString: uri, max: CONNECTIONS });
  try {
    const located = await Promise.all(Array.from({ length: TENANTS }, (_, index) => router.locate(8_000_000_000_000 + index)));
    const tenants = located.flatMap(({ tenant, home }) => (home === cluster ? [Number(tenant)] : []));
    const statement = "SELECT name FROM rooms WHERE room_id = $1";
    const ways: Record<"bare" | "routed", (tenant: number) => Promise<unknown>> = {
      bare: (tenant) => pool.query(statement, [tenant]),
      routed: (tenant) => router.for(tenant).query(statement, [tenant]),
    };
    const rates: Record<keyof typeof ways, number[]> = { bare: [], routed: [] };
    for (const way of ["bare", "routed"] as const) await rate(ways[way], tenants, ROUND_MS / 3);
    for (let round = 1; round <= rounds; round += 1) {
      for (const way of round % 2 === 0 ? (["bare", "routed"] as const) : (["routed", "bare"] as const)) rates[way].push(await rate(ways[way], tenants, ROUND_MS));
      say(`round ${round} of ${rounds}: bare ${Math.round(rates.bare.at(-1) ?? 0)}/s, routed ${Math.round(rates.routed.at(-1) ?? 0)}/s`);
    }
    const [bare, routed] = [percentileOf(rates.bare, 50), percentileOf(rates.routed, 50)];
    figures.push({
      what: "statements through the router, of those through a bare pool",
      found: (routed / bare) * 100,
      unit: "%",
      limit: 95,
      at: "least",
      note: `${Math.round(routed)}/s and ${Math.round(bare)}/s, medians of ${rounds} interleaved rounds, ${CONNECTIONS} connections`,
    });
  } finally {
    await Promise.all([router.end(), pool.end()]);
  }
  tell("router", figures, json);
}

/** What a decision costs, in microseconds: the median of runs over many tenants. */
function decisions(clusters: readonly string[]): Figure[] {
  const ids = Array.from({ length: TENANTS }, (_, index) => String(index * 7919));
  const placement = new Placement(clusters);
  const directory = new Directory(10 * TENANTS);
  const [home = ""] = clusters;
  directory.spread(home, { version: 1, tickets: clusters });
  for (const id of ids) directory.remember(id, { home, epoch: 1, state: "settled" });
  const measure = (decide: (id: string) => string): number => {
    const costs: number[] = [];
    for (let run = 0; run < 7; run += 1) {
      const began = performance.now();
      let length = 0;
      for (let index = 0; index < DECISIONS; index += 1) length += decide(ids[index % TENANTS] as string).length;
      if (length === 0) throw new Error("no decision was made");
      costs.push(((performance.now() - began) * 1000) / DECISIONS);
    }
    return percentileOf(costs, 50);
  };
  return [
    { what: "a decision by lookup", found: measure((id) => directory.recordOf(id)?.home ?? ""), unit: "µs", limit: 1, note: `${TENANTS.toLocaleString("en-US")} tenants` },
    { what: `a decision by hash over ${clusters.length} clusters`, found: measure((id) => placement.place(id)), unit: "µs", limit: 2, note: `${TENANTS.toLocaleString("en-US")} tenants` },
  ];
}

/** Statements a second. */
async function rate(run: (tenant: number) => Promise<unknown>, tenants: readonly number[], durationMs: number): Promise<number> {
  const began = performance.now();
  let done = 0;
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async (_, worker) => {
      for (let index = worker; performance.now() - began < durationMs; index += CONCURRENCY) {
        await run(tenants[index % tenants.length] as number);
        done += 1;
      }
    }),
  );
  return (done * 1000) / (performance.now() - began);
}
