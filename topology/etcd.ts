import type { Limits } from "../config/settings";
import type { ContainerPlan, EtcdPlan } from "./plan";

/** What decides an etcd cluster's plan. */
export interface EtcdOptions {
  /** Number of members; odd. @default 3 */
  readonly members?: number;
  /** Put before every name. @default none */
  readonly prefix?: string;
  /** Limits of each member. @default none */
  readonly limits?: Limits;
}

/** The folder of a member's volume. */
export const DIRECTORY = "/var/lib/etcd";
/** etcd's configuration, which the set-up puts into the volume when it is known how the member comes to its cluster; etcd takes JSON for YAML. */
export const CONFIGURATION_FILE = `${DIRECTORY}/etcd.json`;
const CLIENT_PORT = 2379;
const PEER_PORT = 2380;

/**
 * Plans an etcd cluster: members `<name>-1`, `<name>-2`, …
 *
 * A member ends again and again until the set-up has written its configuration, and has no way to begin a cluster by itself.
 * With a static bootstrap it has: an empty member that a running cluster does not know bootstraps one of its own, and two of
 * three agree on it while the third keeps the data.
 */
export function planEtcd(name: string, { members = 3, prefix = "", limits = {} }: EtcdOptions = {}): EtcdPlan {
  if (members < 1 || members % 2 === 0) {
    throw new Error(`EtcdCluster ${name}: members is ${members}; it must be odd, because an even number survives no more failures than one fewer`);
  }
  const cluster = `${prefix}${name}`;
  const names = Array.from({ length: members }, (_, index) => `${cluster}-${index + 1}`);
  return {
    members: names.map((member) => planMember(member, limits)),
    hosts: names.map((member) => `${member}:${CLIENT_PORT}`),
    setup: {
      kind: "etcd",
      cluster,
      members: names.map((member) => ({ name: member, peerUrl: peerUrl(member), configuration: configuration(member, cluster) })),
      timeoutSeconds: 120,
    },
  };
}

function peerUrl(member: string): string {
  return `http://${member}:${PEER_PORT}`;
}

function configuration(member: string, cluster: string): Record<string, string | boolean> {
  return {
    name: member,
    "listen-client-urls": `http://0.0.0.0:${CLIENT_PORT}`,
    "advertise-client-urls": `http://${member}:${CLIENT_PORT}`,
    "listen-peer-urls": `http://0.0.0.0:${PEER_PORT}`,
    "initial-advertise-peer-urls": peerUrl(member),
    "initial-cluster-token": cluster,
    // Patroni writes a lease every few seconds; without compaction the history grows until etcd refuses writes.
    "auto-compaction-mode": "periodic",
    "auto-compaction-retention": "1h",
    // Patroni speaks JSON to etcd. Off unless said so, in a configuration file only.
    "enable-grpc-gateway": true,
    "log-level": "warn",
  };
}

function planMember(name: string, limits: Limits): ContainerPlan {
  return {
    name,
    role: "etcd",
    held: false,
    command: ["/usr/local/bin/etcd", "--config-file", CONFIGURATION_FILE],
    environment: {},
    files: [],
    volume: { name: `${name}-data`, path: DIRECTORY },
    ports: [],
    limits,
    // The image has no shell, so the check is the client itself.
    healthCheck: { command: ["etcdctl", "endpoint", "health"], intervalSeconds: 10, timeoutSeconds: 5, retries: 3, startPeriodSeconds: 10 },
    stopSignal: "SIGTERM",
    // The last of several that stop together looks 7 s for one to lead; its log survives a kill.
    stopGraceSeconds: 3,
  };
}
