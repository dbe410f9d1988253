import { ChoiceError } from "../chaos/faults/catalogue";
import { closest } from "../config/closest";
import type { CitusClusterPlan, PatroniPlan, StackPlan } from "../topology/plan";

/** What a user can have killed, from little to much. */
export const KINDS = ["worker", "coordinator", "cluster"] as const;
export type Kind = (typeof KINDS)[number];

/** Something that a user can have killed, by its name. */
export interface Victim {
  /** `worker:worker_a1`, `coordinator:a`, `cluster:a`; where there is one coordinator and one cluster, without more. */
  readonly name: string;
  readonly kind: Kind;
  /** The cluster that it belongs to. */
  readonly cluster: string;
  /** Its containers, without their holders. */
  readonly containers: readonly string[];
  /** The Patroni group of which only the leader is killed; absent where all the containers are. */
  readonly group?: PatroniPlan;
}

/**
 * Everything that can be named. A cluster is every database member of it, and its guards. Holders stay: a published port of this machine refuses at once with or
 * without them, so that clients would see nothing else.
 */
export function victims(plan: StackPlan): Victim[] {
  return plan.clusters.flatMap((cluster) => [...workers(plan, cluster), coordinator(plan, cluster), whole(plan, cluster)]).sort((one, other) => KINDS.indexOf(one.kind) - KINDS.indexOf(other.kind));
}

/**
 * What `--kill` names: one or several, comma-separated; a kind alone means the first of its kind. Nothing named: the first of each kind.
 *
 * @throws ChoiceError that lists what can be named.
 */
export function chooseVictims(plan: StackPlan, kill: string | undefined): Victim[] {
  const all = victims(plan);
  return (kill ?? KINDS.join(",")).split(",").map((part) => {
    const name = part.trim();
    const victim = all.find((candidate) => candidate.name === name) ?? all.find(({ kind }) => kind === name);
    if (victim !== undefined) return victim;
    const names = all.map((candidate) => candidate.name);
    const similar = closest(name, names);
    throw new ChoiceError(`--kill has "${name}", and there is nothing of that name.${similar === undefined ? "" : ` Did you mean ${similar}?`} It can be: ${[...new Set([...names, ...KINDS])].join(", ")}.`);
  });
}

function workers({ workerGroups = [] }: StackPlan, { name: cluster, workers: plain }: CitusClusterPlan): Victim[] {
  return [
    ...plain.map(({ name }): Victim => ({ name: `worker:${name}`, kind: "worker", cluster, containers: [name] })),
    ...workerGroups.map((group): Victim => ({ name: `worker:${group.name}`, kind: "worker", cluster, containers: namesOf(group.members), group })),
  ];
}

function coordinator(plan: StackPlan, { name: cluster, coordinator: single }: CitusClusterPlan): Victim {
  if (plan.coordinators !== undefined) return { name: "coordinator", kind: "coordinator", cluster, containers: namesOf(plan.coordinators.members), group: plan.coordinators };
  return { name: `coordinator:${cluster}`, kind: "coordinator", cluster, containers: single === undefined ? [] : [single.name] };
}

function whole(plan: StackPlan, { name: cluster, coordinator: single, workers: plain, guards }: CitusClusterPlan): Victim {
  const members = [...(plan.coordinators?.members ?? []), ...(plan.workerGroups ?? []).flatMap((group) => group.members), ...(single === undefined ? [] : [single]), ...plain, ...guards];
  return { name: plan.topology === "active-passive" ? "cluster" : `cluster:${cluster}`, kind: "cluster", cluster, containers: namesOf(members) };
}

function namesOf(members: readonly { readonly name: string }[]): string[] {
  return members.map(({ name }) => name);
}
