export { ActiveActive, type ActiveActiveArgs, type ActiveActiveOutputs } from "./activeActive";
export { ActivePassive, type ActivePassiveArgs, type ActivePassiveOutputs } from "./activePassive";
export { CitusCluster, type CitusClusterArgs } from "./citusCluster";
export { EtcdCluster, type EtcdClusterArgs } from "./etcdCluster";
export { GuardImage, type GuardImageArgs } from "./guardImage";
export { HAProxy, type HAProxyArgs } from "./haproxy";
export { PatroniGroup, type PatroniGroupArgs } from "./patroniGroup";
export { PatroniImage, type PatroniImageArgs } from "./patroniImage";
