import type { CitusSpec, NodeAddress } from "../topology/plan";
import type { Coordinator } from "./coordinator";
import type { Deadline } from "./deadline";
import { containerState, docker, EXEC_TIMEOUT_MS } from "./docker";
import { registeredWorkers } from "./registry";
import type { Report } from "./report";
import { SetupError } from "./setupError";

/**
 * Waits until Patroni has registered a leader of each worker group.
 *
 * @returns the leaders' addresses, in the order of the groups.
 * @throws {@link SetupError} that names the group that is missing, when time is up.
 */
export async function waitForGroupLeaders(coordinator: Coordinator, { workerGroups }: CitusSpec, deadline: Deadline, report: Report): Promise<NodeAddress[]> {
  let missing = workerGroups[0];
  return deadline.poll(
    async () => {
      const registered = await registeredWorkers(coordinator);
      const leaders = workerGroups.map(({ group, members }) => {
        const worker = registered.find(({ groupId, active }) => groupId === group && active);
        return members.find(({ host }) => host === worker?.host);
      });
      missing = workerGroups.find((_, index) => leaders[index] === undefined);
      if (missing === undefined) return leaders as NodeAddress[];
      report.activity = `waiting for Patroni to register ${missing.name}`;
      return undefined;
    },
    async () => {
      const [member] = missing?.members ?? [];
      const container = member?.container ?? "";
      return `Patroni did not register ${missing?.name ?? "a worker group"} with ${coordinator.name} within ${deadline.seconds} s; of ${container}, ${await containerState(container)}. Look at docker logs ${container}, then run the update again`;
    },
  );
}

/**
 * Takes a worker group that was drained out of the cluster. Its members are stopped and forgotten by etcd first: Patroni
 * would register a group again that has a leader, and would not let a later group of that number begin.
 *
 * @throws {@link SetupError} if a member cannot be stopped, or etcd does not answer.
 */
export async function retireGroup(coordinator: Coordinator, groupId: number, { patroni }: CitusSpec, report: Report): Promise<void> {
  const nodes = await coordinator.query<{ host: string; port: number }>("SELECT nodename AS host, nodeport AS port FROM pg_dist_node WHERE groupid = $1 ORDER BY noderole = 'primary'", [groupId]);
  const hosts = nodes.map(({ host }) => host);
  if (patroni !== undefined) {
    report.activity = `stopping ${hosts.join(", ")}`;
    await demand(["stop", ...hosts], `${hosts.join(", ")} cannot be stopped`);
    await demand(["exec", patroni.etcd[0] as string, "etcdctl", "del", "--prefix", `${patroni.path}/${groupId}/`], "etcd cannot forget the group", EXEC_TIMEOUT_MS);
  }
  for (const { host, port } of nodes) await coordinator.query("SELECT citus_remove_node($1, $2)", [host, port]);
}

async function demand(args: readonly string[], problem: string, timeoutMs?: number): Promise<void> {
  const { code, stderr } = await docker(args, "", timeoutMs);
  if (code !== 0) throw new SetupError(`${problem}: ${stderr.replace(/\s+/g, " ")}. Mend that and run the update again`);
}
