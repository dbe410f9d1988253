import type { ClientSession } from "./clientSession";
import type { Work } from "./clients";
import { outcomeOf, told } from "./outcome";
import type { Random } from "./random";
import type { Recorder } from "./recorder";
import type { Shard } from "./tables";

interface Node {
  readonly name: string;
  readonly port: number;
  readonly group: number;
}

/** Moves placements of shards between workers, with those of the tables that are colocated, one at a time. */
export function movingClient(client: number, shards: readonly Shard[], random: Random, recorder: Recorder): Work {
  const [any] = shards;
  if (any === undefined) throw new Error("a moving client needs a shard");
  // Tables with several placements are written by statements, which no replication slot follows.
  const mode = any.cluster.plan.setup.replicationFactor === 1 ? "force_logical" : "block_writes";
  return {
    uri: any.cluster.uri,
    endpoint: "leader",
    async request(session) {
      const shard = random.pick(shards) ?? any;
      const nodes = await workers(session, shard).catch(() => undefined);
      if (nodes === undefined) return false;
      const [from, to] = [random.pick(nodes.with), random.pick(nodes.without)];
      if (from === undefined || to === undefined) return true;
      const event = { type: "move", client, shard: shard.name, from: from.group, to: to.group, at: recorder.now() } as const;
      try {
        await session.query("SELECT citus_move_shard_placement($1, $2, $3, $4, $5, $6)", [shard.id, from.name, from.port, to.name, to.port, mode]);
        recorder.record({ ...event, ms: recorder.since(event.at), outcome: "ok" });
        return true;
      } catch (error) {
        recorder.record({ ...event, ms: recorder.since(event.at), outcome: outcomeOf(error), error: told(error) });
        return false;
      }
    },
  };
}

/** The workers with and without a placement of a shard. */
async function workers(session: ClientSession, { id }: Shard): Promise<{ with: Node[]; without: Node[] }> {
  const { rows } = await session.query<Node & { has: boolean }>(
    `SELECT nodename AS name, nodeport AS port, groupid AS "group", EXISTS (SELECT FROM pg_dist_placement p WHERE p.groupid = n.groupid AND p.shardid = $1) AS has
     FROM pg_dist_node n WHERE noderole = 'primary' AND isactive AND shouldhaveshards`,
    [id],
  );
  return { with: rows.filter(({ has }) => has), without: rows.filter(({ has }) => !has) };
}
