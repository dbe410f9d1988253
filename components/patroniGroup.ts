import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { planPatroni, PROMOTED, type PatroniOptions } from "../topology/patroni";
import { container } from "./container";
import { password } from "./password";
import { identities, program, readPackageFile } from "./program";
import type { Turn } from "./turn";

export interface PatroniGroupArgs extends PatroniOptions {
  /** Name of the Docker network that the members join; etcd has to be on it. */
  readonly network: pulumi.Input<string>;
  /** Host and client port of each etcd member, such as `EtcdCluster.hosts`. */
  readonly etcdHosts: readonly string[];
  /** What the members wait for, such as `EtcdCluster.ready`: Patroni that starts before etcd waits 5 s. @default none */
  readonly startAfter?: pulumi.Input<pulumi.Resource>[];
  /** What is replaced before the members, where both change. @default none */
  readonly replaceAfter?: pulumi.Input<pulumi.Resource>[];
  /** Image with `patroni` on the PATH and PostgreSQL in Debian's place, such as `PatroniImage.image`. */
  readonly image: pulumi.Input<string>;
  /** Image of each member's holder; any small one with a shell. @default debian:trixie-slim */
  readonly holderImage?: pulumi.Input<string>;
  /** Password of `postgres`. @default generated once, kept in the state */
  readonly superuserPassword?: pulumi.Input<string>;
  /** Password of `replicator`, which standbys stream with. @default generated once, kept in the state */
  readonly replicationPassword?: pulumi.Input<string>;
  /** Password of `rewinder`, which `pg_rewind` connects with. @default generated once, kept in the state */
  readonly rewindPassword?: pulumi.Input<string>;
  /** Whether Pulumi drops the members\' data on a destroy, a replacement or when one is left out, or keeps the volumes. @default "keep" */
  readonly dataOnDestroy?: "drop" | "keep";
}

/** A highly available PostgreSQL: a leader and streaming standbys under Patroni, with or without Citus. */
export class PatroniGroup extends pulumi.ComponentResource {
  /** Container names of the members, which are their host names on the network. */
  readonly members: readonly string[];
  /** The containers of the members. */
  readonly containers: readonly docker.Container[];
  /** Patroni's name of the cluster, once it has a leader and every standby streams. */
  readonly scope: pulumi.Output<string>;
  /** Password of `postgres`, a secret. */
  readonly superuserPassword: pulumi.Output<string>;
  /** Password of `replicator`, a secret. */
  readonly replicationPassword: pulumi.Output<string>;
  /** Password of `rewinder`, a secret. */
  readonly rewindPassword: pulumi.Output<string>;

  constructor(name: string, args: PatroniGroupArgs, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:PatroniGroup", name, {}, opts);
    const plan = planPatroni(name, args.etcdHosts, args, readPackageFile(PROMOTED));
    const { network, image, holderImage = "debian:trixie-slim", dataOnDestroy } = args;
    this.superuserPassword = password(this, `${name}-superuser-password`, args.superuserPassword);
    this.replicationPassword = password(this, `${name}-replication-password`, args.replicationPassword);
    this.rewindPassword = password(this, `${name}-rewind-password`, args.rewindPassword);
    const secrets = {
      PATRONI_SUPERUSER_PASSWORD: this.superuserPassword,
      PATRONI_REPLICATION_PASSWORD: this.replicationPassword,
      PATRONI_REWIND_PASSWORD: this.rewindPassword,
    };

    const { scope, members: addresses } = plan.setup;
    const members: docker.Container[] = [];
    for (const [index, member] of plan.members.entries()) {
      const turn: Turn = { group: { kind: "patroni", scope, members: addresses }, after: [...(args.replaceAfter ?? []), ...members.slice(-1)] };
      members.push(container(this, `${name}-${index + 1}`, member, { network, image, holderImage, secrets, ...(dataOnDestroy && { dataOnDestroy }), ...(args.startAfter && { dependsOn: [...args.startAfter] }), turn }));
    }
    const setup = program(this, `${name}-setup`, "main", {
      spec: plan.setup,
      environment: { CITUS_CONTAINERS: identities(members) },
      dependsOn: members,
    });

    this.members = plan.members.map((member) => member.name);
    this.containers = members;
    this.scope = setup.stdout.apply(() => plan.setup.scope);
    this.registerOutputs({ scope: this.scope });
  }
}
