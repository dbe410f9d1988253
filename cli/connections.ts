import { Client } from "pg";
import { Failure } from "./failure";
import { openSession, type Session } from "./session";
import type { Stack } from "./stack";
import { readState } from "./state";

/** Connection URIs of a stack that is up, by what they lead to: a cluster, or `leader`, `standbys` and `pooled`. They hold the password. */
export type ConnectionUris = Readonly<Record<string, string>>;

const CONNECT_TIMEOUT_MS = 4000;
const STATEMENT_TIMEOUT_MS = 10_000;

/**
 * The connection URIs from a stack's outputs.
 *
 * @throws {@link Failure} if the stack was never brought up to its end.
 */
export async function connectionUris(stack: string, session?: Session): Promise<ConnectionUris> {
  const { pulumi, backend } = session ?? (await openSession(stack));
  const uris = (await readState(pulumi, backend))?.outputs["uris"];
  if (typeof uris === "object" && uris !== null) return uris as ConnectionUris;
  throw new Failure(`${stack} is not up, or its last update did not reach its end: npm run up -- ${stack}`);
}

/** A session on a cluster's coordinator, with every statement bounded in time. */
export async function connect(uri: string, timeoutMs = STATEMENT_TIMEOUT_MS): Promise<Client> {
  const client = new Client({ connectionString: uri, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, query_timeout: timeoutMs, application_name: "citus-sharding" });
  // A server that goes away between statements: the next statement tells.
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** The coordinators of a stack: each cluster's name, and the URI that leads to its coordinator. */
export function coordinatorUris({ plan }: Pick<Stack, "plan">, uris: ConnectionUris): { cluster: string; uri: string }[] {
  return plan.clusters.flatMap(({ name }) => {
    const uri = uris[plan.topology === "active-active" ? name : "leader"];
    return uri === undefined ? [] : [{ cluster: name, uri }];
  });
}
