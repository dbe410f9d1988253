import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { from as copyFrom } from "pg-copy-streams";
import { createRouter, type Router } from "../../router/index";
import { moveTenant } from "../../tenants/move";
import { Failure } from "../failure";
import { duration, say } from "../print";
import { clustersOf, explained, onlyTenantStack } from "../tenant/stacks";
import { percentileOf, tell, type Figure } from "./figures";
import { RoomWriter } from "./roomWriter";

export interface BenchTenantOptions {
  /** Numbers of messages, comma-separated. */
  readonly rows: string;
  readonly moves: number;
  readonly json: boolean;
}

/** The rooms that are moved: far from those of applications and of the demo. */
const FIRST_ROOM = 8_100_000_000_000;
const PAUSE_MS = 5;
/** What a client notices of a move is over by then. */
const AFTER_MS = 300;
/** Pauses that a client may notice, in milliseconds, by how many messages there are at the most. */
const PAUSE_LIMITS: readonly (readonly [size: number, limitMs: number])[] = [[10_000, 50], [100_000, 75], [Infinity, 100]];

/** `npm run bench:tenant [-- <stack>]`: moves tenants back and forth while a client writes through the router, and checks that nothing is lost. Needs an active-active stack that is up, with the default schema. */
export async function benchTenant(words: readonly string[], { rows, moves, json }: BenchTenantOptions): Promise<void> {
  const stack = onlyTenantStack("bench:tenant", words);
  const sizes = rows.split(",").map(Number);
  if (sizes.some((size) => !Number.isInteger(size) || size < 0)) throw new Failure("--rows takes whole numbers, comma-separated: --rows 10000,100000");
  if (!Number.isInteger(moves) || moves < 1) throw new Failure("--moves takes a whole number from 1");
  const clusters = await clustersOf(stack);
  if (clusters.length < 2) throw new Failure(`${stack.name} has one cluster: there is none to move a tenant to.`);
  const router = await createRouter({ clusters: Object.fromEntries(clusters.map(({ name, uri }) => [name, { connectionString: uri, max: 4 }])) });
  const figures: Figure[] = [];
  try {
    for (const [index, size] of sizes.entries()) {
      const room = FIRST_ROOM + index;
      try {
        await load(router, room, size);
        const client = new RoomWriter(router, room, PAUSE_MS);
        const [pauses, closed, took]: [number[], number[], number[]] = [[], [], []];
        for (let move = 1; move <= moves; move += 1) {
          const { home } = await router.locate(room);
          const to = clusters.map(({ name }) => name).filter((name) => name !== home)[move % (clusters.length - 1)] as string;
          client.begin();
          const report = await explained(() => moveTenant(clusters, String(room), to));
          await delay(AFTER_MS);
          pauses.push(client.longest);
          closed.push(report.closedMs);
          took.push(report.tookMs);
          say(`${size.toLocaleString("en-US")} messages, move ${move} of ${moves} to ${to}: pause ${client.longest.toFixed(0)} ms, closed ${report.closedMs.toFixed(1)} ms, ${report.followed} changes followed, ${duration(report.tookMs)} in all`);
        }
        const problems = await client.check(size);
        const limit = PAUSE_LIMITS.find(([most]) => size <= most)?.[1] as number;
        const of = `${size.toLocaleString("en-US")} messages`;
        const spread = (values: readonly number[]): string => `median ${percentileOf(values, 50).toFixed(1)} ms, longest ${Math.max(...values).toFixed(1)} ms, ${moves} moves`;
        figures.push(
          { what: `${of}: pause of a client, 95th percentile`, found: percentileOf(pauses, 95), unit: "ms", limit, note: spread(pauses) },
          { what: `${of}: pause of a client, the first move after loading`, found: pauses[0] ?? 0, unit: "ms", limit, note: "" },
          { what: `${of}: nobody takes writes, 95th percentile`, found: percentileOf(closed, 95), unit: "ms", limit: 20, note: spread(closed) },
          { what: `${of}: acknowledged writes lost, doubled or changed`, found: problems, unit: "", limit: 0, note: `${client.acknowledged.toLocaleString("en-US")} acknowledged; a move takes ${duration(percentileOf(took, 50))}` },
        );
      } finally {
        for (const table of ["messages", "rooms"]) await router.for(room).query(`DELETE FROM ${table} WHERE room_id = $1`, [room]).catch(() => undefined);
      }
    }
  } finally {
    await router.end();
  }
  tell("tenant", figures, json);
}

async function load(router: Router, room: number, size: number): Promise<void> {
  const tenant = router.for(room);
  for (const table of ["messages", "rooms"]) await tenant.query(`DELETE FROM ${table} WHERE room_id = $1`, [room]);
  await tenant.query("INSERT INTO rooms (room_id, name) VALUES ($1, 'bench')", [room]);
  const client = await tenant.connect();
  try {
    const lines = function* (): Generator<string> {
      for (let from = 1; from <= size; from += 1000) yield Array.from({ length: Math.min(1000, size - from + 1) }, (_, index) => `${room}\t${from + index}\t${index}\t${"hello world ".repeat(5)}\n`).join("");
    };
    await pipeline(Readable.from(lines()), client.client.query(copyFrom("COPY messages (room_id, message_id, user_id, body) FROM STDIN")));
  } finally {
    client.release();
  }
}
