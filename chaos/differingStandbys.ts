import { setTimeout as delay } from "node:timers/promises";
import { isInService, isLeader, patroniCluster } from "../cli/patroniCluster";
import { docker } from "../setup/docker";
import { patroniGroups, type StackPlan } from "../topology/plan";

/** Long enough to read a few million rows. */
const READ_TIMEOUT_MS = 300_000;
/** How long a standby may take to replay what its leader had written when clients were gone. */
const CATCH_UP_MS = 60_000;
const POLL_MS = 200;

/** A digest of each table of the harness that a node has in itself; what Citus spreads would be read elsewhere. */
const digests = (condition: string): string => `SET citus.override_table_visibility TO off;
SELECT format('SELECT %L || '' has '' || count(*) || '' rows, digest '' || coalesce(sum(hashtextextended(own::text, 0)), 0) FROM %s AS own', oid::regclass, oid::regclass)
FROM pg_class WHERE relnamespace = to_regnamespace('chaos') AND relkind = 'r' ${condition} ORDER BY oid::regclass::text \\gexec
`;
const DIGESTS = digests("");
const CITUS_DIGESTS = digests("AND NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = pg_class.oid)");

/**
 * Standbys that do not hold what their leader holds, by name, each with what differs. Nobody may write meanwhile.
 *
 * @param plain whether the groups are without Citus.
 * @throws if a leader cannot be asked.
 */
export async function differingStandbys(plan: Pick<StackPlan, "coordinators" | "workerGroups">, plain: boolean): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for (const group of patroniGroups(plan)) {
    const names = group.members.map(({ name }) => name);
    const leader = (await patroniCluster(names))?.find((member) => isLeader(member) && isInService(member))?.name;
    if (leader === undefined) throw new Error(`${group.name} has no leader to compare its standbys with`);
    const reading = plain ? DIGESTS : CITUS_DIGESTS;
    const [position, expected] = [await ask(leader, "SELECT pg_current_wal_flush_lsn()"), await ask(leader, reading)];
    for (const standby of names.filter((name) => name !== leader)) {
      const difference = await differenceOf(standby, position, reading, expected).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
      if (difference !== undefined) found.push([standby, difference]);
    }
  }
  return found;
}

async function differenceOf(standby: string, position: string, reading: string, expected: string): Promise<string | undefined> {
  for (const endsAt = performance.now() + CATCH_UP_MS; ; await delay(POLL_MS)) {
    if ((await ask(standby, `SELECT pg_last_wal_replay_lsn() >= '${position}'`)) === "t") break;
    if (performance.now() > endsAt) return `it has not replayed up to ${position} within ${CATCH_UP_MS / 1000} s`;
  }
  const [own, leaders] = [await ask(standby, reading), expected].map((text) => text.split("\n")) as [string[], string[]];
  const differing = [...leaders.filter((line) => !own.includes(line)).map((line) => `on the leader ${line}`), ...own.filter((line) => !leaders.includes(line)).map((line) => `here ${line}`)];
  return differing.length === 0 ? undefined : differing.join("; ");
}

async function ask(container: string, sql: string): Promise<string> {
  const { code, stdout, stderr } = await docker(["exec", "--interactive", container, "psql", "-U", "postgres", "-XqAt", "-v", "ON_ERROR_STOP=1"], sql, READ_TIMEOUT_MS);
  if (code !== 0) throw new Error(`${container} could not be read: ${stderr}`);
  return stdout;
}
