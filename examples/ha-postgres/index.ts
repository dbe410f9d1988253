import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { EtcdCluster, HAProxy, Keeper, PatroniGroup, PatroniImage } from "../../components";

const config = new pulumi.Config();
const port = config.getNumber("port") ?? 5000;
const prefix = config.get("prefix") ?? "";

const network = new docker.Network("network", { name: `${prefix}ha-postgres` }).name;
const { image } = new PatroniImage("patroni", { base: config.get("image") ?? "postgres:17-trixie" });
const etcd = new EtcdCluster("etcd", { network, prefix });
const database = new PatroniGroup("db", {
  network,
  prefix,
  image,
  etcdHosts: etcd.hosts,
  startAfter: [etcd.ready],
  parameters: { work_mem: config.get("workMem") ?? "8MB" },
});
const proxy = new HAProxy("haproxy", { network, prefix, members: database.members, leaderPort: port, standbysPort: port + 1, statisticsPort: port + 2000 });
new Keeper("keeper", { network, prefix });

/** Where this machine reaches the leader; ready once {@link scope} is known. */
export const leader = `${proxy.leader.host}:${proxy.leader.port}`;
/** Where this machine reaches the standbys. */
export const standbys = `${proxy.standbys.host}:${proxy.standbys.port}`;
/** Patroni's name of the group, once it has a leader and every standby streams. */
export const scope = database.scope;
/** Password of `postgres`, a secret. */
export const password = database.superuserPassword;
