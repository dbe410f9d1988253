import type { Site } from "./site";

/** What the sessions of a move are called in `pg_stat_activity`. */
export function sessionNameOf(move: string): string {
  return `citus-sharding move ${move}`;
}

/** Publications on a worker, by name, whose move has no session there any more. A mover keeps the one that it publishes by as long as it lives. */
export const ORPHANS = `
  SELECT quote_ident(pubname) AS name FROM pg_publication
  WHERE pubname ~ '^tenancy_[0-9a-f]{16}$' AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '${sessionNameOf("")}' || substr(pubname, ${"tenancy_".length + 1}))`;

/**
 * Drops publications that nobody else drops: of a mover that lost its session on the worker, so that it could not drop its own, or woke up after its move had been given up and went on for a moment. Nobody reads them; workers
 * that do not answer keep theirs until another time.
 *
 * @returns how many there were.
 */
export async function dropOrphans(sites: readonly Site[]): Promise<number> {
  const dropped = await Promise.all(
    sites.map(async (site) => {
      const { rows } = await site.coordinator.query<{ node: string }>("SELECT nodename || ':' || nodeport AS node FROM pg_dist_node WHERE noderole = 'primary' AND isactive AND shouldhaveshards");
      const counts = await Promise.allSettled(
        rows.map(async ({ node }) => {
          const session = await site.node(node);
          const { rows: orphans } = await session.query<{ name: string }>(ORPHANS);
          for (const { name } of orphans) await session.query(`DROP PUBLICATION IF EXISTS ${name}`);
          return orphans.length;
        }),
      );
      return counts.reduce((sum, count) => sum + (count.status === "fulfilled" ? count.value : 0), 0);
    }),
  );
  return dropped.reduce((sum, count) => sum + count, 0);
}
