import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { planEtcd, type EtcdOptions } from "../topology/etcd";
import { container } from "./container";
import { identities, program } from "./program";
import type { Turn } from "./turn";

export interface EtcdClusterArgs extends EtcdOptions {
  /** Name of the Docker network that the members join. */
  readonly network: pulumi.Input<string>;
  /** Image of etcd. @default quay.io/coreos/etcd:v3.5.16 */
  readonly image?: pulumi.Input<string>;
  /** Whether Pulumi drops the members\' data on a destroy, a replacement or when one is left out, or keeps the volumes. @default "keep" */
  readonly dataOnDestroy?: "drop" | "keep";
}

/** An etcd cluster: the consensus store that Patroni keeps its leader lease in. */
export class EtcdCluster extends pulumi.ComponentResource {
  /** Host and client port of each member on the network, such as `etcd-1:2379`. */
  readonly hosts: readonly string[];
  /** Container names of the members. */
  readonly members: readonly string[];
  /** The set-up, to wait for: with it the members begin, and every one is healthy. */
  readonly ready: pulumi.Resource;
  /** Client URLs, one a member, once every member is healthy. */
  readonly endpoints: pulumi.Output<string[]>;

  constructor(name: string, args: EtcdClusterArgs, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:EtcdCluster", name, {}, opts);
    const plan = planEtcd(name, args);
    const { network, image = "quay.io/coreos/etcd:v3.5.16", dataOnDestroy } = args;

    const { cluster, members: entries } = plan.setup;
    const members: docker.Container[] = [];
    for (const [index, member] of plan.members.entries()) {
      const turn: Turn = { group: { kind: "etcd", cluster, members: entries }, after: members.slice(-1) };
      members.push(container(this, `${name}-${index + 1}`, member, { network, image, ...(dataOnDestroy && { dataOnDestroy }), turn }));
    }
    const setup = program(this, `${name}-setup`, "main", {
      spec: plan.setup,
      environment: { CITUS_CONTAINERS: identities(members) },
      dependsOn: members,
    });

    this.ready = setup;
    this.hosts = plan.hosts;
    this.members = plan.members.map((member) => member.name);
    this.endpoints = setup.stdout.apply(() => plan.hosts.map((host) => `http://${host}`));
    this.registerOutputs({ endpoints: this.endpoints });
  }
}
