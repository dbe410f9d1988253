import type { Coordinator } from "./coordinator";

/** A shard whose every usable placement is on nodes that are gone. */
export interface LostShard {
  readonly shardId: string;
  /** The table, qualified where the search path asks for it. */
  readonly table: string;
  /** The gone groups that it was placed on. */
  readonly groupIds: readonly number[];
}

/** The shards that are lost if the nodes of these groups are; an inactive node's placements have missed writes and do not count. */
export function lostShards(coordinator: Coordinator, goneGroupIds: readonly number[]): Promise<LostShard[]> {
  return coordinator.query<LostShard>(
    `SELECT s.shardid AS "shardId", s.logicalrelid::text AS table, array_agg(p.groupid) AS "groupIds"
     FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid)
     WHERE p.groupid = ANY ($1)
       AND NOT EXISTS (
         SELECT FROM pg_dist_placement o JOIN pg_dist_node n USING (groupid)
         WHERE o.shardid = s.shardid AND n.noderole = 'primary' AND n.isactive AND NOT o.groupid = ANY ($1))
     GROUP BY 1, 2 ORDER BY 1`,
    [goneGroupIds],
  );
}

/** Lost shards in a sentence: `22 shards of rooms, messages`. The product's own table does not count. */
export function describeLost(shards: readonly LostShard[]): string {
  const own = shards.filter(({ table }) => !table.startsWith("sharding."));
  return `${own.length} ${own.length === 1 ? "shard" : "shards"} of ${[...new Set(own.map(({ table }) => table))].join(", ")}`;
}
