import * as pulumi from "@pulumi/pulumi";
import type { ActivePassiveSettings, PasswordKey } from "../config/settings";
import { authority, connectionUri } from "../topology/connectionUri";
import { activePassiveParts, type ReadFile } from "../topology/stack";
import { CitusCluster } from "./citusCluster";
import { EtcdCluster } from "./etcdCluster";
import { GuardImage } from "./guardImage";
import { HAProxy } from "./haproxy";
import { image } from "./image";
import { network } from "./network";
import { password } from "./password";
import { PatroniGroup } from "./patroniGroup";
import { PatroniImage } from "./patroniImage";

export interface ActivePassiveArgs {
  readonly settings: ActivePassiveSettings;
  /** Gives the text of a project file by its path. */
  readonly read: ReadFile;
  /** The passwords that the user gave. @default generated once, kept in the state */
  readonly passwords?: Readonly<Partial<Record<PasswordKey, pulumi.Input<string>>>>;
  /** Workers whose lost shards may be re-created empty, comma-separated. @default none */
  readonly acceptLoss?: string;
}

/** What an active-passive stack tells. */
export interface ActivePassiveOutputs {
  /** Connection URIs through HAProxy, a secret, once every shard has taken a write: of the leader, and for reads from standbys. */
  readonly uris: pulumi.Output<Record<string, string>>;
  /** Where this machine reaches the leader, and the standbys. */
  readonly endpoints: Readonly<Record<"leader" | "standbys", string>>;
  /** HAProxy's statistics page. */
  readonly statisticsUrl: string;
  /** Container names of all nodes, by what they are. */
  readonly nodes: Readonly<Record<"coordinators" | "workers" | "etcd", readonly string[]>>;
}

/** One Citus cluster whose coordinator is a Patroni group over etcd, behind HAProxy. */
export class ActivePassive extends pulumi.ComponentResource {
  readonly outputs: ActivePassiveOutputs;

  constructor(name: string, args: ActivePassiveArgs, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:ActivePassive", name, {}, opts);
    const { settings, passwords = {}, acceptLoss } = args;
    const { dataOnDestroy, images } = settings;
    const parts = activePassiveParts(settings, args.read);
    const child = { parent: this };
    const patroniImage = images.patroni === undefined ? new PatroniImage("patroni-image", { base: images.citus }, child).image : image(this, "patroni-image", images.patroni);
    const shared = {
      network: network(this, "network", parts.network),
      holderImage: image(this, "holder-image", images.holder),
      superuserPassword: password(this, "superuser-password", passwords.superuserPassword),
      dataOnDestroy,
    };

    const etcd = new EtcdCluster(parts.etcd.name, { ...parts.etcd.options, network: shared.network, dataOnDestroy, image: image(this, "etcd-image", images.etcd) }, child);
    const coordinators = new PatroniGroup(
      parts.coordinators.name,
      {
        ...parts.coordinators.options,
        ...shared,
        etcdHosts: etcd.hosts,
        startAfter: [etcd.ready],
        image: patroniImage,
        ...(passwords.replicationPassword !== undefined && { replicationPassword: passwords.replicationPassword }),
        ...(passwords.rewindPassword !== undefined && { rewindPassword: passwords.rewindPassword }),
      },
      child,
    );
    const haproxy = new HAProxy(
      parts.haproxy.name,
      { ...parts.haproxy.options, members: coordinators.members, network: shared.network, image: image(this, "haproxy-image", images.haproxy) },
      child,
    );
    const cluster = new CitusCluster(
      parts.cluster.name,
      {
        ...parts.cluster.options,
        ...shared,
        image: image(this, "citus-image", images.citus),
        setupAfter: [coordinators, haproxy],
        coordinatorContainers: coordinators.containers,
        ...(settings.guard && settings.replicationFactor > 1 && { guardImage: new GuardImage("guard-image", { base: images.node }, child).image }),
        ...(acceptLoss !== undefined && { acceptLoss }),
      },
      child,
    );

    const standbys = { ...haproxy.standbys, user: "postgres", database: "postgres" };
    const standbysUri = pulumi.all([shared.superuserPassword, cluster.uri]).apply(([secret]) => connectionUri(standbys, secret));
    this.outputs = {
      uris: pulumi.secret(pulumi.all({ leader: cluster.uri, standbys: standbysUri })),
      endpoints: { leader: cluster.endpoint, standbys: authority(standbys) },
      statisticsUrl: haproxy.statisticsUrl,
      nodes: { coordinators: coordinators.members, workers: cluster.nodes, etcd: etcd.members },
    };
    this.registerOutputs({ ...this.outputs });
  }
}
