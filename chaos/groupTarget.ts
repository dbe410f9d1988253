import { planEtcd } from "../topology/etcd";
import { planHAProxy } from "../topology/haproxy";
import { planPatroni } from "../topology/patroni";
import type { CitusSpec, ContainerPlan } from "../topology/plan";
import type { Target } from "./target";

/** A Patroni group without Citus, by the names of its containers. */
export interface GroupContainers {
  readonly members: readonly string[];
  readonly etcd: readonly string[];
  readonly haproxy?: string;
  /** Those of the containers that have a holder, `<name>-holder`. */
  readonly held: readonly string[];
  /** The Docker network that they are on. */
  readonly network: string;
}

/**
 * A Patroni group that this project's components made in another program, such as `examples/ha-postgres`, as a target. What
 * the harness asks of a plan is its containers; what their set-up brings about is that program's affair.
 *
 * @param uri where the leader takes statements.
 */
export function groupTarget(name: string, { members, etcd, haproxy, held, network }: GroupContainers, uri: string, local: boolean, standbysUri?: string): Target {
  const named = (plan: ContainerPlan | undefined, container: string): ContainerPlan[] =>
    plan === undefined ? [] : [{ ...plan, name: container, held: held.includes(container), ...(plan.volume !== undefined && { volume: { ...plan.volume, name: `${container}-data` } }) }];
  const etcdPlan = planEtcd("etcd", { members: etcd.length });
  const group = planPatroni(name, etcdPlan.hosts, { members: members.length });
  const proxy = planHAProxy("haproxy", { members }, { cutSessions: "", followGuard: "" });
  const cluster = { name, workers: [], guards: [], setup: withoutCitus(name) };
  return {
    stack: name,
    plan: {
      topology: "active-passive",
      network,
      clusters: [cluster],
      etcd: { ...etcdPlan, members: etcd.flatMap((container, index) => named(etcdPlan.members[index], container)) },
      coordinators: { ...group, members: members.flatMap((container, index) => named(group.members[index], container)) },
      ...(haproxy !== undefined && { haproxy: { ...proxy, name: haproxy, held: held.includes(haproxy) } }),
    },
    clusters: [{ name, plan: cluster, uri, plain: true, ...(standbysUri !== undefined && { standbysUri }) }],
    local,
  };
}

/** What there is to say of a Citus cluster that is none: rows have one placement. */
function withoutCitus(cluster: string): CitusSpec {
  return {
    kind: "citus",
    cluster,
    endpoint: { host: "", port: 0, user: "", database: "" },
    workers: [],
    workerGroups: [],
    shardCount: 1,
    replicationFactor: 1,
    coordinatorParameters: {},
    workerParameters: {},
    extensions: [],
    schema: { sql: "", tables: {} },
    timeoutSeconds: 0,
  };
}
