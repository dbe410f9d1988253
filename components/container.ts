import { createHash } from "node:crypto";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { toMebibytes } from "../config/size";
import { doorFiles } from "../topology/door";
import { DOCKER_SOCKET } from "../topology/keeper";
import { holderName, MADE_OF_LABEL, ROLE_LABEL, STACK_LABEL, type ContainerPlan, type DoorPlan, type FencerPlan, type FilePlan } from "../topology/plan";
import { readPackageFile } from "./program";
import { turn, type Turn } from "./turn";

/** What a container needs beside its plan: things that exist only while Pulumi runs. */
export interface ContainerInputs {
  /** Name of the Docker network. */
  readonly network: pulumi.Input<string>;
  /** Image of the container, a name or an id. */
  readonly image: pulumi.Input<string>;
  /** Image of the holder; needed for a container that is held. */
  readonly holderImage?: pulumi.Input<string>;
  /** Image of HAProxy; needed for a container that has a door. */
  readonly doorImage?: pulumi.Input<string>;
  /** Environment variables that are known only while Pulumi runs. */
  readonly variables?: Readonly<Record<string, pulumi.Input<string>>>;
  /** Environment variables that are secrets. */
  readonly secrets?: Readonly<Record<string, pulumi.Input<string>>>;
  /** Whether Pulumi may delete the container's volume, when it is destroyed, replaced or left out. @default "keep" */
  readonly dataOnDestroy?: "drop" | "keep";
  /** The container that the plan joins; needed for one that does. */
  readonly joins?: docker.Container;
  /** What has to exist before the container starts. */
  readonly dependsOn?: pulumi.Input<pulumi.Resource>[];
  /** When it is the container's turn to be replaced. @default at once */
  readonly turn?: Turn;
}

/** The paths of the holder's programs in its container. */
const HOLD = "/hold.sh";
const FENCER = "/fencer.py";

/**
 * How often a member asks again for a connection that nobody answers. Where an address is gone Citus cancels a query by a connect that
 * blocks, and cannot be ended meanwhile: 127 s by Linux' own 6, at most 7 s by 2.
 */
const SYN_RETRIES = "2";

const REPLACEMENT = {
  // The provider takes edits of these without doing them.
  replaceOnChanges: ["healthcheck", "tmpfs", "init"],
  // Two containers cannot have one name, and two members cannot share a volume.
  deleteBeforeReplace: true,
};

/**
 * Declares a container, its volume and, where clients or other nodes connect to it, its holder, as children of a component. The one place
 * where containers are declared: what every container has in common is here.
 *
 * A holder owns the network and PID namespaces of its member: the address outlives the member, so that a dead member
 * refuses connections at once instead of being silent, and the holder sees the member's processes end.
 */
export function container(parent: pulumi.ComponentResource, resourceName: string, plan: ContainerPlan, inputs: ContainerInputs): docker.Container {
  const { image, variables: more = {}, secrets = {}, dataOnDestroy = "keep" } = inputs;
  const volume =
    plan.volume &&
    new docker.Volume(
      `${resourceName}-data`,
      { name: plan.volume.name, labels: labels(plan.role) },
      // Another label would be another volume: those that were made without have none.
      { parent, retainOnDelete: dataOnDestroy === "keep", ignoreChanges: ["labels"] },
    );
  const variables: [string, pulumi.Input<string>][] = [...Object.entries(plan.environment), ...Object.entries(more), ...Object.entries(secrets)];
  const own = ownArguments(plan);
  const madeOf = inputs.turn && digestOf(plan, own, inputs);
  const waits = inputs.turn && madeOf && turn(parent, `${resourceName}-turn`, { container: plan.name, madeOf, dependsOn: inputs.dependsOn ?? [], ...inputs.turn });
  const dependsOn = [...(inputs.dependsOn ?? []), ...(waits ? [waits] : [])];
  return new docker.Container(
    resourceName,
    {
      ...own,
      ...(madeOf && { labels: [{ label: MADE_OF_LABEL, value: madeOf }, ...own.labels] }),
      ...home(parent, resourceName, plan, inputs, dependsOn),
      image,
      envs: variables.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => pulumi.interpolate`${name}=${value}`),
      uploads: plan.files.map(({ path, content }) => ({ file: path, content })),
      ...(volume && plan.volume && { volumes: [{ volumeName: volume.name, containerPath: plan.volume.path }] }),
      ...(plan.dockerSocket !== undefined && confined(plan.dockerSocket)),
    },
    {
      parent,
      dependsOn,
      ...REPLACEMENT,
      ignoreChanges: [
        ...plan.files.flatMap((file, index) => (isKeptBySetup(file) ? [`uploads[${index}].content`] : [])),
        // An engine that cannot limit memory drops the limit, which would be a change at every update.
        ...(plan.dockerSocket === undefined ? [] : ["memory", "memorySwap"]),
      ],
    },
  );
}

/** Whether a change of a file leaves its container alone. */
function isKeptBySetup({ firstBoot, live }: FilePlan): boolean {
  return firstBoot === true || live === true;
}

/** What a container has that comes of its plan alone. */
function ownArguments(plan: ContainerPlan) {
  return {
    ...runtime(plan.name, plan.role),
    ...(plan.entrypoint && { entrypoints: [...plan.entrypoint] }),
    ...(plan.command && { command: [...plan.command] }),
    ...(plan.user !== undefined && { user: plan.user }),
    ...limited(plan),
    ...(plan.capabilities && { capabilities: { adds: [...plan.capabilities] } }),
    healthcheck: {
      tests: ["CMD", ...plan.healthCheck.command],
      interval: duration(plan.healthCheck.intervalSeconds),
      timeout: duration(plan.healthCheck.timeoutSeconds),
      retries: plan.healthCheck.retries,
      startPeriod: duration(plan.healthCheck.startPeriodSeconds),
    },
    stopSignal: plan.stopSignal,
    stopTimeout: plan.stopGraceSeconds,
    // Unset, the provider kills on delete and replace, whatever stopTimeout says.
    destroyGraceSeconds: plan.stopGraceSeconds,
  };
}

/** A digest of all that a container and its holder are replaced for: another one means that they are about to be. */
function digestOf(plan: ContainerPlan, own: ReturnType<typeof ownArguments>, inputs: ContainerInputs): pulumi.Output<string> {
  const { environment, files, volume } = plan;
  const uploads = files.map((file) => (isKeptBySetup(file) ? { path: file.path } : file));
  // A container beside another one's holder is replaced with it.
  const holds = plan.held ? holderArguments(plan, inputs) : (inputs.joins?.networkMode ?? addressed(plan, inputs.network));
  return pulumi
    .output({ own, environment, uploads, volume, image: inputs.image, holds })
    .apply((all) => createHash("sha256").update(JSON.stringify(all)).digest("hex").slice(0, 12));
}

/** The namespaces that a container lives in: those of its holder, the network of another's holder, or its own. */
function home(parent: pulumi.ComponentResource, resourceName: string, plan: ContainerPlan, inputs: ContainerInputs, dependsOn: pulumi.Input<pulumi.Resource>[]): Partial<docker.ContainerArgs> {
  if (plan.held) {
    const { id } = new docker.Container(`${resourceName}-holder`, holderArguments(plan, inputs), { parent, dependsOn, ...REPLACEMENT });
    return { networkMode: pulumi.interpolate`container:${id}`, pidMode: pulumi.interpolate`container:${id}` };
  }
  if (plan.dockerSocket !== undefined) return { networkMode: "none" };
  if (plan.joins === undefined) return addressed(plan, inputs.network);
  const host = inputs.joins?.networkMode;
  if (host === undefined) throw new Error(`${plan.name}: joins is not set; it needs the container ${plan.joins}, whose network it shares`);
  return { networkMode: host.apply((mode) => mode ?? "") };
}

function holderArguments(plan: ContainerPlan, { network, image, holderImage, doorImage }: ContainerInputs): docker.ContainerArgs {
  const { fencer, door } = plan;
  if (holderImage === undefined) throw new Error(`${plan.name}: holderImage is not set; it needs one, for example debian:trixie-slim`);
  if (door !== undefined && doorImage === undefined) throw new Error(`${plan.name}: doorImage is not set; it needs one, for example haproxy:3.0.11`);
  const hold = ["sh", HOLD, plan.stopSignal.replace("SIG", "")];
  return {
    ...runtime(holderName(plan.name), "holder"),
    ...addressed(plan, network),
    // With `init` the holder reaps what the member's processes leave behind in the PID namespace that they share.
    init: true,
    sysctls: { "net.ipv4.tcp_syn_retries": SYN_RETRIES },
    ...(fencer ? fencing(plan, fencer, image, hold) : door && doorImage !== undefined ? doorkeeping(plan, door, doorImage, hold) : { image: holderImage, entrypoints: hold, uploads: [uploaded(HOLD, "assets/holder/hold.sh")] }),
    // Longer than its member, which it lets stop first; alone it ends at once.
    stopTimeout: plan.stopGraceSeconds + 5,
    destroyGraceSeconds: plan.stopGraceSeconds + 5,
  };
}

/** What a holder has that fences its member: it runs the member's image, which has Python and `ss`. */
function fencing(
  { name, volume }: ContainerPlan,
  { path, etcdHosts }: FencerPlan,
  image: pulumi.Input<string>,
  hold: readonly string[],
): Pick<docker.ContainerArgs, "image" | "user" | "entrypoints" | "uploads" | "capabilities" | "tmpfs"> {
  return {
    image,
    // The member's processes are another user's.
    user: "root",
    entrypoints: [...hold, "python3", FENCER, name, path, ...etcdHosts],
    uploads: [uploaded(HOLD, "assets/holder/hold.sh"), uploaded(FENCER, "assets/holder/fencer.py")],
    // To break connections in the namespace that it holds.
    capabilities: { adds: ["CAP_NET_ADMIN"] },
    // The image asks for a volume here, which a holder would get empty and without a name.
    ...(volume && { tmpfs: { [volume.path]: "size=1m" } }),
  };
}

/** What a holder has that is its member's door: an HAProxy beside it. */
function doorkeeping(plan: ContainerPlan, door: DoorPlan, image: pulumi.Input<string>, hold: readonly string[]): Pick<docker.ContainerArgs, "image" | "user" | "entrypoints" | "uploads" | "stopSignal"> {
  const files = doorFiles(plan, door, readPackageFile("assets/haproxy/instep.lua"));
  return {
    image,
    // The member's processes are another user's.
    user: "root",
    // The image's own, SIGUSR1, would end the holder at once, and the member with it.
    stopSignal: "SIGTERM",
    entrypoints: [...hold, "haproxy", "-f", files[0]?.path ?? ""],
    uploads: [uploaded(HOLD, "assets/holder/hold.sh"), ...files.map(({ path, content }) => ({ file: path, content }))],
  };
}

/** A file of the package as it is put into a container. */
function uploaded(file: string, packageFile: string): { file: string; content: string } {
  return { file, content: readPackageFile(packageFile) };
}

/** What every container has. */
function runtime(name: string, role: string): { name: string; labels: { label: string; value: string }[] } & Pick<docker.ContainerArgs, "restart" | "logDriver" | "logOpts"> {
  return {
    name,
    restart: "unless-stopped",
    logDriver: "json-file",
    logOpts: { "max-file": "3", "max-size": "10m" },
    labels: labels(role),
  };
}

function labels(role: string): { label: string; value: string }[] {
  return [
    { label: ROLE_LABEL, value: role },
    { label: STACK_LABEL, value: stackLabel() },
  ];
}

/** The value of {@link STACK_LABEL} for the stack that runs. */
export function stackLabel(): string {
  return `${pulumi.getOrganization()}/${pulumi.getProject()}/${pulumi.getStack()}`;
}

/** What a container has that owns its network namespace. */
function addressed(plan: ContainerPlan, network: pulumi.Input<string>): Pick<docker.ContainerArgs, "hostname" | "networksAdvanced" | "ports"> {
  return {
    hostname: plan.name,
    networksAdvanced: [{ name: network, aliases: [plan.name] }],
    // Sorted and complete: any other form is a change at the next update.
    ...(plan.ports.length > 0 && {
      ports: [...plan.ports].sort((a, b) => a.internal - b.internal).map(({ internal, external, ip }) => ({ internal, external, ip, protocol: "tcp" })),
    }),
  };
}

/** What a container has that may use Docker, and nothing else. */
function confined(dockerSocket: string): Pick<docker.ContainerArgs, "mounts" | "tmpfs" | "readOnly" | "capabilities" | "securityOpts"> {
  return {
    // Unlike a volume, a mount of what is not there is an error instead of an empty directory.
    mounts: [{ type: "bind", source: dockerSocket, target: DOCKER_SOCKET }],
    tmpfs: { "/run": "size=1m" },
    readOnly: true,
    capabilities: { drops: ["ALL"] },
    securityOpts: ["no-new-privileges"],
  };
}

function limited({ limits }: ContainerPlan): Pick<docker.ContainerArgs, "memory" | "memorySwap" | "cpus" | "shmSize"> {
  const memory = limits.memory === undefined ? undefined : toMebibytes(limits.memory);
  return {
    // memorySwap beside memory: Docker would double it, and the provider would want it gone at every update.
    ...(memory !== undefined && { memory, memorySwap: memory }),
    ...(limits.cpus !== undefined && { cpus: String(limits.cpus) }),
    ...(limits.shm !== undefined && { shmSize: toMebibytes(limits.shm) }),
  };
}

/** A time as Docker prints it, so that reading it back is no change: 90 is `1m30s`. */
function duration(seconds: number): string {
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
