import * as pulumi from "@pulumi/pulumi";
import { reachable } from "../topology/citus";
import { authority } from "../topology/connectionUri";
import { INSIDE, planHAProxy, type HAProxyOptions } from "../topology/haproxy";
import { haproxyTasks } from "../topology/stack";
import { container } from "./container";
import { identities, program, readPackageFile } from "./program";

export interface HAProxyArgs extends HAProxyOptions {
  /** Name of the Docker network that the members are on. */
  readonly network: pulumi.Input<string>;
  /** What is replaced before it, where both change. @default none */
  readonly replaceAfter?: pulumi.Input<pulumi.Resource>[];
  /** Image of HAProxy. @default haproxy:3.0.11 */
  readonly image?: pulumi.Input<string>;
  /** Image of its holder; any small one with a shell. @default debian:trixie-slim */
  readonly holderImage?: pulumi.Input<string>;
}

/** HAProxy in front of a Patroni group: one port that follows the leader, one for reads from standbys, statistics. */
export class HAProxy extends pulumi.ComponentResource {
  /** Where this machine reaches the leader. */
  readonly leader: { readonly host: string; readonly port: number };
  /** Where this machine reaches the standbys. */
  readonly standbys: { readonly host: string; readonly port: number };
  /** Where this machine reaches any node that takes writes; undefined without `workers`. */
  readonly nodes: { readonly host: string; readonly port: number } | undefined;
  /** Where containers on the network reach the leader. */
  readonly inside: { readonly host: string; readonly port: number };
  /** The statistics page. */
  readonly statisticsUrl: string;
  /** The container's id, once it runs. */
  readonly containerId: pulumi.Output<string>;

  constructor(name: string, args: HAProxyArgs, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:HAProxy", name, {}, opts);
    const plan = planHAProxy(name, args, haproxyTasks(readPackageFile));
    const { network, image = "haproxy:3.0.11", holderImage = "debian:trixie-slim" } = args;

    const proxy = container(this, `${name}-proxy`, plan, { network, image, holderImage, ...(args.replaceAfter && { dependsOn: args.replaceAfter }) });
    program(this, `${name}-setup`, "main", { spec: plan.setup, environment: { CITUS_CONTAINERS: identities([proxy]) }, dependsOn: [proxy] });

    const host = reachable(args.bindAddress ?? "127.0.0.1");
    const { leaderPort = 5000, standbysPort = 5001, nodesPort = 5002, statisticsPort = 7000 } = args;
    this.leader = { host, port: leaderPort };
    this.standbys = { host, port: standbysPort };
    this.inside = { host: plan.name, port: INSIDE.leader };
    this.nodes = args.workers === undefined ? undefined : { host, port: nodesPort };
    this.statisticsUrl = `http://${authority({ host, port: statisticsPort })}/`;
    this.containerId = proxy.id;
    this.registerOutputs({ leader: this.leader, standbys: this.standbys, statisticsUrl: this.statisticsUrl });
  }
}
