import * as pulumi from "@pulumi/pulumi";
import { isGuarded } from "../config/guarded";
import type { ActivePassiveSettings, PasswordKey } from "../config/settings";
import { authority, connectionUri } from "../topology/connectionUri";
import { activePassiveParts, type ReadFile } from "../topology/stack";
import { CitusCluster } from "./citusCluster";
import { EtcdCluster } from "./etcdCluster";
import { GuardImage } from "./guardImage";
import { HAProxy } from "./haproxy";
import { identity } from "./identity";
import { image } from "./image";
import { stackKeeper } from "./keeper";
import { network } from "./network";
import { password } from "./password";
import { PatroniGroup } from "./patroniGroup";
import { PatroniImage } from "./patroniImage";
import { PgBouncerImage } from "./pgbouncerImage";
import { Pooler } from "./pooler";

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
  /** Connection URIs, a secret, once every shard has taken a write: through HAProxy of the leader, for reads from standbys, and for queries on any node; with the pooler, through it. */
  readonly uris: pulumi.Output<Record<string, string>>;
  /** Where this machine reaches the leader, the standbys, any node, and the pooler if there is one. */
  readonly endpoints: Readonly<Record<string, string>>;
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
    const { images } = settings;
    const parts = activePassiveParts(settings, args.read);
    const own = { parent: this };
    const citusImage = image(this, "citus-image", images.citus);
    const holderImage = image(this, "holder-image", images.holder);
    const patroniImage = images.patroni === undefined ? new PatroniImage("patroni-image", { base: images.citus }, own).image : image(this, "patroni-image", images.patroni);
    const secrets = {
      superuserPassword: password(this, "superuser-password", passwords.superuserPassword),
      replicationPassword: ofGroup(this, "replication-password", parts.coordinators.name, passwords.replicationPassword),
      rewindPassword: ofGroup(this, "rewind-password", parts.coordinators.name, passwords.rewindPassword),
    };
    const custody = identity(this, {
      settings,
      passwords: secrets,
      given: Object.keys(passwords) as PasswordKey[],
      images: { "images.citus": citusImage, ...(images.patroni !== undefined && { "images.patroni": patroniImage }) },
      holderImage,
      ...(acceptLoss !== undefined && { acceptLoss }),
    });
    const child = { parent: this, dependsOn: [custody] };
    const shared = { network: network(this, "network", parts.network, [custody]), holderImage, superuserPassword: secrets.superuserPassword };

    const etcd = new EtcdCluster(parts.etcd.name, { ...parts.etcd.options, network: shared.network, image: image(this, "etcd-image", images.etcd) }, child);
    const patroni = { ...shared, ...secrets, etcdHosts: etcd.hosts, startAfter: [etcd.ready], image: patroniImage };
    const coordinators = new PatroniGroup(parts.coordinators.name, { ...parts.coordinators.options, ...patroni }, child);
    const lastCoordinator = coordinators.containers.slice(-1);
    const workerGroups = parts.workerGroups.map(({ name: group, options }) => new PatroniGroup(group, { ...options, ...patroni, replaceAfter: lastCoordinator }, child));
    const haproxy = new HAProxy(
      parts.haproxy.name,
      { ...parts.haproxy.options, members: coordinators.members, network: shared.network, image: image(this, "haproxy-image", images.haproxy), holderImage, replaceAfter: lastCoordinator },
      child,
    );
    const pooler =
      parts.pooler &&
      new Pooler(
        parts.pooler.name,
        {
          ...parts.pooler.options,
          network: shared.network,
          holderImage,
          image: images.pgbouncer === undefined ? new PgBouncerImage("pgbouncer-image", {}, own).image : image(this, "pgbouncer-image", images.pgbouncer),
          superuserPassword: shared.superuserPassword,
          replaceAfter: [haproxy],
        },
        child,
      );
    const cluster = new CitusCluster(
      parts.cluster.name,
      {
        ...parts.cluster.options,
        ...shared,
        image: citusImage,
        setupAfter: [coordinators, haproxy, ...workerGroups],
        coordinatorContainers: coordinators.containers,
        ...(isGuarded(settings) && { guardImage: new GuardImage("guard-image", { base: images.node }, own).image }),
        ...(acceptLoss !== undefined && { acceptLoss }),
      },
      child,
    );
    stackKeeper(settings, shared.network, child);

    const endpoints = { leader: haproxy.leader, standbys: haproxy.standbys, nodes: haproxy.nodes ?? haproxy.leader, ...(pooler && { pooled: pooler.endpoint }) };
    const uris = pulumi.all([shared.superuserPassword, cluster.uri]).apply(([secret]) =>
      named(endpoints, (endpoint) => connectionUri({ ...endpoint, user: "postgres", database: "postgres" }, secret)),
    );
    this.outputs = {
      uris: pulumi.secret(uris),
      endpoints: named(endpoints, authority),
      statisticsUrl: haproxy.statisticsUrl,
      nodes: { coordinators: coordinators.members, workers: [...cluster.nodes, ...workerGroups.flatMap(({ members }) => members)], etcd: etcd.members },
    };
    this.registerOutputs({ ...this.outputs });
  }
}

/** A password of all Patroni groups. It has stood in the coordinators' group, and keeps the name that it had there. */
function ofGroup(parent: ActivePassive, suffix: string, group: string, given: pulumi.Input<string> | undefined): pulumi.Output<string> {
  return password(parent, `${group}-${suffix}`, given, [{ parent: pulumi.createUrn(group, "citus:index:PatroniGroup", parent.urn) }]);
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/** What is made of each address, by the same names. */
function named(addresses: Readonly<Record<string, Address>>, make: (address: Address) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(addresses).map(([name, address]) => [name, make(address)]));
}
