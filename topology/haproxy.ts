import { createHash } from "node:crypto";
import type { Limits } from "../config/settings";
import { toMebibytes, type Size } from "../config/size";
import { REST_PORT } from "./patroni";
import type { FilePlan, HAProxyPlan } from "./plan";

/** Workers of a Citus cluster, by their names on the network. */
export interface HAProxyWorkers {
  readonly plain: readonly string[];
  /** Whether a guard tells which of the plain ones are in step: the others are not served. @default false */
  readonly guarded?: boolean;
  /** Workers that are Patroni groups, each with its members. */
  readonly groups: readonly { readonly name: string; readonly members: readonly string[] }[];
}

/** What decides the plan of an HAProxy in front of a Patroni group. */
export interface HAProxyOptions {
  /** Names of the Patroni members on the network. */
  readonly members: readonly string[];
  /** Workers of the Citus cluster that the members coordinate, for the port that leads to any node. @default none: no such port */
  readonly workers?: HAProxyWorkers;
  /** How far behind its leader a standby may be to be read from. @default 16 MB */
  readonly standbyLag?: Size;
  /** Port on the machine for SQL to the leader. @default 5000 */
  readonly leaderPort?: number;
  /** Port on the machine for reads from standbys. @default 5001 */
  readonly standbysPort?: number;
  /** Port on the machine for queries on any node that takes writes: the leader, and workers. @default 5002 */
  readonly nodesPort?: number;
  /** Port on the machine for the statistics page. @default 7000 */
  readonly statisticsPort?: number;
  /** Address that the ports bind. @default 127.0.0.1 */
  readonly bindAddress?: string;
  /** Put before the container's name. @default none */
  readonly prefix?: string;
  /** Limits of the container. @default none */
  readonly limits?: Limits;
}

/** The ports that an HAProxy listens on inside the network. */
export const INSIDE = { leader: 5000, standbys: 5001, nodes: 5002, statistics: 7000 } as const;
/**
 * Has the master of an HAProxy, in its container, read its configuration in a new process. It is the oldest of its processes. `docker kill` would
 * have Docker take it for stopped by a person from then on, whatever the signal, so that neither a crash nor a boot started it again.
 */
export const RELOAD: readonly string[] = ["sh", "-c", 'kill -USR2 "$(for p in /proc/[0-9]*; do if [ "$(cat "$p/comm")" = haproxy ]; then echo "${p#/proc/}"; fi; done 2>/dev/null | sort -n | head -n 1)"'];
const STANDBY_LAG: Size = "16 MB";
/** Where HAProxy's image has its configuration. */
export const DIRECTORY = "/usr/local/etc/haproxy";

/** The texts of HAProxy's Lua tasks, `assets/haproxy/cut.lua` and `assets/haproxy/instep.lua`. */
export interface HAProxyTasks {
  readonly cutSessions: string;
  readonly followGuard: string;
}

/** Plans an HAProxy that follows the leader of a Patroni group. */
export function planHAProxy(name: string, options: HAProxyOptions, { cutSessions, followGuard }: HAProxyTasks): HAProxyPlan {
  const { members, workers, leaderPort = 5000, standbysPort = 5001, nodesPort = 5002, statisticsPort = 7000, bindAddress = "127.0.0.1", prefix = "", limits = {} } = options;
  if (members.length === 0) throw new Error(`HAProxy ${name}: members is empty; it must name at least one member of a Patroni group`);
  const configuration = haproxyConfiguration(members, workers, options.standbyLag);
  const tasks: FilePlan[] = [
    { path: `${DIRECTORY}/cut.lua`, content: cutSessions, live: true },
    // There in any case: a container that is made anew gets files as they were at its first update, and their number must not depend on a setting.
    { path: `${DIRECTORY}/instep.lua`, content: following(followGuard, guardedWorkers(workers)), live: true },
  ];
  const digest = [configuration, ...tasks.map(({ content }) => content)].reduce((hash, text) => hash.update(text).update("\0"), createHash("sha256")).digest("hex").slice(0, 12);
  // A section of its own, so that what is digested does not hold its digest.
  const files: FilePlan[] = [{ path: `${DIRECTORY}/haproxy.cfg`, content: `global\n    set-var proc.configuration str(${digest})\n\n${configuration}`, live: true }, ...tasks];
  return {
    name: `${prefix}${name}`,
    role: "haproxy",
    held: true,
    environment: {},
    files,
    ports: [
      { internal: INSIDE.leader, external: leaderPort, ip: bindAddress },
      { internal: INSIDE.standbys, external: standbysPort, ip: bindAddress },
      ...(workers === undefined ? [] : [{ internal: INSIDE.nodes, external: nodesPort, ip: bindAddress }]),
      { internal: INSIDE.statistics, external: statisticsPort, ip: bindAddress },
    ],
    limits,
    healthCheck: { command: ["bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/${INSIDE.statistics}`], intervalSeconds: 10, timeoutSeconds: 3, retries: 3, startPeriodSeconds: 5 },
    // SIGUSR1, the image's own, waits until the last client has left.
    stopSignal: "SIGTERM",
    stopGraceSeconds: 10,
    setup: { kind: "haproxy", container: `${prefix}${name}`, files, digest, timeoutSeconds: 60 },
  };
}

/**
 * haproxy.cfg. Checks ask Patroni over REST who leads. There is no `on-marked-down shutdown-sessions`: it leaves a
 * session whose connect is in flight without any timer, so that its client hangs; cut.lua closes sessions later.
 */
export function haproxyConfiguration(members: readonly string[], workers?: HAProxyWorkers, standbyLag: Size = STANDBY_LAG): string {
  const servers = checked(members);
  return `${preamble(["cut.lua", "instep.lua"])}
frontend leader
    bind *:${INSIDE.leader}
    default_backend leader

frontend standbys
    bind *:${INSIDE.standbys}
    use_backend leader if { nbsrv(standbys) eq 0 }
    default_backend standbys

backend leader
${primaries(members)}

${workers === undefined ? "" : anyNode(members, workers)}backend standbys
    balance leastconn
    option httpchk
    http-check send meth OPTIONS uri /replica?lag=${toMebibytes(standbyLag)}MB
    http-check expect status 200
    default-server inter 1s fastinter 250ms downinter 500ms fall 1 rise 1
${servers}

frontend statistics
    mode http
    bind *:${INSIDE.statistics}
    http-request return status 200 content-type text/plain string "ok" if { path /health }
    http-request return status 200 content-type text/plain lf-string "%[var(proc.configuration)]" if { path /configuration }
    stats enable
    stats uri /
    stats refresh 5s
    timeout client 30s
`;
}

/** How every HAProxy of a stack begins: limits, the tasks that it loads, how long it waits, and how it finds whom it leads to. */
export function preamble(tasks: readonly string[]): string {
  return `global
    maxconn 2000
    default-path config
    log stdout format raw local0 notice
${tasks.map((task) => `    lua-load ${task}\n`).join("")}
defaults
    mode tcp
    log global
    retries 0
    timeout connect 250ms
    timeout check 250ms
    timeout client 24h
    timeout server 24h
    option clitcpka
    option srvtcpka

resolvers docker
    nameserver docker 127.0.0.11:53
    resolve_retries 3
    timeout resolve 500ms
    timeout retry 500ms
    hold valid 2s
`;
}

/**
 * The text of `assets/haproxy/instep.lua` after what it is told: the workers of which it decides whether they are served.
 *
 * @param alone it is in a worker's own network, which may be cut off from the guard while the guard is not from the cluster.
 */
export function following(followGuard: string, workers: readonly string[], alone = false): string {
  return `WORKERS = { ${workers.map((worker) => `["${worker}"] = true`).join(", ")} }\n${alone ? "ALONE = true\n" : ""}${followGuard}`;
}

/** The workers of which a guard decides whether they are served. */
function guardedWorkers(workers: HAProxyWorkers | undefined): readonly string[] {
  return workers?.guarded === true ? workers.plain : [];
}

/** How a server's address is found, first and again. */
export const RESOLVED = "resolvers docker init-addr last,libc,none";

/** Servers that Patroni's REST API is asked about. */
function checked(members: readonly string[]): string {
  return members.map((member) => `    server ${member} ${member}:5432 check port ${REST_PORT} ${RESOLVED}`).join("\n");
}

/** The one member of a group that leads. */
function primaries(members: readonly string[]): string {
  return `    option httpchk
    http-check send meth OPTIONS uri /primary
    http-check expect status 200
    default-server inter 250ms fastinter 100ms downinter 100ms fall 1 rise 1
${checked(members)}`;
}

/** The port that leads to any node which takes writes; whoever leads a group is known from its own backend. */
function anyNode(members: readonly string[], { plain, groups, guarded = false }: HAProxyWorkers): string {
  const tracked = [{ name: "leader", members }, ...groups].flatMap((group) => group.members.map((member) => `    server ${member} ${member}:5432 track ${group.name}/${member} ${RESOLVED}`));
  const asked = plain.map((worker) => `    server ${worker} ${worker}:5432 check inter 1s fastinter 250ms downinter 500ms fall 1 rise 1 ${RESOLVED}${guarded ? " disabled" : ""}`);
  return `frontend nodes
    bind *:${INSIDE.nodes}
    default_backend nodes

backend nodes
    balance leastconn
    option pgsql-check user postgres
${[...tracked, ...asked].join("\n")}

${groups.map((group) => `backend ${group.name}\n${primaries(group.members)}\n\n`).join("")}`;
}
