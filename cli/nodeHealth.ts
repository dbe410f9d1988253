import { setTimeout as delay } from "node:timers/promises";
import { patroniGroups, type ContainerPlan } from "../topology/plan";
import { docker } from "./docker";
import { Failure } from "./failure";
import { isInService, patroniCluster } from "./patroniCluster";
import type { Stack } from "./stack";

const POLL_MS = 150;
const ASK_TIMEOUT_MS = 5000;
const BACK_TIMEOUT_MS = 180_000;

/**
 * Waits until a node serves again after it was started.
 *
 * @throws {@link Failure} that names it, when it does not within three minutes.
 */
export async function waitUntilServing(stack: Stack, node: ContainerPlan): Promise<void> {
  const endsAt = performance.now() + BACK_TIMEOUT_MS;
  while (!(await isServing(stack, node))) {
    if (performance.now() > endsAt) {
      throw new Failure(`${node.name} is not back ${BACK_TIMEOUT_MS / 60_000} minutes after its restart; docker logs ${node.name} has its reason. npm run up -- ${stack.name} makes right what the configuration decides.`);
    }
    await delay(POLL_MS);
  }
}

/** Asks the node itself; Docker's health check would know some seconds later. */
async function isServing({ plan }: Stack, node: ContainerPlan): Promise<boolean> {
  if ((await docker(["exec", node.name, ...node.healthCheck.command], ASK_TIMEOUT_MS)).code !== 0) return false;
  const group = patroniGroups(plan).map(({ members }) => members.map(({ name }) => name)).find((names) => names.includes(node.name));
  if (group === undefined) return true;
  const members = await patroniCluster([node.name, ...group.filter((name) => name !== node.name)]);
  const member = members?.find(({ name }) => name === node.name);
  return member !== undefined && isInService(member);
}
