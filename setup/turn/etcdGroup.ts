import type { EtcdMember, TurnGroup } from "../../topology/plan";
import { EtcdMembership, isHealthy } from "../etcdMembership";
import { existing } from "./existing";
import { BROKEN_SECONDS, DOWN_SECONDS, PATIENCE_SECONDS, type Group, type Verdict } from "./group";

/** An etcd cluster as it is, with the member that is about to be replaced. */
export interface EtcdView {
  readonly member: string;
  /** Planned members that the cluster lists as voting; undefined if no majority answers. */
  readonly voting: readonly string[] | undefined;
  /** Those that take part in a majority. */
  readonly healthy: ReadonlySet<string>;
}

/** Whether a member of an etcd cluster may be replaced: every other one is healthy. */
export function judgeEtcd({ member, voting, healthy }: EtcdView): Verdict {
  if (voting === undefined) return { kind: "repair", because: "its cluster has no majority", afterSeconds: DOWN_SECONDS };
  if (!voting.includes(member)) return { kind: "go" };
  const late = voting.find((name) => name !== member && !healthy.has(name));
  if (late !== undefined && !healthy.has(member)) return { kind: "repair", because: "it is not healthy", afterSeconds: BROKEN_SECONDS };
  return late === undefined ? { kind: "go" } : { kind: "wait", member: late, because: "is not healthy", limitSeconds: PATIENCE_SECONDS };
}

/** A live etcd cluster, of which `member` is about to be replaced. */
export function etcdGroup(member: string, { members }: Extract<TurnGroup, { kind: "etcd" }>): Group {
  return {
    async look() {
      const there = new Set(await existing(members.map(({ name }) => name)));
      const gates = members.filter(({ name }) => there.has(name));
      const entries = await new EtcdMembership(gates).list();
      const voting = entries && members.filter(({ peerUrl }) => entries.some((entry) => entry.peerUrl === peerUrl && !entry.isLearner));
      const healthy = await Promise.all((voting ?? []).map(async (each: EtcdMember) => ((await isHealthy(each)) ? [each.name] : [])));
      return judgeEtcd({ member, voting: voting?.map(({ name }) => name), healthy: new Set(healthy.flat()) });
    },
  };
}
