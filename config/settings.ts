import { z } from "zod";
import { isDuration, type Duration } from "./duration";
import { imageProblem } from "./image";
import { isSize, toMebibytes, type Size } from "./size";

/*
 * What a user may set, one schema. Every key that holds a value carries a `describe`d sentence: the README's table is
 * generated from it, and so are the defaults that it shows. Rules that need more than one key are in rules.ts.
 */

const IDENTIFIER = /^[a-z_][a-z0-9_$]{0,62}$/;

/** A whole number in a range, with one message whatever is wrong. */
function wholeNumber(from: number, to: number, message = `must be a whole number from ${from} to ${to}`): z.ZodInt {
  return z.int(message).min(from, message).max(to, message);
}

const image = z
  .string('must be an image such as "repository:1.2.3"')
  .superRefine((value, context) => {
    const problem = imageProblem(value);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  })
  .meta({ words: "image with its tag or digest" });

const size = z
  .custom<Size>((value) => typeof value === "string" && isSize(value), { error: 'must be a size such as "512 MB" or "2 GB"' })
  .meta({ type: "string", words: 'size, such as `"512 MB"` or `"2 GB"`' });

const port = wholeNumber(1, 65535).meta({ words: "port, 1 to 65535" });

const WORKER_NAME = "must be a name of 2 to 40 lower-case letters, digits, - and _ that begins with a letter and does not end in -holder";

/**
 * A container's name is also a host name: it begins with a letter, because 10 and 0x10 are addresses, and Docker wants
 * two characters. A name that ends in -holder could be that of another member's holder.
 */
const workerName = z
  .string(WORKER_NAME)
  .regex(/^[a-z][a-z0-9_-]{1,39}$/, WORKER_NAME)
  .refine((name) => name !== "localhost" && !name.endsWith("-holder"), WORKER_NAME)
  .meta({ words: "name" });

const MAXIMUM_WORKERS = 64;
const WORKERS = `must be a whole number from 1 to ${MAXIMUM_WORKERS}, or a list of as many names such as ["worker1", "worker2"]`;
const workers = z.union([wholeNumber(1, MAXIMUM_WORKERS, WORKERS), z.array(workerName).min(1, WORKERS).max(MAXIMUM_WORKERS, WORKERS)], WORKERS);

const PROCESSORS = "must be a number of processors such as 1.5, at least 0.01";

const MEMBERS = "must be a whole number from 2 to 9; one member would be a plain worker: give workers a number instead";

/** Workers as Patroni groups. */
const groupedWorkers = z
  .strictObject({
    groups: wholeNumber(1, MAXIMUM_WORKERS).prefault(3).describe("Worker groups, each a Patroni group: `worker1`, `worker2` and so on."),
    members: wholeNumber(2, 9, MEMBERS).describe("Members of each worker group: one leader, the others standbys. Use 3: with 2, writes wait seconds for the old leader."),
  })
  .meta({ words: "object" });

/** Limits of one container. A limit that is not set does not exist. */
const limits = z.strictObject({
  memory: size
    .refine((value) => toMebibytes(value) >= 6, 'must be at least "6 MB", the least that Docker takes')
    .optional()
    .describe("Memory limit. Not set: none."),
  cpus: z.number(PROCESSORS).min(0.01, PROCESSORS).optional().meta({ words: "number, such as `1.5`" }).describe("Processors. Not set: all."),
  shm: size.optional().describe("Size of `/dev/shm`, where parallel queries exchange rows. Not set: 256 MB for databases, Docker's own for others."),
});
export type Limits = z.infer<typeof limits>;

const REPLICATION = "replication is arranged for you";

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
  hot_standby: REPLICATION,
  primary_conninfo: REPLICATION,
  primary_slot_name: REPLICATION,
  synchronous_standby_names: REPLICATION,
  restore_command: REPLICATION,
  recovery_target_timeline: REPLICATION,
  cluster_name: REPLICATION,
};

const parameterName = z.string().regex(/^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$/, "must be a parameter's name in lower case, such as work_mem or citus.node_connection_timeout");
const parameterValue = z
  .union([z.string(), z.number(), z.boolean().transform((on) => (on ? "on" : "off"))], {
    error: ({ input }) =>
      `must be a text, a number or true or false${typeof input === "object" ? '; put a name that has a dot in brackets, as in --path \'parameters["citus.max_adaptive_executor_pool_size"]\'' : ""}`,
  })
  .transform(String);

/** PostgreSQL and Citus parameters by name; values as one writes them in postgresql.conf, without quotes. */
const parameters = z.record(parameterName, parameterValue, 'must be an object of parameters by name, such as {"work_mem": "8MB"}').superRefine((values, context) => {
  for (const name of Object.keys(values)) {
    if (Object.hasOwn(RESERVED_PARAMETERS, name)) context.addIssue({ code: "custom", path: [name], message: `is not a free choice: ${RESERVED_PARAMETERS[name]}` });
  }
});

const COLUMN = "must be a column's name in lower case";

const schema = z
  .strictObject({
    file: z.string("must be a path").min(1, "must be a path").prefault("assets/sql/schema.sql").meta({ words: "path" }).describe("SQL that creates the tables, relative to the project. Runs in one transaction at every set-up: write it idempotently (`CREATE TABLE IF NOT EXISTS`)."),
    tables: z
      .record(
        z.string().regex(IDENTIFIER, "must be a table's name in lower case"),
        z.string(COLUMN).regex(IDENTIFIER, COLUMN).meta({ words: "name of a column" }),
        'must be an object of columns by table, such as {"rooms": "room_id"}',
      )
      .prefault({ rooms: "room_id", room_members: "room_id", messages: "room_id" })
      .describe("Tables to distribute, each with its distribution column. They are colocated, so the columns have one type. A table that is set replaces the default tables."),
    rowSecurity: z
      .boolean("must be true or false")
      .prefault(false)
      .describe("Whether a role that is no superuser sees and writes rows of `tables` only of the tenant that `tenancy.tenant` names, by row-level security ([docs/tenants.md](docs/tenants.md#row-level-security))."),
  })
  .prefault({});

const LIBRARIES = 'must be a list of libraries such as ["pg_cron"]';
const SOCKET = "must be the absolute path of Docker's socket on the engine's machine, such as /var/run/docker.sock";
const PREFIX = 'must be at most 20 lower-case letters, digits, - and _, such as "test-"';

const password = z.string("must be a text").min(1, "must not be empty; remove it to have one generated").optional().meta({ words: "secret text" });

const RPO = "must be 0, or how many acknowledged writes may be lost, as a whole number";

const duration = z
  .custom<Duration>((value) => typeof value === "string" && isDuration(value), { error: 'must be a duration such as "1 s", "500 ms" or "2 min"' })
  .meta({ type: "string", words: 'duration, such as `"1 s"`, `"500 ms"` or `"2 min"`' });

const objectives = z
  .strictObject({
    rto: duration
      .optional()
      .describe("How long writes may wait or fail when a container dies or freezes, or the lead is handed over. Settings that cannot meet it print a warning. Not set: no objective."),
    rpo: z.int(RPO).min(0, RPO).optional().meta({ words: "whole number, 0 or more" }).describe("How many acknowledged writes may be lost by a failure. Settings that cannot meet it print a warning. Not set: no objective."),
  })
  .prefault({});

const common = {
  prefix: z
    .string(PREFIX)
    .regex(/^([a-z0-9][a-z0-9_-]{0,19})?$/, PREFIX)
    .prefault("")
    .describe("Put before the name of every container, network and volume, so that two stacks of one kind live on one machine (give them ports of their own, too). Refused once there is data."),
  bindAddress: z
    .union([z.ipv4(), z.ipv6()], { error: "must be an IP address of this machine: 127.0.0.1 for this machine only, 0.0.0.0 for all" })
    .prefault("127.0.0.1")
    .meta({ words: "IP address" })
    .describe("Address that every published port binds."),
  shardCount: wholeNumber(1, 64000).prefault(32).describe("Shards of a distributed table (`citus.shard_count`). Decides how tables are created; existing tables keep theirs."),
  guard: z
    .boolean("must be true or false")
    .prefault(true)
    .describe("Whether a guard beside the coordinator takes a dead or frozen worker out of service, so that writes go on, and brings it back. Only where `replicationFactor` is 2 or more."),
  keeper: z
    .boolean("must be true or false")
    .prefault(true)
    .describe("Whether a keeper starts again what Docker's engine leaves down when it boots. It has Docker's socket, which is as good as root on the engine's machine, and no network."),
  dockerSocket: z
    .string(SOCKET)
    .regex(/^\/./, SOCKET)
    .prefault("/var/run/docker.sock")
    .meta({ words: "path" })
    .describe("Docker's socket on the engine's machine, for the keeper: that of the engine that runs the stack. Where Docker runs without root: `/run/user/<uid>/docker.sock`."),
  guardPatience: duration
    .prefault("30 s")
    .describe("How long the guard waits for a worker that answers that it recovers from a crash. Its shards take no write meanwhile; a worker that is taken out of service is copied anew."),
  preloadLibraries: z.array(z.string(LIBRARIES).regex(IDENTIFIER, LIBRARIES).meta({ words: "name" }), LIBRARIES).prefault([]).describe("Libraries to preload beside citus and pg_stat_statements."),
  parameters: parameters.prefault({}).describe("PostgreSQL and Citus parameters of all database members, such as `work_mem`. A change is reloaded, or restarts node by node where it must."),
  coordinatorParameters: parameters.prefault({}).describe("Parameters of coordinators only; they win over `parameters`."),
  workerParameters: parameters.prefault({}).describe("Parameters of workers only; they win over `parameters`."),
  schema,
  objectives,
  dataOnDestroy: z
    .enum(["drop", "keep"], 'must be "drop" or "keep"')
    .prefault("drop")
    .describe("Whether `npm run down` drops the volumes, or keeps them for the next `up`; Pulumi itself drops none. `keep` needs the passwords to be set: generated ones go with the state."),
  postgresMajor: wholeNumber(15, 99).optional().describe("PostgreSQL's major version in the database image. Not set: read from the image's tag."),
  superuserPassword: password.describe("Password of `postgres`. Secret: `pulumi config set --secret`. Not set: generated once and kept in the state."),
};

const imagesOf = <T extends z.ZodRawShape>(more: T) =>
  z
    .strictObject({
      citus: image.prefault("citusdata/citus:13.2.0").describe("Citus on PostgreSQL: workers, and coordinators."),
      holder: image.prefault("debian:trixie-slim").describe("The holder of each database member that has neither a fencer nor a door, of HAProxy and of the pooler; any small image with a shell."),
      haproxy: image.prefault("haproxy:3.0.11").describe("HAProxy: in front of active-passive, and the door of each guarded worker of active-active."),
      node: image.prefault("node:20-trixie-slim").describe("Debian with Node.js, on which the guard and the keeper are built."),
      ...more,
    })
    .prefault({} as never);

const databaseLimits = {
  coordinator: limits.prefault({}),
  worker: limits.prefault({}),
};

const REGION = "must be a region's name: at most 32 lower-case letters, digits and -, beginning with a letter and ending with a letter or digit";

const cluster = z.strictObject({
  workers: workers.prefault(3).describe("Workers: a count (named `worker_<cluster>1`, …) or a list of names."),
  port: port.optional().describe("Port of the coordinator on this machine; workers follow on the ports after it. Not set: 5432 for `a`, 6432 for `b`, and so on, 1000 apart."),
  weight: wholeNumber(1, 16)
    .prefault(1)
    .describe("Its share of the tenants: a cluster of weight 3 has three times as many as one of weight 1. A change moves nobody before `npm run tenant -- rebalance`."),
  region: z.string(REGION).regex(/^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$/, REGION).optional().meta({ words: "name" }).describe("Where it is, such as `eu-west`, for placing tenants by region. Hashing does not look at it. Not set: none."),
});

const CLUSTERS = 'must name one cluster or more, such as {"a": {"workers": 3}, "b": {}}';

const activeActive = z.strictObject({
  topology: z.literal("active-active").describe("Several independent Citus clusters; tenants are spread over them by the application."),
  clusters: z
    .record(
      // A digit at the end would run into the numbers of workers: worker_eu1 and 1 is also worker_eu and 11.
      z.string().regex(/^[a-z]([a-z0-9]{0,14}[a-z])?$/, "must be a cluster's name: at most 16 lower-case letters and digits, beginning and ending with a letter"),
      cluster.prefault({}),
      CLUSTERS,
    )
    .refine((clusters) => Object.keys(clusters).length > 0, CLUSTERS)
    .prefault({ a: {}, b: {} })
    .describe("A cluster, by its name. A cluster that is set replaces the default clusters, so list all of them: one that has data is not left out by mistake."),
  replicationFactor: wholeNumber(1, MAXIMUM_WORKERS).prefault(2).describe("Placements of each shard (`citus.shard_replication_factor`)."),
  tenantFence: z
    .boolean("must be true or false")
    .prefault(true)
    .describe("Whether each cluster refuses writes to `schema.tables` of tenants whose home is another cluster, which the router and moving tenants need."),
  images: imagesOf({}),
  limits: z.strictObject(databaseLimits).prefault({}),
  ...common,
});

const GROUPED = `${WORKERS}, or an object such as {"groups": 3, "members": 3}`;
const SCOPE = "must be at most 32 lower-case letters, digits and -, beginning with a letter";
const ODD = "must be 1, 3, 5, 7 or 9: an even number of members survives no more failures than one fewer";

const POOLER = 'must be true, false or an object of poolSize and maxClientConnections, such as {"poolSize": 20}; {} takes the defaults';

const pooled = z.strictObject({
  poolSize: wholeNumber(1, 1000).prefault(20).describe("Connections to the leader for each pair of user and database. All of them together have to stay below `max_connections`, which is 300 unless you set it."),
  maxClientConnections: wholeNumber(1, 10_000).prefault(1000).describe("Connections of clients that the pooler takes at once."),
});

const activePassive = z.strictObject({
  topology: z.literal("active-passive").describe("One Citus cluster whose coordinator is a Patroni group over etcd, behind HAProxy."),
  scope: z.string(SCOPE).regex(/^[a-z][a-z0-9-]{0,31}$/, SCOPE).prefault("citusap").describe("Patroni's name of the cluster in etcd. Refused once there is data."),
  coordinators: wholeNumber(1, 9).prefault(3).describe("Members of the coordinator's Patroni group: one leader, the others standbys."),
  fencer: z
    .boolean("must be true or false")
    .prefault(true)
    .describe("Whether each Patroni member's holder revokes the lease of a member whose processes are gone, so that a standby leads in under a second; without it the lease of 20 s has to expire."),
  etcdMembers: z
    .int(ODD)
    .refine((count) => count >= 1 && count <= 9 && count % 2 === 1, ODD)
    .prefault(3)
    .meta({ words: "whole number: 1, 3, 5, 7 or 9" })
    .describe("Members of the etcd cluster."),
  workers: z
    .union([wholeNumber(1, MAXIMUM_WORKERS, GROUPED), z.array(workerName).min(1, GROUPED).max(MAXIMUM_WORKERS, GROUPED), groupedWorkers], GROUPED)
    .prefault(3)
    .describe("Workers: a count (named `worker1`, …), a list of names, or `{ groups, members }`: as many Patroni groups (3 unless set) of as many members, use 3, which survive what kills a member."),
  replicationFactor: wholeNumber(1, MAXIMUM_WORKERS)
    .optional()
    .describe("Placements of each shard (`citus.shard_replication_factor`). Not set: 2, so that one worker may die; 1 where workers are Patroni groups, whose standbys are the copies, or where there is one worker."),
  standbyLag: size
    .prefault("16 MB")
    .describe("How far behind the leader, in bytes of its log, a standby may be to be read from on `ports.standbys`. The leader's position that it is compared with is up to 1 s old."),
  ports: z
    .strictObject({
      leader: port.prefault(5000).describe("SQL to the leader."),
      standbys: port.prefault(5001).describe("Reads from standbys that are at most `standbyLag` behind; from the leader while there is none."),
      nodes: port.prefault(5002).describe("Queries on any node that takes writes: the coordinator's leader, and workers."),
      statistics: port.prefault(7000).describe("HAProxy's statistics page."),
      pooler: port.prefault(6432).describe("SQL to the leader through the pooler; published with `pooler` only."),
    })
    .prefault({}),
  pooler: z
    .union([z.boolean(), pooled], POOLER)
    .transform((value) => (value === true ? pooled.parse({}) : value))
    .prefault(false)
    .describe(
      "PgBouncer in front of the leader, in transaction mode: clients see no error while the leader is changed in order. What belongs to a session (`SET`, `LISTEN`, advisory locks, " +
        "temporary tables, `WITH HOLD` cursors, SQL's `PREPARE`) does not outlive a transaction there, nor do `options` in a URI count; what a driver prepares does.",
    ),
  images: imagesOf({
    patroni: image.optional().describe("Patroni on Citus, with `patroni`, `python3` (3.9 or newer), `ss` and `curl` on the PATH. Not set: built on `images.citus`."),
    etcd: image.prefault("quay.io/coreos/etcd:v3.5.16").describe("etcd."),
    pgbouncer: image.optional().describe("PgBouncer with `psql` and `openssl` beside it and a user `postgres`. Not set: built on debian:trixie-slim, if there is a pooler."),
  }),
  limits: z.strictObject({ ...databaseLimits, etcd: limits.prefault({}), haproxy: limits.prefault({}), pooler: limits.prefault({}) }).prefault({}),
  ...common,
  replicationPassword: password.describe("Password of `replicator`, which standbys stream with. Secret; not set: generated."),
  rewindPassword: password.describe("Password of `rewinder`, which `pg_rewind` connects with. Secret; not set: generated."),
});

/** The schema of each topology's settings, by the topology's name. */
export const settingsSchemas = { "active-active": activeActive, "active-passive": activePassive } as const;

/** The name of a topology. */
export type Topology = keyof typeof settingsSchemas;

/** Keys that hold a password; their values stay out of {@link Settings}. */
export type PasswordKey = "superuserPassword" | "replicationPassword" | "rewindPassword";

/** Something of each password, or the password itself, by its key. */
export type Passwords = Readonly<Partial<Record<PasswordKey, string>>>;

/** The passwords that a stack of each topology has. */
export const PASSWORD_KEYS: Readonly<Record<Topology, readonly PasswordKey[]>> = {
  "active-active": ["superuserPassword"],
  "active-passive": ["superuserPassword", "replicationPassword", "rewindPassword"],
};

/** Settings of the active-active topology, every default applied, without passwords. */
export type ActiveActiveSettings = Omit<z.output<typeof activeActive>, PasswordKey>;

/** Settings of the active-passive topology, every default applied, without passwords. */
export type ActivePassiveSettings = Omit<z.output<typeof activePassive>, PasswordKey | "replicationFactor"> & { readonly replicationFactor: number };

/** What a user set, every default applied, without passwords: plain data. */
export type Settings = ActiveActiveSettings | ActivePassiveSettings;
