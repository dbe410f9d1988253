import type { Client } from "pg";
import { inspectContainers } from "../cli/live";
import { etcdHealth } from "../cli/etcdHealth";
import { isInService, isLeader, patroniCluster } from "../cli/patroniCluster";
import { isSynchronous, PatroniRest } from "../setup/patroniRest";
import { reason } from "../setup/setupError";
import { IS_LOGIN_TRIGGER_IN_PLACE } from "../topology/loginTrigger";
import { containersOf, holderName, patroniGroups, type PatroniPlan, type StackPlan } from "../topology/plan";
import { sameSetting } from "./sameSetting";
import { inSession } from "./sql";
import type { ClusterTarget, Target } from "./target";

/** Settings that a new leader has to have as the old one had. */
const SETTINGS = ["citus.shard_count", "citus.shard_replication_factor", "citus.node_connection_timeout", "citus.recover_2pc_interval"] as const;

/** A two-phase commit that runs is no trouble; one that is older than this has lost its coordinator. */
const PREPARED_SECONDS = 3;

/**
 * What a stack lacks at full strength, each in a sentence without a full stop; none if it is whole. What is cheap to ask
 * comes first, and what follows from an earlier trouble is not asked.
 *
 * @param quiet no client writes, so that no transaction may be prepared at all.
 */
export async function lacks(target: Target, { quiet }: { readonly quiet: boolean }): Promise<string[]> {
  const { plan } = target;
  const containers = await containerTroubles(plan);
  if (containers.length > 0) return containers;
  const groups = patroniGroups(plan);
  const [leaders, etcd] = await Promise.all([Promise.all(groups.map(groupState)), etcdTroubles(plan)]);
  const members = [...etcd, ...leaders.flatMap(({ troubles }) => troubles)];
  if (members.length > 0) return members;
  const leaderOf = new Map(groups.map((group, index) => [group, leaders[index]?.leader]));
  return (await Promise.all(target.clusters.map((cluster) => clusterTroubles(target, cluster, leaderOf, quiet)))).flat();
}

async function containerTroubles(plan: StackPlan): Promise<string[]> {
  const names = containersOf(plan).flatMap(({ name, held }) => (held ? [holderName(name), name] : [name]));
  const live = new Map((await inspectContainers(names)).map((container) => [container.name, container.status]));
  return names.flatMap((name) => (live.get(name) === "running" ? [] : [`the container ${name} is ${live.get(name) ?? "missing"}`]));
}

async function etcdTroubles({ etcd }: StackPlan): Promise<string[]> {
  if (etcd === undefined) return [];
  const names = etcd.members.map(({ name }) => name);
  const health = await etcdHealth(names);
  return health === undefined ? ["no member of etcd answers"] : names.filter((name) => health.get(name) !== true).map((name) => `${name} is not healthy as a member of etcd`);
}

async function groupState({ name, members }: PatroniPlan): Promise<{ leader?: string; troubles: string[] }> {
  const names = members.map(({ name }) => name);
  const found = await patroniCluster(names);
  if (found === undefined) return { troubles: [`no member of ${name} answers`] };
  const leader = found.find((member) => isLeader(member) && isInService(member))?.name;
  if (leader === undefined) return { troubles: [`${name} has no leader`] };
  const astray = names.flatMap((name) => {
    const member = found.find((candidate) => candidate.name === name);
    return member !== undefined && isInService(member) ? [] : [`${name} is ${member === undefined ? "no member of its group" : `${member.role}, ${member.state}`}`];
  });
  if (astray.length > 0) return { troubles: astray };
  const asynchronous = found.filter((member) => !isLeader(member) && !isSynchronous(member)).map((member) => `${member.name} streams, but is not synchronous yet`);
  if (asynchronous.length > 0) return { troubles: asynchronous };
  const trusting = await new PatroniRest(names).inFailsafeMode();
  return { leader, troubles: trusting.map((member) => `${member} goes by its leader's word, and not by etcd yet`) };
}

/** A node as the coordinator has it registered. */
interface Registered {
  readonly name: string;
  readonly group: number;
  readonly active: boolean;
}

async function clusterTroubles({ plan }: Target, cluster: ClusterTarget, leaderOf: ReadonlyMap<PatroniPlan, string | undefined>, quiet: boolean): Promise<string[]> {
  try {
    return await inSession(cluster.uri, async (client) => {
      if (cluster.plain === true) return [];
      const nodes = await nodeTroubles(client, plan, cluster, leaderOf);
      if (nodes.length > 0) return nodes;
      const rest = [...(await placementTroubles(client)), ...(await settingTroubles(client, plan, cluster)), ...(await loginTroubles(client, plan)), ...(await preparedTroubles(client, quiet))];
      return rest.length > 0 ? rest : await healthTroubles(client);
    });
  } catch (error) {
    return [`the coordinator of ${cluster.name} does not answer: ${reason(error)}`];
  }
}

async function nodeTroubles(client: Client, plan: StackPlan, cluster: ClusterTarget, leaderOf: ReadonlyMap<PatroniPlan, string | undefined>): Promise<string[]> {
  const { rows } = await client.query<Registered>(`SELECT nodename AS name, groupid AS "group", isactive AND metadatasynced AS active FROM pg_dist_node WHERE noderole = 'primary'`);
  const single = cluster.plan.workers.flatMap(({ name }) => {
    const node = rows.find((row) => row.name === name);
    return node === undefined ? [`${name} is not registered`] : node.active ? [] : [`${name} is not active`];
  });
  const grouped = patroniGroups(plan).flatMap((group) => {
    const leader = leaderOf.get(group);
    const node = rows.find((row) => row.group === group.setup.citusGroup);
    if (node === undefined) return [`${group.name} is not registered`];
    if (node.name !== leader) return [`${node.name} is registered as the primary of ${group.name}, and ${leader} leads it`];
    return node.active ? [] : [`${node.name} is not active`];
  });
  return [...single, ...grouped];
}

/** Shards with fewer placements on active nodes than their table was created with. */
async function placementTroubles(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ table: string; shards: number }>(
    `SELECT logicalrelid::text AS "table", count(*)::int AS shards FROM (
       SELECT s.logicalrelid, s.shardid, replicationfactor, count(nodename) AS placements
       FROM pg_dist_shard s JOIN pg_dist_partition USING (logicalrelid) JOIN pg_dist_colocation USING (colocationid)
         LEFT JOIN pg_dist_placement ON pg_dist_placement.shardid = s.shardid AND shardstate = 1
         LEFT JOIN pg_dist_node ON pg_dist_node.groupid = pg_dist_placement.groupid AND noderole = 'primary' AND isactive
       WHERE partmethod = 'h' GROUP BY s.logicalrelid, s.shardid, replicationfactor) AS counted
     WHERE placements < replicationfactor GROUP BY logicalrelid ORDER BY 1`,
  );
  return rows.map(({ table, shards }) => `${shards} ${shards === 1 ? "shard" : "shards"} of ${table} lack a placement on an active node`);
}

/** Settings of the nodes that lead, as they are in the plan. */
async function settingTroubles(client: Client, plan: StackPlan, { plan: cluster }: ClusterTarget): Promise<string[]> {
  const object = SETTINGS.map((name) => `'${name}', current_setting('${name}')`).join(", ");
  const { rows } = await client.query<{ name: string; group: number; success: boolean; result: string }>(
    `SELECT nodename AS name, groupid AS "group", success, result FROM run_command_on_all_nodes($1) JOIN pg_dist_node USING (nodeid)`,
    [`SELECT json_build_object(${object})`],
  );
  return rows.flatMap(({ name, group, success, result }) => {
    if (!success) return [`${name} does not answer: ${reason(result)}`];
    const own = group === 0 ? cluster.setup.coordinatorParameters : cluster.setup.workerParameters;
    const wanted = patroniGroups(plan).find(({ setup }) => setup.citusGroup === group)?.setup.parameters ?? own;
    const found = JSON.parse(result) as Record<string, string>;
    return SETTINGS.flatMap((setting) => {
      const [want, has] = [wanted[setting], found[setting] ?? ""];
      return want === undefined || sameSetting(want, has) ? [] : [`${setting} is ${has} on ${name}, and the plan has ${want}`];
    });
  });
}

/** Leaders of Patroni groups without what keeps Citus from a member in recovery: whoever leads next has it from them. */
async function loginTroubles(client: Client, plan: StackPlan): Promise<string[]> {
  const { rows } = await client.query<{ name: string; success: boolean; result: string }>(
    `SELECT nodename AS name, success, result FROM run_command_on_all_nodes($1) JOIN pg_dist_node USING (nodeid) WHERE groupid = ANY ($2)`,
    [IS_LOGIN_TRIGGER_IN_PLACE, patroniGroups(plan).map(({ setup }) => setup.citusGroup)],
  );
  return rows.flatMap(({ name, success, result }) => (!success ? [`${name} does not answer: ${reason(result)}`] : result === "t" ? [] : [`${name} lets Citus in while it is in recovery: its login trigger is missing`]));
}

/** Transactions that were prepared and not decided. */
async function preparedTroubles(client: Client, quiet: boolean): Promise<string[]> {
  const { rows } = await client.query<{ name: string; success: boolean; result: string }>(
    `SELECT nodename AS name, success, result FROM run_command_on_all_nodes($1) JOIN pg_dist_node USING (nodeid) WHERE NOT (success AND result = '0')`,
    [`SELECT count(*) FROM pg_prepared_xacts${quiet ? "" : ` WHERE prepared < clock_timestamp() - interval '${PREPARED_SECONDS} s'`}`],
  );
  return rows.map(({ name, success, result }) => (success ? `${name} has ${result} prepared ${result === "1" ? "transaction" : "transactions"} that nobody decides` : `${name} does not answer: ${reason(result)}`));
}

/** Pairs of nodes of which one does not reach the other. */
async function healthTroubles(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ from_nodename: string; to_nodename: string }>("SELECT from_nodename, to_nodename FROM citus_check_cluster_node_health() WHERE NOT coalesce(result, false)");
  return rows.map(({ from_nodename, to_nodename }) => `${from_nodename} does not reach ${to_nodename}`);
}
