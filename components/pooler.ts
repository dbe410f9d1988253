import * as pulumi from "@pulumi/pulumi";
import { reachable } from "../topology/citus";
import { planPooler, POOLER_PAUSE, POOLER_START, type PoolerOptions } from "../topology/pooler";
import { container } from "./container";
import { readPackageFile } from "./program";

export interface PoolerArgs extends PoolerOptions {
  /** Name of the Docker network that the server is on. */
  readonly network: pulumi.Input<string>;
  /** Image with `pgbouncer`, `psql` and `openssl` on the PATH and a user `postgres`, such as `PgBouncerImage.image`. */
  readonly image: pulumi.Input<string>;
  /** Image of its holder; any small one with a shell. @default debian:trixie-slim */
  readonly holderImage?: pulumi.Input<string>;
  /** What is replaced before it, where both change, such as the HAProxy that it leads to. @default none */
  readonly replaceAfter?: pulumi.Input<pulumi.Resource>[];
  /** Password of `postgres` on the server, such as `PatroniGroup.superuserPassword`. */
  readonly superuserPassword: pulumi.Input<string>;
}

/** A PgBouncer in transaction mode: many clients share few connections, and wait where they would get an error while the leader changes. */
export class Pooler extends pulumi.ComponentResource {
  /** Where this machine reaches it. */
  readonly endpoint: { readonly host: string; readonly port: number };
  /** The container's id, once it runs. */
  readonly containerId: pulumi.Output<string>;

  constructor(name: string, args: PoolerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:Pooler", name, {}, opts);
    const plan = planPooler(name, args, { start: readPackageFile(POOLER_START), pause: readPackageFile(POOLER_PAUSE) });
    const { network, image, holderImage = "debian:trixie-slim", superuserPassword } = args;

    const pooler = container(this, `${name}-pgbouncer`, plan, { network, image, holderImage, secrets: { PGPASSWORD: pulumi.secret(superuserPassword) }, ...(args.replaceAfter && { dependsOn: args.replaceAfter }) });

    this.endpoint = { host: reachable(args.bindAddress ?? "127.0.0.1"), port: plan.ports[0]?.external as number };
    this.containerId = pooler.id;
    this.registerOutputs({ endpoint: this.endpoint });
  }
}
