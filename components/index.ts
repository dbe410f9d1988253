export { ActiveActive, type ActiveActiveArgs, type ActiveActiveOutputs } from "./activeActive";
export { ActivePassive, type ActivePassiveArgs, type ActivePassiveOutputs } from "./activePassive";
export { CitusCluster, type CitusClusterArgs } from "./citusCluster";
export { EtcdCluster, type EtcdClusterArgs } from "./etcdCluster";
export { HAProxy, type HAProxyArgs } from "./haproxy";
export { PatroniGroup, type PatroniGroupArgs } from "./patroniGroup";
export { PatroniImage, type PatroniImageArgs } from "./patroniImage";
export { PgBouncerImage, type PgBouncerImageArgs } from "./pgbouncerImage";
export { Pooler, type PoolerArgs } from "./pooler";
