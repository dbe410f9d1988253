import * as pulumi from "@pulumi/pulumi";
import { isFenced } from "../config/fenced";
import { isGuarded } from "../config/guarded";
import type { ActiveActiveSettings } from "../config/settings";
import { planCitus } from "../topology/citus";
import { activeActiveParts, planTenancy, type ReadFile } from "../topology/stack";
import { CitusCluster } from "./citusCluster";
import { GuardImage } from "./guardImage";
import { identity } from "./identity";
import { image } from "./image";
import { stackKeeper } from "./keeper";
import { network } from "./network";
import { password } from "./password";
import { program } from "./program";

export interface ActiveActiveArgs {
  readonly settings: ActiveActiveSettings;
  /** Gives the text of a project file by its path. */
  readonly read: ReadFile;
  /** Password of `postgres` on every node. @default generated once, kept in the state */
  readonly superuserPassword?: pulumi.Input<string>;
  /** Workers whose lost shards may be re-created empty, comma-separated. @default none */
  readonly acceptLoss?: string;
}

/** What an active-active stack tells, by the cluster's name. */
export interface ActiveActiveOutputs {
  /** Connection URI of each cluster's coordinator, a secret, once every shard has taken a write. */
  readonly uris: pulumi.Output<Record<string, string>>;
  /** Where this machine reaches each cluster's coordinator. */
  readonly endpoints: Readonly<Record<string, string>>;
  /** Container names of each cluster's nodes, coordinator first. */
  readonly nodes: Readonly<Record<string, readonly string[]>>;
}

/** Several independent Citus clusters on one network; the application spreads its tenants over them. */
export class ActiveActive extends pulumi.ComponentResource {
  readonly outputs: ActiveActiveOutputs;

  constructor(name: string, args: ActiveActiveArgs, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:ActiveActive", name, {}, opts);
    const { settings, acceptLoss } = args;
    const { images } = settings;
    const parts = activeActiveParts(settings, args.read);
    const citusImage = image(this, "citus-image", images.citus);
    const holderImage = image(this, "holder-image", images.holder);
    const superuserPassword = password(this, "superuser-password", args.superuserPassword);
    const custody = identity(this, {
      settings,
      passwords: { superuserPassword },
      given: args.superuserPassword === undefined ? [] : ["superuserPassword"],
      images: { "images.citus": citusImage },
      holderImage,
      ...(acceptLoss !== undefined && { acceptLoss }),
    });
    const shared = {
      network: network(this, "network", parts.network, [custody]),
      image: citusImage,
      holderImage,
      ...(isGuarded(settings) && { doorImage: image(this, "haproxy-image", images.haproxy) }),
      superuserPassword,
      ...(isGuarded(settings) && { guardImage: new GuardImage("guard-image", { base: images.node }, { parent: this }).image }),
      ...(acceptLoss !== undefined && { acceptLoss }),
    };

    const clusters = Object.entries(parts.clusters).map(
      ([cluster, options]) => [cluster, new CitusCluster(cluster, { ...options, ...shared }, { parent: this, dependsOn: [custody] })] as const,
    );
    stackKeeper(settings, shared.network, { parent: this });

    if (isFenced(settings)) {
      program(this, "tenancy-setup", "main", {
        spec: planTenancy(settings, Object.entries(parts.clusters).map(([cluster, options]) => planCitus(cluster, options))),
        environment: {
          PGPASSWORD: shared.superuserPassword,
          // A cluster that was set up anew may know nothing of its tenants.
          CITUS_CONTAINERS: pulumi.all(clusters.map(([, { containers }]) => containers)).apply((ids) => ids.join(" ")),
          ...(acceptLoss !== undefined && { CITUS_ACCEPT_LOSS: acceptLoss }),
        },
        dependsOn: clusters.map(([, cluster]) => cluster),
      });
    }

    this.outputs = {
      uris: pulumi.secret(pulumi.all(Object.fromEntries(clusters.map(([cluster, { uri }]) => [cluster, uri])))),
      endpoints: Object.fromEntries(clusters.map(([cluster, { endpoint }]) => [cluster, endpoint])),
      nodes: Object.fromEntries(clusters.map(([cluster, { nodes }]) => [cluster, nodes])),
    };
    this.registerOutputs({ ...this.outputs });
  }
}
