import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { planCitus, type CitusOptions } from "../topology/citus";
import { authority, connectionUri } from "../topology/connectionUri";
import { fenceDigest } from "../topology/fence";
import type { ContainerPlan, TurnGroup } from "../topology/plan";
import { container } from "./container";
import { GuardImage } from "./guardImage";
import { password } from "./password";
import { identities, program } from "./program";
import type { Turn } from "./turn";

export interface CitusClusterArgs extends CitusOptions {
  /** Name of the Docker network that the nodes join. */
  readonly network: pulumi.Input<string>;
  /** Image of Citus. @default citusdata/citus:13.2.0 */
  readonly image?: pulumi.Input<string>;
  /** Image of each node's holder; any small one with a shell. @default debian:trixie-slim */
  readonly holderImage?: pulumi.Input<string>;
  /** Image of HAProxy, the door of each worker that is guarded and publishes a port. @default haproxy:3.0.11 */
  readonly doorImage?: pulumi.Input<string>;
  /** Image of the guard, such as `GuardImage.image`. @default built, where there is a guard */
  readonly guardImage?: pulumi.Input<string>;
  /** The containers of `coordinator.members`, in their order. @default none */
  readonly coordinatorContainers?: readonly docker.Container[];
  /** Password of `postgres` on every node, also on a coordinator from elsewhere. @default generated once, kept in the state */
  readonly superuserPassword?: pulumi.Input<string>;
  /** What the set-up waits for, such as the Patroni group that is the coordinator and the HAProxy in front of it. @default the cluster's own nodes */
  readonly setupAfter?: pulumi.Input<pulumi.Resource>[];
  /** Workers whose lost shards may be re-created empty, comma-separated. @default none: a lost shard stops the update */
  readonly acceptLoss?: string;
  /** Whether Pulumi drops the nodes\' data on a destroy, a replacement or when one is left out, or keeps the volumes. @default "keep" */
  readonly dataOnDestroy?: "drop" | "keep";
}

/** A Citus cluster: workers, and a coordinator of its own or one from elsewhere, registered and with its schema. */
export class CitusCluster extends pulumi.ComponentResource {
  /** Container names of the cluster's own nodes, coordinator first. */
  readonly nodes: readonly string[];
  /** Changes when one of the cluster's own nodes is another container. */
  readonly containers: pulumi.Output<string>;
  /** Where this machine reaches the coordinator. */
  readonly endpoint: string;
  /** Connection URI of the coordinator, a secret, once every shard has taken a write. */
  readonly uri: pulumi.Output<string>;

  constructor(name: string, args: CitusClusterArgs, opts?: pulumi.ComponentResourceOptions) {
    super("citus:index:CitusCluster", name, {}, opts);
    const plan = planCitus(name, args);
    const { network, image = "citusdata/citus:13.2.0", holderImage = "debian:trixie-slim", doorImage = "haproxy:3.0.11", dataOnDestroy } = args;
    const superuserPassword = password(this, `${name}-superuser-password`, args.superuserPassword);
    // PGPASSWORD lets nodes reach each other after a restart: the image itself keeps it on the first boot only.
    const secrets = { POSTGRES_PASSWORD: superuserPassword, PGPASSWORD: superuserPassword };

    const group: TurnGroup = {
      kind: "citus",
      cluster: plan.setup.cluster,
      coordinators: plan.coordinator === undefined ? (args.coordinator?.members ?? []) : [plan.coordinator.name],
      workers: plan.setup.workers,
      guards: plan.guards.map((guard) => guard.name),
    };
    const replaced: docker.Container[] = [];
    const inTurn = (node: ContainerPlan): docker.Container => {
      const turn: Turn = { group, after: replaced.slice(-1) };
      replaced.push(container(this, resourceName(node), node, { network, image, holderImage, doorImage, secrets, ...(dataOnDestroy && { dataOnDestroy }), turn }));
      return replaced.at(-1) as docker.Container;
    };
    const resourceName = (node: ContainerPlan): string => `${name}-${node.name.slice(args.prefix?.length ?? 0)}`;
    const workers = plan.workers.map(inTurn);
    // Last: what a worker does not come up with would take the whole cluster down here.
    const coordinator = plan.coordinator === undefined ? [] : [inTurn(plan.coordinator)];
    const nodes = [...coordinator, ...workers];
    const coordinators = plan.coordinator === undefined ? (args.coordinatorContainers ?? []) : coordinator;
    const guardImage = plan.guards.length === 0 ? "" : (args.guardImage ?? new GuardImage(`${name}-guard-image`, {}, { parent: this }).image);
    const guards: docker.Container[] = [];
    for (const [index, guard] of plan.guards.entries()) {
      const joins = coordinators[index];
      const turn: Turn = { group: { kind: "containers", containers: plan.guards.map((each) => each.name) }, after: [...coordinators, ...guards.slice(-1)] };
      guards.push(container(this, resourceName(guard), guard, { network, image: guardImage, secrets: { PGPASSWORD: superuserPassword }, turn, ...(joins && { joins }) }));
    }
    this.containers = identities(nodes);
    const setup = program(this, `${name}-setup`, "main", {
      spec: plan.setup,
      environment: {
        PGPASSWORD: superuserPassword,
        CITUS_CONTAINERS: this.containers,
        ...(plan.setup.fence === true && { CITUS_FENCE: fenceDigest() }),
        ...(args.acceptLoss !== undefined && { CITUS_ACCEPT_LOSS: args.acceptLoss }),
      },
      dependsOn: [...nodes, ...(args.setupAfter ?? [])],
    });

    this.nodes = [...(plan.coordinator === undefined ? [] : [plan.coordinator]), ...plan.workers].map((node) => node.name);
    this.endpoint = authority(plan.setup.endpoint);
    this.uri = pulumi.secret(pulumi.all([superuserPassword, setup.stdout]).apply(([secret]) => connectionUri(plan.setup.endpoint, secret)));
    this.registerOutputs({ uri: this.uri });
  }
}
