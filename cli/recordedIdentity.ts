import type { RecordedIdentity } from "../setup/identity";
import { PASSWORD_KEYS, type PasswordKey, type Passwords, type Topology } from "../config/settings";
import type { DataVolume, StackIdentity } from "../topology/identity";
import type { Role } from "../topology/plan";
import { plain } from "./secretValue";

/** A resource of an exported state, as far as it tells what a stack is. */
export interface RecordedResource {
  readonly urn: string;
  readonly type: string;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly outputs?: Readonly<Record<string, unknown>>;
}

const COMPONENTS: Readonly<Record<string, Topology>> = { "citus:index:ActiveActive": "active-active", "citus:index:ActivePassive": "active-passive" };

/** How the resource of a generated password is called, after the name of what it belongs to or on its own. */
const GENERATED: Readonly<Record<PasswordKey, RegExp>> = {
  superuserPassword: /(^|-)superuser-password$/,
  replicationPassword: /(^|-)replication-password$/,
  rewindPassword: /(^|-)rewind-password$/,
};

/**
 * What the last update of a stack went by: as it was written down, or, where an older version of the project made the stack, from what it
 * has. Then the PostgreSQL major is 0, because nothing tells, and there are no hashes of passwords.
 */
export function recordedIdentity(resources: readonly RecordedResource[]): { readonly identity: StackIdentity; readonly passwords?: Passwords } | undefined {
  const commands = resources.filter(({ type }) => type === "command:local:Command");
  const text = plain(commands.find(({ urn }) => nameOf(urn) === "identity")?.outputs?.["stdout"]);
  if (typeof text === "string" && text !== "") return JSON.parse(text) as RecordedIdentity;
  const topology = resources.map(({ type }) => COMPONENTS[type]).find((known) => known !== undefined);
  const network = resources.find(({ type }) => type === "docker:index/network:Network")?.inputs?.["name"];
  if (topology === undefined || typeof network !== "string") return undefined;
  const clusters = resources.filter(({ type }) => type === "citus:index:CitusCluster").map(({ urn }) => nameOf(urn));
  const identity = {
    topology,
    prefix: network.slice(0, -`citus-${topology}`.length),
    ...(topology === "active-passive" && clusters[0] !== undefined && { scope: clusters[0] }),
    clusters: topology === "active-active" ? clusters : [],
    postgresMajor: 0,
    passwords: PASSWORD_KEYS[topology].filter((key) => !commands.some(({ urn }) => GENERATED[key].test(nameOf(urn)))),
    volumes: recordedVolumes(resources),
  };
  return { identity };
}

/** The volumes of an exported state, each with what it belongs to. */
export function recordedVolumes(resources: readonly (RecordedResource & { readonly parent?: string })[]): DataVolume[] {
  return resources.flatMap(({ type, inputs, parent = "" }) => {
    const name = inputs?.["name"];
    if (type !== "docker:index/volume:Volume" || typeof name !== "string") return [];
    const [path = "", component = ""] = parent.split("::").slice(2);
    const container = name.replace(/-data$/, "");
    const cluster = path.startsWith("citus:index:ActiveActive$") ? component : undefined;
    return [{ name, container, role: roleOf(path, container, cluster), ...(cluster !== undefined && { cluster }) }];
  });
}

function roleOf(path: string, container: string, cluster: string | undefined): Role {
  if (path.endsWith("EtcdCluster")) return "etcd";
  const isCoordinator = cluster === undefined ? /coord-\d+$/.test(container) : container.endsWith(`coord_${cluster}`);
  return isCoordinator ? "coordinator" : "worker";
}

function nameOf(urn: string): string {
  return urn.split("::").at(-1) ?? urn;
}
