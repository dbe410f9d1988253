import * as pulumi from "@pulumi/pulumi";
import { keeperName } from "../config/names";
import type { Settings } from "../config/settings";
import { planKeeper, type KeeperOptions } from "../topology/keeper";
import { container, stackLabel } from "./container";
import { KeeperImage } from "./keeperImage";

export interface KeeperArgs extends KeeperOptions {
  /** Name of the Docker network that the stack's containers are on. */
  readonly network: pulumi.Input<string>;
  /** Image of the keeper, such as `KeeperImage.image`. @default built */
  readonly image?: pulumi.Input<string>;
}

/**
 * Brings the stack back when its machine or its Docker engine was restarted: the engine does not start a member that it tries before the member's
 * holder, and does not try it again. Has Docker's socket, and so the powers of root on the engine's machine, and no network.
 */
export class Keeper extends pulumi.ComponentResource {
  /** The container's name. */
  readonly container: string;

  constructor(name: string, args: KeeperArgs, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:Keeper", name, {}, opts);
    const plan = planKeeper(name, args);
    const image = args.image ?? new KeeperImage(`${name}-image`, {}, { parent: this }).image;

    container(this, `${name}-container`, plan, { network: args.network, image, variables: { KEEPER_STACK: stackLabel(), KEEPER_NETWORK: args.network } });

    this.container = plan.name;
    this.registerOutputs({ container: this.container });
  }
}

/** The keeper of a stack, unless its settings leave it out. It was called `keeper` in both topologies once. */
export function stackKeeper({ keeper, topology, prefix, dockerSocket, images }: Settings, network: pulumi.Input<string>, opts: pulumi.ComponentResourceOptions): void {
  if (!keeper) return;
  const { image } = new KeeperImage("keeper-image", { base: images.node }, opts);
  new Keeper(keeperName(topology), { prefix, dockerSocket, network, image }, { ...opts, aliases: [{ name: "keeper" }] });
}
