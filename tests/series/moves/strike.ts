import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";
import { connect } from "../../../cli/connections";
import { bringBack, command } from "../../../chaos/faults/command";
import type { Random } from "../../../chaos/random";
import type { ClusterTarget } from "../../../chaos/target";
import type { ClusterAccess } from "../../../tenants/clusterAccess";
import type { Fault, Role, Side } from "./faults";
import type { MoverProcess } from "./moverProcess";
import type { Proxy } from "./proxy";

/** A cluster, the way to its nodes, and the network between the mover and it. */
export interface Place {
  readonly target: ClusterTarget;
  readonly access: ClusterAccess;
  /** As the mover reaches it. */
  readonly through: ClusterAccess;
  readonly proxy: Proxy;
}

/** A move that something happens to. */
export interface Scene {
  readonly mover: MoverProcess;
  readonly tenant: string;
  readonly places: Readonly<Record<Side, Place>>;
  readonly random: Random;
}

/** What has happened. */
export interface Struck {
  /** What was hit, for the history. */
  readonly what: string;
  /** Whether a node was away, so that the stack may not be whole afterwards. */
  readonly node?: boolean;
  /** Undoes it, after a time by chance. */
  readonly heal?: () => Promise<void>;
}

/** How long a fault lasts that does not end by itself. */
const HOLD_MS = { from: 300, to: 4000 };
const MOVES = "citus-sharding move %";

/** Lets a fault happen. @returns what was hit; undefined if there was nothing to hit. */
export async function strike(fault: Exclude<Fault, { kind: "nothing" }>, scene: Scene): Promise<Struck | undefined> {
  const { mover, places, random } = scene;
  const holdMs = random.between(HOLD_MS.from, HOLD_MS.to);
  switch (fault.kind) {
    case "stop": {
      mover.signal("SIGSTOP");
      return { what: `SIGSTOP; ${await endLocks(scene)} sessions on coordinators ended` };
    }
    case "kill":
      mover.signal("SIGKILL");
      return { what: "SIGKILL" };
    case "pause":
    case "docker kill": {
      const name = await container(places[fault.side], fault.role, scene);
      await command([fault.kind === "pause" ? "pause" : "kill", name]);
      return {
        what: `${name} for ${holdMs} ms`,
        node: true,
        heal: async () => {
          await delay(holdMs);
          await bringBack([name]);
        },
      };
    }
    case "session": {
      const ended = await endOne(places[fault.side], fault.role, scene);
      return ended === undefined ? undefined : { what: ended };
    }
    case "network": {
      const { proxy } = places[fault.side];
      const forgotten = fault.trouble !== "delay" && random.next() < 0.5;
      proxy.fail(fault.trouble);
      return {
        what: `to ${proxy.name} for ${holdMs} ms${forgotten ? ", and what was held up is lost" : ""}`,
        heal: async () => {
          await delay(holdMs);
          proxy.mend(forgotten);
        },
      };
    }
  }
}

/** Ends the sessions of every mover on the workers: what a person does who reads that a transaction is in the way of settling a move. */
export async function endOnWorkers(places: readonly Place[]): Promise<number> {
  const ended = await Promise.all(places.flatMap(({ access }) => Object.keys(access.nodes).map((node) => onNode(access, node, (client) => terminate(client, "application_name LIKE $1", [MOVES])))));
  return ended.reduce((sum, count) => sum + count, 0);
}

/** The nodes of a cluster with a copy of the tenant's rows. */
async function nodesWith(tenant: string, { target }: Place): Promise<string[]> {
  const client = await connect(target.uri);
  try {
    const { rows } = await client.query<{ node: string }>(
      "SELECT nodename || ':' || nodeport AS node FROM pg_dist_placement JOIN pg_dist_node USING (groupid) WHERE noderole = 'primary' AND shardid = get_shard_id_for_distribution_column('moves_accounts', $1::text)",
      [tenant],
    );
    return rows.map(({ node }) => node);
  } finally {
    void client.end().catch(() => undefined);
  }
}

/** A container to hit: the coordinator, or one of the workers that have the tenant's rows. */
async function container(place: Place, role: Role, { tenant, random }: Scene): Promise<string> {
  const { coordinator } = place.target.plan;
  if (role === "coordinator" && coordinator !== undefined) return coordinator.name;
  const node = random.pick(await nodesWith(tenant, place));
  if (node === undefined) throw new Error(`no worker of cluster ${place.target.name} has the shards of tenant ${tenant}`);
  return node.split(":")[0] as string;
}

/** Ends the sessions on coordinators of who holds the lock of the tenant's mover, as happens to a machine that sleeps for long. Those on workers stay. */
async function endLocks({ tenant, places }: Scene): Promise<number> {
  const counts = await Promise.all(
    Object.values(places).map(async ({ target }) => {
      const client = await connect(target.uri);
      try {
        return await terminate(client, `application_name IN (${NAMES_OF_MOVER})`, [tenant]);
      } finally {
        void client.end().catch(() => undefined);
      }
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** What a tenant's mover is called in `pg_stat_activity`: it has the tenant's lock. */
const NAMES_OF_MOVER = `SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
  WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 7778 AND l.objid = (hashtext($1)::bigint & 4294967295)::oid`;

/** Ends one session of the tenant's mover on a node that has one. @returns which; undefined if there is none. */
async function endOne(place: Place, role: Role, { tenant, random }: Scene): Promise<string | undefined> {
  const client = await connect(place.target.uri);
  try {
    const { rows } = await client.query<{ application_name: string }>(NAMES_OF_MOVER, [tenant]);
    const name = rows[0]?.application_name;
    if (name === undefined) return undefined;
    const one = `pid = (SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY random() LIMIT 1)`;
    if (role === "coordinator") return (await terminate(client, one, [name])) === 0 ? undefined : `a session of ${name} on the coordinator of ${place.target.name}`;
    const nodes = await nodesWith(tenant, place);
    const first = random.between(0, Math.max(0, nodes.length - 1));
    for (const node of [...nodes.slice(first), ...nodes.slice(0, first)]) {
      if ((await onNode(place.access, node, (worker) => terminate(worker, one, [name]))) > 0) return `a session of ${name} on ${node}`;
    }
    return undefined;
  } finally {
    void client.end().catch(() => undefined);
  }
}

async function terminate(client: Client, condition: string, values: readonly unknown[]): Promise<number> {
  return (await client.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND ${condition}`, [...values])).rowCount ?? 0;
}

async function onNode<Result>({ uri, nodes }: ClusterAccess, node: string, work: (client: Client) => Promise<Result>): Promise<Result> {
  const address = nodes[node];
  if (address === undefined) throw new Error(`the address of ${node} is not known`);
  const there = new URL(uri);
  Object.assign(there, { hostname: address.host, port: String(address.port) });
  const client = await connect(there.href);
  try {
    return await work(client);
  } finally {
    void client.end().catch(() => undefined);
  }
}
