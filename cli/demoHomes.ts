import type { ClientBase } from "pg";
import { createRouter, type Router } from "../router/index";
import { reason } from "../setup/setupError";
import { connect } from "./connections";
import { demoRooms, FIRST_ID } from "./demoRows";
import { Failure } from "./failure";
import type { Stack } from "./stack";

/** A cluster of the stack, and where its coordinator is. */
export interface DemoCluster {
  readonly cluster: string;
  readonly uri: string;
}

/** A cluster, and which rooms of the demo live in it. */
export interface Part extends DemoCluster {
  readonly rooms: readonly number[];
}

/** Where rooms live, and how one gets to write there. */
export interface Directory {
  readonly homeOf: (room: number) => Promise<string>;
  /** A session on the coordinator of a part that has rooms. */
  readonly open: (part: Part) => Promise<DemoSession>;
  readonly end: () => Promise<void>;
}

/** A session on a coordinator. */
export interface DemoSession {
  readonly client: ClientBase;
  /** Gives the session up; one that failed is not used again. */
  readonly close: (failed: boolean) => void;
}

/** How long a statement may take. */
const TIMEOUT_MS = 120_000;

/** The tenant router, where the clusters know which tenants are whose. Elsewhere there is one cluster, or nobody minds: rooms alternate. */
export async function directoryOf({ name, plan }: Stack, coordinators: readonly DemoCluster[]): Promise<Directory> {
  if (plan.tenancy === undefined) return { homeOf: (room) => Promise.resolve(coordinators[room % coordinators.length]?.cluster ?? ""), open: openDirectly, end: () => Promise.resolve() };
  const pool = { max: 2, query_timeout: TIMEOUT_MS, application_name: "citus-sharding demo" };
  const clusters = Object.fromEntries(coordinators.map(({ cluster, uri }) => [cluster, { connectionString: uri, ...pool }]));
  const router = await createRouter({ clusters }).catch((error: unknown) => {
    throw new Failure(`The demo did not begin: ${reason(error)}; npm run status -- ${name} tells which node is not well.`);
  });
  return { homeOf: async (room) => (await router.locate(room)).home, open: (part) => openRouted(router, part), end: () => router.end() };
}

/** Which rooms live where. */
export async function placed({ homeOf }: Directory, coordinators: readonly DemoCluster[]): Promise<Part[]> {
  const rooms = new Map(coordinators.map(({ cluster }): [string, number[]] => [cluster, []]));
  const homes = await Promise.all(demoRooms().map(async (room) => [room, await homeOf(room)] as const));
  for (const [room, cluster] of homes) {
    const home = rooms.get(cluster);
    if (home === undefined) throw new Failure(`Room ${room} lives in the cluster ${cluster}, which is not up as part of the stack.`);
    home.push(room);
  }
  return coordinators.map(({ cluster, uri }) => ({ cluster, uri, rooms: rooms.get(cluster) ?? [] }));
}

/** A session through the router, at the home of a part's rooms. */
async function openRouted(router: Router, { rooms: [room = FIRST_ID] }: Part): Promise<DemoSession> {
  const connection = await router.for(room).connect();
  return { client: connection.client, close: (failed) => connection.release(failed) };
}

/** A session of one's own on a part's coordinator. */
export async function openDirectly({ uri }: Part): Promise<DemoSession> {
  const client = await connect(uri, TIMEOUT_MS);
  return { client, close: () => void client.end().catch(() => undefined) };
}
