import { Client } from "pg";
import { createRouter, type Router } from "../../router/index";
import type { ClusterAccess } from "../../tenants/clusterAccess";
import { rebalance, type RebalanceReport } from "../../tenants/rebalance";
import { Failure } from "../failure";
import { duration, say } from "../print";
import { ringOf } from "../tenant/ringOf";
import { clustersOf, explained, onlyTenantStack } from "../tenant/stacks";
import { percentileOf, tell, type Figure } from "./figures";
import { RoomWriter } from "./roomWriter";

export interface BenchRebalanceOptions {
  readonly tenants: number;
  readonly json: boolean;
}

/** The rooms that are moved: far from those of applications, of the demo and of the other benches. */
const FIRST_ROOM = 8_200_000_000_000;
/** Each room has up to so many messages, beside its row in rooms. */
const MOST_MESSAGES = 9;
const MOST_ROOMS = 10_000_000;
const ROOMS_AT_ONCE = 10_000;
/** Rooms that are written meanwhile, one write after the other. */
const WRITERS = 8;
const PAUSE_MS = 20;
const PROGRESS_MS = 5000;
/** Deleting many rooms takes longer than a statement of the application may. */
const CLEAN_TIMEOUT_MS = 600_000;

const messagesOf = (room: string): string => `(1 + ${room} % ${MOST_MESSAGES})::int`;

/**
 * `npm run bench:rebalance [-- <stack>]`: makes small tenants, drains a cluster of its own and brings them back, while some are written through the router, and checks that nothing is lost. Needs an active-active stack that is
 * up, with the default schema; its other tenants move as well.
 */
export async function benchRebalance(words: readonly string[], { tenants, json }: BenchRebalanceOptions): Promise<void> {
  const stack = onlyTenantStack("bench:rebalance", words);
  if (!Number.isInteger(tenants) || tenants < 1 || tenants > MOST_ROOMS) throw new Failure(`--tenants takes a whole number from 1 to ${MOST_ROOMS.toLocaleString("en-US")}`);
  const clusters = await clustersOf(stack);
  const names = clusters.map(({ name }) => name);
  const drained = names.at(-1) as string;
  if (clusters.length < 2) throw new Failure(`${stack.name} has one cluster: there is none to move a tenant to.`);
  await clean(clusters);
  // What was not spread before is no part of what is measured.
  await explained(() => rebalance(clusters, ringOf(stack, names), progress("before")));
  const router = await createRouter({ clusters: Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max: 4 }])) });
  const figures: Figure[] = [];
  try {
    await load(clusters, tenants);
    const located = await Promise.all(Array.from({ length: tenants }, (_, index) => router.locate(FIRST_ROOM + index)));
    const rooms = located.flatMap(({ tenant, home }) => (home === drained ? [Number(tenant)] : []));
    const writers = rooms.filter((_, index) => index % Math.ceil(rooms.length / WRITERS) === 0).map((room) => new RoomWriter(router, room, PAUSE_MS));
    const pauses: number[] = [];
    const reports: RebalanceReport[] = [];
    for (const [what, ring] of [["a drain", ringOf(stack, names.filter((name) => name !== drained))], ["a rebalance", ringOf(stack, names)]] as const) {
      for (const writer of writers) writer.begin();
      const [began, used] = [performance.now(), process.cpuUsage()];
      const report = await explained(() => rebalance(clusters, ring, progress(what)));
      const [tookMs, { user, system }] = [performance.now() - began, process.cpuUsage(used)];
      reports.push(report);
      pauses.push(...writers.map(({ longest }) => longest));
      const [first] = report.failed;
      if (first !== undefined) say(`${report.failed.length} could not be moved; the first is ${first.tenant}: ${first.reason}`);
      const note = `${report.moved.toLocaleString("en-US")} in ${duration(tookMs)}; ${((user + system) / 1000 / Math.max(1, report.moved)).toFixed(2)} ms of a processor in this process for each, with the writers`;
      figures.push({ what: `tenants a second in ${what}`, found: (report.moved * 1000) / tookMs, unit: "/s", limit: 50, at: "least", note });
    }
    let wrong = 0;
    for (const writer of writers) wrong += await writer.check(writer.room % MOST_MESSAGES + 1);
    const acknowledged = writers.reduce((sum, writer) => sum + writer.acknowledged, 0);
    figures.push(
      { what: "pause of a writer, 95th percentile", found: percentileOf(pauses, 95), unit: "ms", limit: 100, note: `median ${percentileOf(pauses, 50).toFixed(0)} ms, longest ${Math.max(...pauses).toFixed(0)} ms, of ${pauses.length}` },
      { what: "nobody takes a tenant's writes, longest", found: Math.max(...reports.map(({ longestClosedMs }) => longestClosedMs)), unit: "ms" },
      { what: "tenants that could not be moved", found: reports.reduce((sum, { failed }) => sum + failed.length, 0), unit: "", limit: 0 },
      { what: "acknowledged writes lost, doubled or changed", found: wrong, unit: "", limit: 0, note: `${acknowledged.toLocaleString("en-US")} acknowledged` },
      { what: "rows lost, doubled or in two clusters", found: await misplaced(router, tenants), unit: "", limit: 0, note: `${tenants.toLocaleString("en-US")} tenants` },
    );
  } finally {
    await router.end();
    await clean(clusters);
  }
  tell("rebalance", figures, json);
}

function progress(what: string): Parameters<typeof rebalance>[2] {
  let last = performance.now();
  return ({ planned, moved }) => {
    if (performance.now() - last < PROGRESS_MS) return;
    last = performance.now();
    say(`${what}: ${moved.toLocaleString("en-US")} of ${planned.toLocaleString("en-US")} tenants`);
  };
}

async function onEach(clusters: readonly ClusterAccess[], work: (client: Client, cluster: string) => Promise<void>): Promise<void> {
  await Promise.all(
    clusters.map(async ({ name, uri }) => {
      const client = new Client({ connectionString: uri, query_timeout: CLEAN_TIMEOUT_MS });
      await client.connect();
      try {
        await work(client, name);
      } finally {
        await client.end();
      }
    }),
  );
}

/** Makes each room in the cluster that it lives in. */
async function load(clusters: readonly ClusterAccess[], tenants: number): Promise<void> {
  await onEach(clusters, async (client, cluster) => {
    for (let from = FIRST_ROOM; from < FIRST_ROOM + tenants; from += ROOMS_AT_ONCE) {
      const { rows } = await client.query<{ room: string }>("SELECT n::text AS room FROM generate_series($1::bigint, $2::bigint) n WHERE tenancy.home(n::text) = $3", [from, Math.min(from + ROOMS_AT_ONCE, FIRST_ROOM + tenants) - 1, cluster]);
      const rooms = rows.map(({ room }) => room);
      await client.query("INSERT INTO rooms (room_id, name) SELECT room, 'bench' FROM unnest($1::bigint[]) AS room", [rooms]);
      await client.query(`INSERT INTO messages (room_id, message_id, user_id, body) SELECT room, n, n, 'hello world ' || n FROM unnest($1::bigint[]) AS room, generate_series(1, ${messagesOf("room")}) AS n`, [rooms]);
    }
  });
}

/** Rows of the rooms that are missing, or that are in more than one cluster: what the clusters have, against what they were given. */
async function misplaced(router: Router, tenants: number): Promise<number> {
  const counted = async (text: string): Promise<number> => {
    const { rows, missing } = await router.all<{ count: string }>(text, [FIRST_ROOM, FIRST_ROOM + tenants - 1]);
    const [first] = missing;
    if (first !== undefined) throw new Failure(`Cluster ${first.cluster} does not answer: ${first.error.message}`);
    return rows.reduce((sum, { row }) => sum + Number(row.count), 0);
  };
  const rooms = await counted("SELECT count(*) AS count FROM rooms WHERE room_id BETWEEN $1 AND $2");
  const messages = await counted(`SELECT count(*) AS count FROM messages WHERE room_id BETWEEN $1 AND $2 AND message_id <= ${MOST_MESSAGES}`);
  const expected = Array.from({ length: tenants }, (_, index) => 1 + ((FIRST_ROOM + index) % MOST_MESSAGES)).reduce((sum, count) => sum + count, 0);
  return Math.abs(rooms - tenants) + Math.abs(messages - expected);
}

/** Takes the rooms away again, those of a bench that was stopped as well. */
async function clean(clusters: readonly ClusterAccess[]): Promise<void> {
  await onEach(clusters, async (client, cluster) => {
    const { rows } = await client.query<{ room: string }>(
      "WITH found AS MATERIALIZED (SELECT room_id FROM rooms WHERE room_id >= $1 AND room_id < $2) SELECT room_id::text AS room FROM found WHERE tenancy.home(room_id::text) = $3",
      [FIRST_ROOM, FIRST_ROOM + MOST_ROOMS, cluster],
    );
    for (let from = 0; from < rows.length; from += ROOMS_AT_ONCE) {
      const rooms = rows.slice(from, from + ROOMS_AT_ONCE).map(({ room }) => room);
      for (const table of ["messages", "rooms"]) await client.query(`DELETE FROM ${table} WHERE room_id = ANY ($1)`, [rooms]);
    }
  });
}
