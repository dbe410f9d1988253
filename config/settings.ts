import { z } from "zod";
import { imageProblem } from "./image";
import { isSize, type Size } from "./size";

/*
 * What a user may set, one schema. Every key carries a `describe`d sentence: the README's table is generated from it,
 * and so are the defaults that it shows. Rules that need more than one key are in rules.ts.
 */

const IDENTIFIER = /^[a-z_][a-z0-9_$]{0,62}$/;

const image = z.string().superRefine((value, context) => {
  const problem = imageProblem(value);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
});

const size = z.custom<Size>((value) => typeof value === "string" && isSize(value), {
  error: 'must be a size such as "512 MB" or "2 GB"',
}).meta({ type: "string" });

const port = z.int("must be a whole number").min(1, "must be a port from 1 to 65535").max(65535, "must be a port from 1 to 65535");

const containerName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,39}$/, "must be a container's name: lower-case letters, digits, - and _, at most 40");

const MAXIMUM_WORKERS = 64;
const workerCount = z
  .int("must be a whole number")
  .min(1, "must be at least 1")
  .max(MAXIMUM_WORKERS, `must be at most ${MAXIMUM_WORKERS}`);
const workers = z.union([workerCount, z.array(containerName).min(1, "must name at least one worker").max(MAXIMUM_WORKERS)], {
  error: (issue) =>
    typeof issue.input === "number"
      ? `must be a whole number from 1 to ${MAXIMUM_WORKERS}, or a list of names`
      : `must be a count such as 3, or a list of names such as ["worker1", "worker2"] in lower-case letters, digits, - and _`,
});

/** Limits of one container. A limit that is not set does not exist. */
const limits = z.strictObject({
  memory: size.optional().describe("Memory limit. Not set: none."),
  cpus: z.number("must be a number of processors").positive("must be more than 0").optional().describe("Processors, such as 1.5. Not set: all."),
  shm: size.optional().describe("Size of `/dev/shm`, where parallel queries exchange rows. Not set: 256 MB for databases."),
});
export type Limits = z.infer<typeof limits>;

/** Parameters that the plan itself decides, and where the decision is made. */
export const RESERVED_PARAMETERS: Readonly<Record<string, string>> = {
  "citus.shard_count": "set shardCount",
  "citus.shard_replication_factor": "set replicationFactor",
  shared_preload_libraries: "citus and pg_stat_statements are always loaded; add others to preloadLibraries",
  listen_addresses: "members listen on their own network; set bindAddress for the published ports",
  port: "members listen on 5432; set the published port instead",
  wal_level: "it is always logical, which moving shards online needs",
  data_directory: "it follows from the image",
  config_file: "it follows from the image",
  hba_file: "it follows from the image",
  ident_file: "it follows from the image",
  hot_standby: "Patroni controls it",
  primary_conninfo: "Patroni controls it",
  primary_slot_name: "Patroni controls it",
  synchronous_standby_names: "Patroni controls it",
  restore_command: "Patroni controls it",
  recovery_target_timeline: "Patroni controls it",
  cluster_name: "Patroni controls it",
};

const parameterName = z.string().regex(/^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$/, "must be a parameter's name in lower case, such as work_mem or citus.node_connection_timeout");
const parameterValue = z.union([z.string(), z.number(), z.boolean().transform((on) => (on ? "on" : "off"))], {
  error: "must be a text, a number or a boolean",
}).transform(String);

/** PostgreSQL and Citus parameters by name; values as one writes them in postgresql.conf, without quotes. */
const parameters = z.record(parameterName, parameterValue).superRefine((values, context) => {
  for (const name of Object.keys(values)) {
    const instead = RESERVED_PARAMETERS[name];
    if (instead !== undefined) context.addIssue({ code: "custom", path: [name], message: `is not a free choice: ${instead}` });
  }
});

const schema = z
  .strictObject({
    file: z.string().min(1, "must be a path").prefault("assets/sql/schema.sql").describe("SQL that creates the tables, relative to the project. Runs in one transaction at every set-up: write it idempotently (`CREATE TABLE IF NOT EXISTS`)."),
    tables: z
      .record(z.string().regex(IDENTIFIER, "must be a table's name in lower case"), z.string().regex(IDENTIFIER, "must be a column's name in lower case"))
      .prefault({ rooms: "room_id", room_members: "room_id", messages: "room_id" })
      .describe("Tables to distribute, each with its distribution column. They are colocated, so the columns have one type."),
  })
  .prefault({});

const common = {
  prefix: z
    .string()
    .regex(/^([a-z0-9][a-z0-9_-]{0,19})?$/, "must be lower-case letters, digits, - and _, at most 20, such as \"test-\"")
    .prefault("")
    .describe("Put before the name of every container, network and volume, so that two stacks of one kind live on one machine (give them ports of their own, too)."),
  bindAddress: z
    .union([z.ipv4(), z.ipv6()], { error: "must be an IP address of this machine: 127.0.0.1 for this machine only, 0.0.0.0 for all" })
    .prefault("127.0.0.1")
    .describe("Address that every published port binds."),
  shardCount: z.int("must be a whole number").min(1, "must be at least 1").max(64000, "must be at most 64000, Citus's limit").prefault(32).describe("Shards of a distributed table (`citus.shard_count`). Decides how tables are created; existing tables keep theirs."),
  preloadLibraries: z.array(z.string().regex(IDENTIFIER, "must be a library's name")).prefault([]).describe("Libraries to preload beside citus and pg_stat_statements."),
  parameters: parameters.prefault({}).describe("PostgreSQL and Citus parameters of all database members, such as `work_mem`. A change is reloaded, or restarts node by node where it must."),
  coordinatorParameters: parameters.prefault({}).describe("Parameters of coordinators only; they win over `parameters`."),
  workerParameters: parameters.prefault({}).describe("Parameters of workers only; they win over `parameters`."),
  schema,
  dataOnDestroy: z
    .enum(["drop", "keep"], 'must be "drop" or "keep"')
    .prefault("drop")
    .describe("Whether `pulumi destroy` drops the volumes or keeps them for the next `pulumi up`. `keep` needs the passwords to be set: generated ones go with the state."),
  postgresMajor: z.int("must be a whole number").min(15, "must be 15 or later").optional().describe("PostgreSQL's major version in the database image. Not set: read from the image's tag."),
  superuserPassword: z.string().min(1, "must not be empty").optional().meta({ secret: true }).describe("Password of `postgres`. Secret: `pulumi config set --secret`. Not set: generated once and kept in the state."),
};

const imagesOf = <T extends z.ZodRawShape>(more: T) =>
  z
    .strictObject({
      citus: image.prefault("citusdata/citus:13.2.0").describe("Citus on PostgreSQL: workers, and coordinators."),
      holder: image.prefault("debian:trixie-slim").describe("The holder of each database member; any small image with `sleep`."),
      ...more,
    })
    .prefault({} as never);

const databaseLimits = {
  coordinator: limits.prefault({}).describe("Limits of each coordinator."),
  worker: limits.prefault({}).describe("Limits of each worker."),
};

const cluster = z.strictObject({
  workers: workers.prefault(3).describe("Workers: a count (named `worker_<cluster>1`, …) or a list of names."),
  port: port.optional().describe("Port of the coordinator on this machine; workers follow on the ports after it. Not set: 5432 for `a`, 6432 for `b`, and so on, 1000 apart."),
});

const activeActive = z.strictObject({
  topology: z.literal("active-active").describe("Several independent Citus clusters; tenants are spread over them by the application."),
  clusters: z
    .record(z.string().regex(/^[a-z][a-z0-9]{0,15}$/, "must be a cluster's name: a letter, then letters and digits, at most 16"), cluster.prefault({}))
    .refine((clusters) => Object.keys(clusters).length > 0, "must name at least one cluster")
    .prefault({ a: {}, b: {} })
    .describe("The clusters by name."),
  replicationFactor: z.int("must be a whole number").min(1, "must be at least 1").prefault(2).describe("Placements of each shard (`citus.shard_replication_factor`)."),
  images: imagesOf({}).describe("Container images."),
  limits: z.strictObject(databaseLimits).prefault({}).describe("Limits of the containers."),
  ...common,
});

const activePassive = z.strictObject({
  topology: z.literal("active-passive").describe("One Citus cluster whose coordinator is a Patroni group over etcd, behind HAProxy."),
  scope: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, "must be lower-case letters, digits and -").prefault("citusap").describe("Patroni's name of the cluster in etcd."),
  coordinators: z.int("must be a whole number").min(1, "must be at least 1").max(9, "must be at most 9").prefault(3).describe("Members of the coordinator's Patroni group: one leader, the others standbys."),
  etcdMembers: z
    .int("must be a whole number")
    .min(1, "must be at least 1")
    .max(9, "must be at most 9")
    .refine((count) => count % 2 === 1, { error: (issue) => `must be odd: ${String(issue.input)} members survive no more failures than ${Number(issue.input) - 1}; use ${Number(issue.input) - 1} or ${Number(issue.input) + 1}` })
    .prefault(3)
    .describe("Members of the etcd cluster. Choose it at the first `up`: a running etcd is not resized."),
  workers: workers.prefault(3).describe("Workers: a count (named `worker1`, …) or a list of names."),
  replicationFactor: z.int("must be a whole number").min(1, "must be at least 1").prefault(1).describe("Placements of each shard (`citus.shard_replication_factor`)."),
  ports: z
    .strictObject({
      leader: port.prefault(5000).describe("SQL to the leader."),
      standbys: port.prefault(5001).describe("Reads from standbys; from the leader while there is no standby."),
      statistics: port.prefault(7000).describe("HAProxy's statistics page."),
    })
    .prefault({})
    .describe("Ports of HAProxy on this machine."),
  images: imagesOf({
    patroni: image.optional().describe("Patroni on Citus, with `patroni` on the PATH. Not set: built on `images.citus`."),
    etcd: image.prefault("quay.io/coreos/etcd:v3.5.16").describe("etcd."),
    haproxy: image.prefault("haproxy:3.0.11").describe("HAProxy."),
  }).describe("Container images."),
  limits: z
    .strictObject({ ...databaseLimits, etcd: limits.prefault({}).describe("Limits of each etcd member."), haproxy: limits.prefault({}).describe("Limits of HAProxy.") })
    .prefault({})
    .describe("Limits of the containers."),
  ...common,
  replicationPassword: z.string().min(1, "must not be empty").optional().meta({ secret: true }).describe("Password of `replicator`, which standbys stream with. Secret; not set: generated."),
  rewindPassword: z.string().min(1, "must not be empty").optional().meta({ secret: true }).describe("Password of `rewinder`, which `pg_rewind` connects with. Secret; not set: generated."),
});

/** The schema of each topology's settings, by the topology's name. */
export const settingsSchemas = { "active-active": activeActive, "active-passive": activePassive } as const;

/** The name of a topology. */
export type Topology = keyof typeof settingsSchemas;

/** Keys that hold a password; their values stay out of {@link Settings}. */
export type PasswordKey = "superuserPassword" | "replicationPassword" | "rewindPassword";

/** Settings of the active-active topology, every default applied, without passwords. */
export type ActiveActiveSettings = Omit<z.output<typeof activeActive>, PasswordKey>;

/** Settings of the active-passive topology, every default applied, without passwords. */
export type ActivePassiveSettings = Omit<z.output<typeof activePassive>, PasswordKey>;

/** What a user set, every default applied, without passwords: plain data. */
export type Settings = ActiveActiveSettings | ActivePassiveSettings;
