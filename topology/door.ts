import { IN_STEP_PORT } from "./guard";
import { DIRECTORY, following, preamble, RESOLVED } from "./haproxy";
import type { ContainerPlan, DoorPlan, FilePlan } from "./plan";

/** The port in a worker's network namespace that is published in place of PostgreSQL's own where the worker has a door. */
export const DOOR_PORT = 5433;

/**
 * The files of an HAProxy in a worker's holder that leads from {@link DOOR_PORT} to the worker: its configuration, and
 * the task that follows the guard, whose text is `followGuard` (`assets/haproxy/instep.lua`).
 */
export function doorFiles({ name }: Pick<ContainerPlan, "name">, door: DoorPlan, followGuard: string): FilePlan[] {
  return [
    { path: `${DIRECTORY}/haproxy.cfg`, content: doorConfiguration(name, door) },
    { path: `${DIRECTORY}/instep.lua`, content: following(followGuard, [name], true) },
  ];
}

/**
 * haproxy.cfg. The worker is reached at its address on the network: on 127.0.0.1 PostgreSQL's image trusts whoever comes.
 * It runs as HAProxy's own user of its image, by number: the holder is root's. A check waits as long as `inter` at most.
 */
function doorConfiguration(worker: string, { coordinator }: DoorPlan): string {
  return `global
    uid 99
    gid 99
    nbthread 1

${preamble(["instep.lua"])}
frontend outside
    bind *:${DOOR_PORT}
    default_backend nodes

backend nodes
    server ${worker} ${worker}:5432 ${RESOLVED} disabled

backend leader
    timeout connect 1s
    default-server inter 1s fastinter 250ms downinter 250ms fall 1 rise 1
    server ${coordinator} ${coordinator}:5432 check port ${IN_STEP_PORT} ${RESOLVED}
`;
}
