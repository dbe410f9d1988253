import * as pulumi from "@pulumi/pulumi";
import { reachable } from "../topology/citus";
import { authority } from "../topology/connectionUri";
import { INSIDE, planHAProxy, type HAProxyOptions } from "../topology/haproxy";
import { CUT_SESSIONS } from "../topology/stack";
import { container } from "./container";
import { readPackageFile } from "./program";

export interface HAProxyArgs extends HAProxyOptions {
  /** Name of the Docker network that the members are on. */
  readonly network: pulumi.Input<string>;
  /** Image of HAProxy. @default haproxy:3.0.11 */
  readonly image?: pulumi.Input<string>;
}

/** HAProxy in front of a Patroni group: one port that follows the leader, one for reads from standbys, statistics. */
export class HAProxy extends pulumi.ComponentResource {
  /** Where this machine reaches the leader. */
  readonly leader: { readonly host: string; readonly port: number };
  /** Where this machine reaches the standbys. */
  readonly standbys: { readonly host: string; readonly port: number };
  /** Where containers on the network reach the leader. */
  readonly inside: { readonly host: string; readonly port: number };
  /** The statistics page. */
  readonly statisticsUrl: string;
  /** The container's id, once it runs. */
  readonly containerId: pulumi.Output<string>;

  constructor(name: string, args: HAProxyArgs, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:HAProxy", name, {}, opts);
    const plan = planHAProxy(name, args, readPackageFile(CUT_SESSIONS));
    const { network, image = "haproxy:3.0.11" } = args;

    const proxy = container(this, `${name}-proxy`, plan, { network, image });

    const host = reachable(args.bindAddress ?? "127.0.0.1");
    const [leader, standbys, statistics] = plan.ports.map(({ external }) => external) as [number, number, number];
    this.leader = { host, port: leader };
    this.standbys = { host, port: standbys };
    this.inside = { host: plan.name, port: INSIDE.leader };
    this.statisticsUrl = `http://${authority({ host, port: statistics })}/`;
    this.containerId = proxy.id;
    this.registerOutputs({ leader: this.leader, standbys: this.standbys, statisticsUrl: this.statisticsUrl });
  }
}
