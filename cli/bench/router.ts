import { tracingChannel } from "node:diagnostics_channel";
import { Pool } from "pg";
import { createRouter, Placement, type Router } from "../../router/index";
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
const ROUND_MS = 2000;
const CONNECTIONS = 8;
/** More statements at a time than connections, as an application under load has. */
const CONCURRENCY = 16;

/** How a statement gets to its cluster. */
const WAYS = {
  bare: "a bare pool",
  query: "tenant.query",
  pool: "tenant.pool",
  untold: "tenant.query without its channels",
  heard: "tenant.query with somebody listening",
};
type Way = keyof typeof WAYS;

/** What a round gave: statements a second, and microseconds of a processor for each. */
interface Round {
  readonly rate: number;
  readonly cpu: number;
}

/** `npm run bench:router [-- <stack>]`: what a decision costs, and what a statement loses by going through the router. Needs an active-active stack that is up. */
export async function benchRouter(words: readonly string[], { rounds, json }: BenchRouterOptions): Promise<void> {
  const stack = onlyTenantStack("bench:router", words);
  const clusters = await clustersOf(stack);
  const figures = decisions();

  const router = await createRouter({ clusters: Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max: CONNECTIONS }])) });
  const [{ name: cluster = "", uri = "" } = {}] = clusters;
  const pool = new Pool({ connectionString: uri, max: CONNECTIONS });
  try {
    const located = await Promise.all(Array.from({ length: TENANTS }, (_, index) => router.locate(8_000_000_000_000 + index)));
    const tenants = located.flatMap(({ tenant, home }) => (home === cluster ? [Number(tenant)] : []));
    figures.push(...ratios(await measure(router, pool, tenants, rounds), rounds));
  } finally {
    await Promise.all([router.end(), pool.end()]);
  }
  tell("router", figures, json);
}

/** Rounds of each way, interleaved: what else the machine does meets all of them alike. */
async function measure(router: Router, pool: Pool, tenants: readonly number[], rounds: number): Promise<Record<Way, Round[]>> {
  const statement = "SELECT name FROM rooms WHERE room_id = $1";
  const pools = new Map(tenants.map((tenant) => [tenant, router.for(tenant).pool]));
  const query = (tenant: number): Promise<unknown> => router.for(tenant).query(statement, [tenant]);
  const runs: Record<Way, (tenant: number) => Promise<unknown>> = {
    bare: (tenant) => pool.query(statement, [tenant]),
    query,
    pool: (tenant) => (pools.get(tenant) as Pool).query(statement, [tenant]),
    untold: (tenant) => router.for(tenant)["home"].queryUntold(statement, [tenant], undefined),
    heard: query,
  };
  const ways = Object.keys(WAYS) as Way[];
  const found: Record<Way, Round[]> = { bare: [], query: [], pool: [], untold: [], heard: [] };
  for (const way of ways) await rate(runs[way], tenants, ROUND_MS / 4);
  const channel = tracingChannel("tenant-router:statement");
  const nothing = (): void => undefined;
  const listener = { start: nothing, end: nothing, asyncStart: nothing, asyncEnd: nothing, error: nothing };
  for (let round = 1; round <= rounds; round += 1) {
    for (const [index] of ways.entries()) {
      const way = ways[(index + round) % ways.length] as Way;
      if (way === "heard") channel.subscribe(listener);
      try {
        found[way].push(await rate(runs[way], tenants, ROUND_MS));
      } finally {
        if (way === "heard") channel.unsubscribe(listener);
      }
    }
    say(`round ${round} of ${rounds}: ${ways.map((way) => `${way} ${Math.round(found[way].at(-1)?.rate ?? 0)}/s, ${(found[way].at(-1)?.cpu ?? 0).toFixed(1)} µs`).join("; ")}`);
  }
  return found;
}

/** Each way against another of the same round. */
function ratios(found: Readonly<Record<Way, readonly Round[]>>, rounds: number): Figure[] {
  const middle = (way: Way, of: keyof Round): number => percentileOf(found[way].map((round) => round[of]), 50);
  const compared = (way: Way, other: Way, of: (one: Round, other: Round) => number): number => percentileOf(found[way].map((round, index) => of(round, found[other][index] as Round)), 50);
  const throughput = (way: Way, other: Way): Figure => ({
    what: `statements through ${WAYS[way]}, of those through ${WAYS[other]}`,
    found: compared(way, other, (one, reference) => (one.rate / reference.rate) * 100),
    unit: "%",
    note: `${Math.round(middle(way, "rate"))}/s and ${Math.round(middle(other, "rate"))}/s, medians of ${rounds} interleaved rounds, ${CONNECTIONS} connections, ${CONCURRENCY} at a time`,
  });
  const processor = (way: Way, limit: number): Figure => ({
    what: `a processor's time that a statement through ${WAYS[way]} takes beyond that of ${WAYS.bare}`,
    found: compared(way, "bare", (one, reference) => one.cpu - reference.cpu),
    unit: "µs",
    limit,
    note: `${middle(way, "cpu").toFixed(1)} µs and ${middle("bare", "cpu").toFixed(1)} µs, medians of the same rounds`,
  });
  return [
    { ...throughput("query", "bare"), limit: 97, at: "least" },
    processor("query", 10),
    { ...throughput("pool", "bare"), limit: 97, at: "least" },
    processor("pool", 15),
    { ...throughput("query", "untold"), limit: 99, at: "least" },
    throughput("heard", "query"),
  ];
}

/** What a decision costs, in microseconds: the median of runs over many tenants. */
function decisions(): Figure[] {
  const ids = Array.from({ length: TENANTS }, (_, index) => String(index * 7919));
  const note = `${TENANTS.toLocaleString("en-US")} tenants`;
  const directory = new Directory(10 * TENANTS);
  directory.spread("a", { version: 1, clusters: ["a", "b"] });
  for (const id of ids) directory.remember(id, { home: "a", epoch: 1, state: "settled" });
  const measured = (decide: (id: string) => string): number => {
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
    { what: "a decision by lookup", found: measured((id) => directory.recordOf(id)?.home ?? ""), unit: "µs", limit: 1, note },
    ...[[2, 2] as const, [100, 5] as const].map(([clusters, limit]) => {
      const placement = new Placement(Array.from({ length: clusters }, (_, index) => `cluster-${index}`));
      return { what: `a decision by hash over ${clusters} clusters`, found: measured((id) => placement.place(id)), unit: "µs", limit, note };
    }),
  ];
}

/** Statements a second, and what each took of a processor. */
async function rate(run: (tenant: number) => Promise<unknown>, tenants: readonly number[], durationMs: number): Promise<Round> {
  const [began, used] = [performance.now(), process.cpuUsage()];
  let done = 0;
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async (_, worker) => {
      for (let index = worker; performance.now() - began < durationMs; index += CONCURRENCY) {
        await run(tenants[index % tenants.length] as number);
        done += 1;
      }
    }),
  );
  const { user, system } = process.cpuUsage(used);
  return { rate: (done * 1000) / (performance.now() - began), cpu: (user + system) / done };
}
