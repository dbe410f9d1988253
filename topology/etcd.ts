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

const CLIENT_PORT = 2379;
const PEER_PORT = 2380;

/** Plans an etcd cluster: members `<name>-1`, `<name>-2`, … with static bootstrap. */
export function planEtcd(name: string, { members = 3, prefix = "", limits = {} }: EtcdOptions = {}): EtcdPlan {
  if (members < 1 || members % 2 === 0) {
    throw new Error(`EtcdCluster ${name}: members is ${members}; it must be odd, because an even number survives no more failures than one fewer`);
  }
  const names = Array.from({ length: members }, (_, index) => `${prefix}${name}-${index + 1}`);
  const initialCluster = names.map((member) => `${member}=${peerUrl(member)}`).join(",");
  const token = `${prefix}${name}`;
  return {
    members: names.map((member) => planMember(member, initialCluster, token, limits)),
    hosts: names.map((member) => `${member}:${CLIENT_PORT}`),
    setup: { kind: "etcd", members: names.map((member) => ({ name: member, peerUrl: peerUrl(member) })), timeoutSeconds: 120 },
  };
}

function peerUrl(member: string): string {
  return `http://${member}:${PEER_PORT}`;
}

function planMember(name: string, initialCluster: string, token: string, limits: Limits): ContainerPlan {
  return {
    name,
    role: "etcd",
    held: false,
    command: ["/usr/local/bin/etcd"],
    environment: {
      ETCD_NAME: name,
      ETCD_DATA_DIR: "/var/lib/etcd/data",
      ETCD_LISTEN_CLIENT_URLS: `http://0.0.0.0:${CLIENT_PORT}`,
      ETCD_ADVERTISE_CLIENT_URLS: `http://${name}:${CLIENT_PORT}`,
      ETCD_LISTEN_PEER_URLS: `http://0.0.0.0:${PEER_PORT}`,
      ETCD_INITIAL_ADVERTISE_PEER_URLS: peerUrl(name),
      ETCD_INITIAL_CLUSTER: initialCluster,
      ETCD_INITIAL_CLUSTER_TOKEN: token,
      ETCD_INITIAL_CLUSTER_STATE: "new",
      // Patroni writes a lease every few seconds; without compaction the history grows until etcd refuses writes.
      ETCD_AUTO_COMPACTION_MODE: "periodic",
      ETCD_AUTO_COMPACTION_RETENTION: "1h",
      ETCD_LOG_LEVEL: "warn",
    },
    // A member that has data knows its cluster; the set-up adds and removes members of a running one.
    firstBootVariables: ["ETCD_INITIAL_CLUSTER"],
    files: [],
    volume: { name: `${name}-data`, path: "/var/lib/etcd" },
    ports: [],
    limits,
    // The image has no shell, so the check is the client itself.
    healthCheck: { command: ["etcdctl", "endpoint", "health"], intervalSeconds: 10, timeoutSeconds: 5, retries: 3, startPeriodSeconds: 10 },
    stopSignal: "SIGTERM",
    stopGraceSeconds: 10,
  };
}
