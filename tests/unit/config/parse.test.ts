import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeConfig, parseSettings, SettingsError } from "../../../config/parse";
import { settingsSchemas, type Topology } from "../../../config/settings";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;

/** The lines of the error that an input ends with, each one problem; none if the input is good. */
function problemLines(input: Record<string, unknown>, secretKeys: string[] = []): string[] {
  try {
    parseSettings(input, "Pulumi.test.yaml", secretKeys);
    return [];
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    const [head, ...lines] = error.message.split("\n");
    expect(head).toBe("Pulumi.test.yaml cannot be used; nothing was touched.");
    return lines.map((line) => line.trim());
  }
}

const aa = (settings: Record<string, unknown>): Record<string, unknown> => ({ topology: "active-active", ...settings });
const ap = (settings: Record<string, unknown>): Record<string, unknown> => ({ topology: "active-passive", ...settings });

const WORKERS = 'must be a whole number from 1 to 64, or a list of as many names such as ["worker1", "worker2"]';
const GROUPED = `${WORKERS}, or an object such as {"groups": 3, "members": 3}`;
const WORKER_NAME = "must be a name of 2 to 40 lower-case letters, digits, - and _ that begins with a letter and does not end in -holder";
const SIZE = 'must be a size such as "512 MB" or "2 GB"';
const ODD = "must be 1, 3, 5, 7 or 9: an even number of members survives no more failures than one fewer";
const IMAGE = 'must be an image in lower case with a tag or a digest, "repository:1.2.3" or "repository@sha256:…"';
const POOLER = 'must be true, false or an object of poolSize and maxClientConnections, such as {"poolSize": 20}; {} takes the defaults';
const CLUSTERS = 'must name one cluster or more, such as {"a": {"workers": 3}, "b": {}}';
const CLUSTER_NAME = "must be a cluster's name: at most 16 lower-case letters and digits, beginning and ending with a letter";
const REGION = "must be a region's name: at most 32 lower-case letters, digits and -, beginning with a letter and ending with a letter or digit";
const UNFENCED = "has no effect without the fence, which spreads tenants over clusters; remove it, or have tenantFence true and tables in schema.tables";
const RECORDS = "must be on with the fence: a power cut could take back who gave a tenant away, and two clusters would take its writes; remove it, or set tenantFence to false";
const PORT = "must be a whole number from 1 to 65535";
const SHARDS = "must be a whole number from 1 to 64000";
const PARAMETER = "must be a text, a number or true or false";

describe("a wrong input is told with its full key, its value and what would be right", () => {
  test.each<[string, Record<string, unknown>, string[]]>([
    // The topology decides which keys there are, so it comes alone.
    ["no topology", {}, ['topology: must be "active-active" or "active-passive", as in: pulumi config set topology active-active']],
    ["unknown topology", { topology: "active", shardCount: "x" }, ['topology = "active": must be "active-active" or "active-passive", as in: pulumi config set topology active-active']],
    ["topology of an object's own properties", { topology: "toString" }, ['topology = "toString": must be "active-active" or "active-passive", as in: pulumi config set topology active-active']],
    ["topology null", { topology: null }, ['topology = null: must be "active-active" or "active-passive", as in: pulumi config set topology active-active']],

    ["two clusters on one port", aa({ clusters: { a: {}, b: { port: 5432 } } }), [
      "clusters.b.port = 5432: coord_b needs port 5432, which clusters.a.port gives to coord_a; choose another, such as 6432",
    ]],
    ["a cluster on another's worker, declared first", aa({ clusters: { b: { port: 5433 }, a: {} } }), [
      "clusters.b.port = 5433: coord_b needs port 5433, which clusters.a.port gives to worker_a1; choose another, such as 6433",
    ]],
    ["a worker on another's coordinator", aa({ clusters: { a: { port: 6431 }, b: {} } }), [
      "clusters.a.port = 6431: worker_a1 needs port 6432, which clusters.b.port gives to coord_b; choose another, such as 7431",
    ]],
    ["workers beyond the last port", aa({ clusters: { a: { port: 65534 }, b: {} } }), [
      "clusters.a.port = 65534: worker_a2 needs port 65536, ports end at 65535; choose another, such as 7432",
    ]],
    ["a cluster that fits nowhere near: every node of it has to be free", aa({ clusters: { a: {}, b: {}, c: { port: 7433 }, d: { port: 5432 } } }), [
      "clusters.d.port = 5432: coord_d needs port 5432, which clusters.a.port gives to coord_a; choose another, such as 8432",
    ]],
    ["a cluster that fits in the last port only", aa({ clusters: { a: { port: 64531, workers: 3 }, b: { port: 64532, workers: 3 } } }), [
      "clusters.b.port = 64532: coord_b needs port 64532, which clusters.a.port gives to worker_a1; choose another, such as 65532",
    ]],
    ["a cluster that does not fit in the last ports", aa({ clusters: { a: { port: 64533, workers: 3 }, b: { port: 64534, workers: 3 } } }), [
      "clusters.b.port = 64534: coord_b needs port 64534, which clusters.a.port gives to worker_a1; choose another, such as 6432",
    ]],
    ["a cluster whose coordinator alone would clash where it could go", aa({ replicationFactor: 1, clusters: { a: {}, b: { port: 6431, workers: 1 }, c: { port: 5432 } } }), [
      "clusters.c.port = 5432: coord_c needs port 5432, which clusters.a.port gives to coord_a; choose another, such as 7432",
    ]],
    ["one port twice at HAProxy", ap({ ports: { leader: 5000, standbys: 5000 } }), [
      "ports.standbys = 5000: haproxy needs port 5000, which ports.leader gives to haproxy; choose another, such as 5001",
    ]],
    ["one port three times", ap({ ports: { leader: 1, standbys: 1, statistics: 1 } }), [
      "ports.standbys = 1: haproxy needs port 1, which ports.leader gives to haproxy; choose another, such as 2",
      "ports.statistics = 1: haproxy needs port 1, which ports.leader gives to haproxy; choose another, such as 2",
    ]],
    ["HAProxy's port at the pooler", ap({ pooler: true, ports: { pooler: 5001 } }), [
      "ports.pooler = 5001: pooler needs port 5001, which ports.standbys gives to haproxy; choose another, such as 5003",
    ]],
    ["a pooler of something else", ap({ pooler: "yes" }), [`pooler = "yes": ${POOLER}`]],
    ["a pooler with an unknown key", ap({ pooler: { size: 20 } }), ["pooler.size: unknown key; keys of pooler are poolSize, maxClientConnections"]],
    ["a pooler without connections", ap({ pooler: { poolSize: 0 } }), ["pooler.poolSize = 0: must be a whole number from 1 to 1000"]],
    ["a pooler without clients", ap({ pooler: { maxClientConnections: 0 } }), ["pooler.maxClientConnections = 0: must be a whole number from 1 to 10000"]],
    ["a worker with the pooler's name", ap({ pooler: {}, workers: ["pooler"] }), [
      'workers = "pooler": is already a name of the stack\'s pooler; a worker belongs to one cluster, so give this one another name',
    ]],
    ["port 0", ap({ ports: { leader: 0 } }), [`ports.leader = 0: ${PORT}`]],
    ["port too high", aa({ clusters: { a: { port: 65536 } } }), [`clusters.a.port = 65536: ${PORT}`]],
    ["weight 0", aa({ clusters: { a: { weight: 0 } } }), ["clusters.a.weight = 0: must be a whole number from 1 to 16"]],
    ["weight too high", aa({ clusters: { a: { weight: 17 } } }), ["clusters.a.weight = 17: must be a whole number from 1 to 16"]],
    ["a weight that is a part", aa({ clusters: { a: { weight: 1.5 } } }), ["clusters.a.weight = 1.5: must be a whole number from 1 to 16"]],
    ["a region with capitals", aa({ clusters: { a: { region: "EU" } } }), [`clusters.a.region = "EU": ${REGION}`]],
    ["a region that ends in -", aa({ clusters: { a: { region: "eu-" } } }), [`clusters.a.region = "eu-": ${REGION}`]],
    ["no fsync with the fence", aa({ parameters: { fsync: "off" } }), [`parameters.fsync = "off": ${RECORDS}`]],
    ["no fsync in a word that PostgreSQL takes", aa({ workerParameters: { fsync: "F" } }), [`workerParameters.fsync = "F": ${RECORDS}`]],
    ["no whole pages with the fence", aa({ coordinatorParameters: { full_page_writes: "no" } }), [`coordinatorParameters.full_page_writes = "no": ${RECORDS}`]],
    ["weight and region without the fence", aa({ tenantFence: false, clusters: { a: { weight: 2, region: "eu" }, b: { weight: 1 } } }), [
      `clusters.a.weight = 2: ${UNFENCED}`,
      `clusters.a.region = "eu": ${UNFENCED}`,
    ]],
    ["port a text", aa({ clusters: { a: { port: "http" } } }), [`clusters.a.port = "http": ${PORT}`]],

    ["2 etcd members", ap({ etcdMembers: 2 }), [`etcdMembers = 2: ${ODD}`]],
    ["0 etcd members", ap({ etcdMembers: 0 }), [`etcdMembers = 0: ${ODD}`]],
    ["-1 etcd members", ap({ etcdMembers: -1 }), [`etcdMembers = -1: ${ODD}`]],
    ["11 etcd members", ap({ etcdMembers: 11 }), [`etcdMembers = 11: ${ODD}`]],
    ["2.5 etcd members", ap({ etcdMembers: 2.5 }), [`etcdMembers = 2.5: ${ODD}`]],
    ["no coordinator", ap({ coordinators: 0 }), ["coordinators = 0: must be a whole number from 1 to 9"]],

    ["more replicas than workers", ap({ replicationFactor: 4 }), ["replicationFactor = 4: needs as many workers, but workers has 3; use at most 3, or add workers"]],
    ["more replicas than the smallest cluster has workers", aa({ replicationFactor: 3, clusters: { a: {}, b: { workers: 2 }, c: { workers: ["one"] } } }), [
      "replicationFactor = 3: needs as many workers, but clusters.c.workers has 1; use at most 1, or add workers",
    ]],
    ["the default replication factor with one worker", aa({ clusters: { a: { workers: 1 } } }), [
      "replicationFactor = 2: needs as many workers, but clusters.a.workers has 1; use at most 1, or add workers",
    ]],
    ["no replicas", aa({ replicationFactor: 0 }), ["replicationFactor = 0: must be a whole number from 1 to 64"]],

    ["a worker in two clusters", aa({ clusters: { a: { workers: ["east", "west"] }, b: { workers: ["west", "north"] } } }), [
      'clusters.b.workers = "west": is already a name of clusters.a.workers; a worker belongs to one cluster, so give this one another name',
    ]],
    ["a worker twice in one cluster", ap({ workers: ["east", "east"] }), ['workers = "east": is named twice; every worker needs a name of its own']],
    ["a worker with a coordinator's name", aa({ clusters: { a: { workers: ["coord_b", "east"] }, b: {} } }), [
      'clusters.a.workers = "coord_b": is already a name of clusters.b (its coordinator); a worker belongs to one cluster, so give this one another name',
    ]],
    ["a worker with an etcd member's name", ap({ workers: ["etcd-3"] }), [
      'workers = "etcd-3": is already a name of etcdMembers; a worker belongs to one cluster, so give this one another name',
    ]],
    ["workers with the names of everything else in active-passive", ap({ workers: ["coord-1", "coord-3", "etcd-1", "haproxy", "coord-4", "etcd-4"] }), [
      ...["coord-1", "coord-3"].map((name) => `workers = "${name}": is already a name of coordinators; a worker belongs to one cluster, so give this one another name`),
      'workers = "etcd-1": is already a name of etcdMembers; a worker belongs to one cluster, so give this one another name',
      'workers = "haproxy": is already a name of the stack\'s HAProxy; a worker belongs to one cluster, so give this one another name',
    ]],
    ["a cluster's name that runs into its workers' numbers", aa({ clusters: { a: {}, a1: {} } }), [`clusters.a1: ${CLUSTER_NAME}`]],

    ["3.5 workers", ap({ workers: 3.5 }), [`workers = 3.5: ${GROUPED}`]],
    ["no workers", ap({ workers: 0 }), [`workers = 0: ${GROUPED}`]],
    ["65 workers", aa({ clusters: { a: { workers: 65 } } }), [`clusters.a.workers = 65: ${WORKERS}`]],
    ["workers null", ap({ workers: null }), [`workers = null: ${GROUPED}`]],
    ["workers an object", ap({ workers: { a: 1 } }), [`workers = {"a":1}: ${GROUPED}`]],
    ["workers a word", ap({ workers: "three" }), [`workers = "three": ${GROUPED}`]],
    ["worker groups of one member", ap({ workers: { members: 1 } }), ["workers.members = 1: must be a whole number from 2 to 9; one member would be a plain worker: give workers a number instead"]],
    ["worker groups with copies of shards beside", ap({ workers: { members: 3 }, replicationFactor: 2 }), [
      "replicationFactor = 2: must be 1 where workers are Patroni groups: their standbys are the copies",
    ]],
    ["an empty list of workers", ap({ workers: [] }), [`workers = []: ${GROUPED}`]],
    ["a worker with capitals", ap({ workers: ["Worker1"] }), [`workers[0] = "Worker1": ${WORKER_NAME}`]],
    ["a worker of one letter, which Docker refuses", ap({ workers: ["w"] }), [`workers[0] = "w": ${WORKER_NAME}`]],
    ["a worker whose name is an address", ap({ workers: ["10"] }), [`workers[0] = "10": ${WORKER_NAME}`]],
    ["a worker named localhost", ap({ workers: ["localhost"] }), [`workers[0] = "localhost": ${WORKER_NAME}`]],
    ["a worker with the name of another's holder", ap({ workers: ["east", "east-holder"] }), [`workers[1] = "east-holder": ${WORKER_NAME}`]],

    ["no cluster", aa({ clusters: {} }), [`clusters = {}: ${CLUSTERS}`]],
    ["clusters null", aa({ clusters: null }), [`clusters = null: ${CLUSTERS}`]],
    ["clusters a number", aa({ clusters: 2 }), [`clusters = 2: ${CLUSTERS}`]],
    ["clusters a list", aa({ clusters: ["a", "b"] }), [`clusters = ["a","b"]: ${CLUSTERS}`]],
    ["clusters empty, as Pulumi hands over a key without a value", aa({ clusters: "" }), [`clusters = "": ${CLUSTERS}`]],
    ["a cluster null", aa({ clusters: { a: null } }), ["clusters.a = null: must be an object of workers, port, weight, region; {} takes the defaults"]],
    ["a cluster a number", aa({ clusters: { a: 3 } }), ["clusters.a = 3: must be an object of workers, port, weight, region; {} takes the defaults"]],
    ["a cluster's name with capitals", aa({ clusters: { A: {} } }), [`clusters.A: ${CLUSTER_NAME}`]],
    ["a cluster's name with a dot", aa({ clusters: { "a.b": {} } }), [`clusters["a.b"]: ${CLUSTER_NAME}`]],

    ["shards a word", aa({ shardCount: "many" }), [`shardCount = "many": ${SHARDS}`]],
    ["no shards", aa({ shardCount: 0 }), [`shardCount = 0: ${SHARDS}`]],
    ["too many shards", aa({ shardCount: 64001 }), [`shardCount = 64001: ${SHARDS}`]],
    ["half a shard", aa({ shardCount: 31.5 }), [`shardCount = 31.5: ${SHARDS}`]],
    ["shards null", aa({ shardCount: null }), [`shardCount = null: ${SHARDS}`]],
    ["shards a boolean", aa({ shardCount: true }), [`shardCount = true: ${SHARDS}`]],
    ["shards without end", aa({ shardCount: Infinity }), [`shardCount = Infinity: ${SHARDS}`]],

    ["an image without a tag", ap({ images: { etcd: "quay.io:443/coreos/etcd" } }), [
      'images.etcd = "quay.io:443/coreos/etcd": has no tag, which means "latest"; name a version, as in "repository:1.2.3", or a digest',
    ]],
    ["an image tagged latest", aa({ images: { citus: "citusdata/citus:latest" } }), [
      'images.citus = "citusdata/citus:latest": "latest" is another image tomorrow; name a version, as in "repository:1.2.3", or a digest',
    ]],
    ["an image with an empty tag", aa({ images: { citus: "citusdata/citus:" } }), [`images.citus = "citusdata/citus:": ${IMAGE}`]],
    ["an image with capitals", aa({ images: { citus: "Citus:13.2.0" } }), [`images.citus = "Citus:13.2.0": ${IMAGE}`]],
    ["an image with a space", aa({ images: { holder: "debian :12" } }), [`images.holder = "debian :12": ${IMAGE}`]],
    ["an image with a cut digest", aa({ images: { holder: "debian@sha256:abc" } }), [`images.holder = "debian@sha256:abc": ${IMAGE}`]],
    ["an empty image", aa({ images: { holder: "" } }), [`images.holder = "": ${IMAGE}`]],
    ["an image a number", aa({ images: { citus: 13 } }), ['images.citus = 13: must be an image such as "repository:1.2.3"']],
    ["images a text", aa({ images: "citus" }), ['images = "citus": must be an object of citus, holder, haproxy, node; {} takes the defaults']],
    ["an image whose tag does not tell PostgreSQL's major", aa({ images: { citus: "registry.test/ours:2026" } }), [
      'postgresMajor: is needed, because the tag of images.citus, "registry.test/ours:2026", does not tell PostgreSQL\'s major version; set it, for example to 17',
    ]],
    ["an image by digest without PostgreSQL's major", aa({ images: { citus: `citusdata/citus@${DIGEST}` } }), [
      `postgresMajor: is needed, because the tag of images.citus, "citusdata/citus@${DIGEST}", does not tell PostgreSQL's major version; set it, for example to 17`,
    ]],
    ["PostgreSQL's major against the image's", ap({ postgresMajor: 18 }), [
      'postgresMajor = 18: does not fit images.citus, "citusdata/citus:13.2.0", which holds PostgreSQL 17; remove it',
    ]],
    ["PostgreSQL 14", ap({ postgresMajor: 14 }), ["postgresMajor = 14: must be a whole number from 15 to 99"]],

    ["a size without a unit", ap({ limits: { worker: { memory: "512" } } }), [`limits.worker.memory = "512": ${SIZE}`]],
    ["a size as a number", ap({ limits: { worker: { memory: 512 } } }), [`limits.worker.memory = 512: ${SIZE}`]],
    ["a size in Docker's letters", ap({ limits: { etcd: { memory: "512m" } } }), [`limits.etcd.memory = "512m": ${SIZE}`]],
    ["a size of nothing", aa({ limits: { coordinator: { shm: "0 MB" } } }), [`limits.coordinator.shm = "0 MB": ${SIZE}`]],
    ["a fraction of a size", aa({ limits: { coordinator: { shm: "1.5 GB" } } }), [`limits.coordinator.shm = "1.5 GB": ${SIZE}`]],
    ["memory below Docker's least", aa({ limits: { worker: { memory: "5 MB" } } }), ['limits.worker.memory = "5 MB": must be at least "6 MB", the least that Docker takes']],
    ["no processor", aa({ limits: { worker: { cpus: 0 } } }), ["limits.worker.cpus = 0: must be a number of processors such as 1.5, at least 0.01"]],
    ["processors a word", aa({ limits: { worker: { cpus: "two" } } }), ['limits.worker.cpus = "two": must be a number of processors such as 1.5, at least 0.01']],
    ["limits null", aa({ limits: null }), ["limits = null: must be an object of coordinator, worker; {} takes the defaults"]],

    ["an address that is a name", aa({ bindAddress: "localhost" }), [
      'bindAddress = "localhost": must be an IP address of this machine: 127.0.0.1 for this machine only, 0.0.0.0 for all',
    ]],
    ["a prefix with capitals", aa({ prefix: "Test" }), ['prefix = "Test": must be at most 20 lower-case letters, digits, - and _, such as "test-"']],
    ["a scope that begins with a digit", ap({ scope: "1st" }), ['scope = "1st": must be at most 32 lower-case letters, digits and -, beginning with a letter']],
    ["data neither dropped nor kept", aa({ dataOnDestroy: "retain" }), ['dataOnDestroy = "retain": must be "drop" or "keep"']],

    ["a reserved parameter", aa({ parameters: { "citus.shard_count": 4 } }), ['parameters["citus.shard_count"] = 4: is not a free choice: set shardCount']],
    ["a reserved parameter of workers", aa({ workerParameters: { wal_level: "replica" } }), [
      'workerParameters.wal_level = "replica": is not a free choice: it is always logical, which moving shards online needs',
    ]],
    ["a parameter null", aa({ parameters: { work_mem: null } }), [
      `parameters.work_mem = null: ${PARAMETER}; put a name that has a dot in brackets, as in --path 'parameters["citus.max_adaptive_executor_pool_size"]'`,
    ]],
    ["a parameter whose dot was taken for a path", aa({ parameters: { citus: { node_connection_timeout: "1s" } } }), [
      `parameters.citus = {"node_connection_timeout":"1s"}: ${PARAMETER}; put a name that has a dot in brackets, as in --path 'parameters["citus.max_adaptive_executor_pool_size"]'`,
    ]],
    ["a parameter in capitals", aa({ parameters: { Work_Mem: "8MB" } }), [
      "parameters.Work_Mem: must be a parameter's name in lower case, such as work_mem or citus.node_connection_timeout",
    ]],
    ["parameters a text", aa({ parameters: "work_mem=8MB" }), ['parameters = "work_mem=8MB": must be an object of parameters by name, such as {"work_mem": "8MB"}']],
    ["libraries a text", aa({ preloadLibraries: "pg_cron" }), ['preloadLibraries = "pg_cron": must be a list of libraries such as ["pg_cron"]']],
    ["a library that would end the list", aa({ preloadLibraries: ["pg_cron,x"] }), ['preloadLibraries[0] = "pg_cron,x": must be a list of libraries such as ["pg_cron"]']],
    ["a table with a quote", aa({ schema: { tables: { 'r"': "id" } } }), ['schema.tables["r""]: must be a table\'s name in lower case']],
    ["a column a number", aa({ schema: { tables: { rooms: 1 } } }), ["schema.tables.rooms = 1: must be a column's name in lower case"]],
    ["no schema file", aa({ schema: { file: "" } }), ['schema.file = "": must be a path']],
    ["row-level security a text", aa({ schema: { rowSecurity: "on" } }), ['schema.rowSecurity = "on": must be true or false']],

    ["kept data without passwords", ap({ dataOnDestroy: "keep", rewindPassword: "r" }), [
      'superuserPassword: is needed with dataOnDestroy "keep": a generated password goes with the state, and the data that was kept opens only with it; pulumi config set --secret superuserPassword',
      'replicationPassword: is needed with dataOnDestroy "keep": a generated password goes with the state, and the data that was kept opens only with it; pulumi config set --secret replicationPassword',
    ]],
    ["several wrong at once", aa({ shardCount: 0, workers: 3, clusters: { a: { worker: 1 } } }), [
      "clusters.a.worker: unknown key; did you mean clusters.a.workers?",
      `shardCount = 0: ${SHARDS}`,
      "workers: unknown key in active-active; it belongs to active-passive",
    ]],
  ])("%s", (_, input, lines) => {
    expect(problemLines(input)).toEqual(lines);
  });

  test.each([
    "citus.shard_count",
    "citus.shard_replication_factor",
    "shared_preload_libraries",
    "listen_addresses",
    "port",
    "wal_level",
    "data_directory",
    "config_file",
    "hba_file",
    "ident_file",
    "hot_standby",
    "primary_conninfo",
    "primary_slot_name",
    "synchronous_standby_names",
    "restore_command",
    "recovery_target_timeline",
    "cluster_name",
  ])("%s is not a free parameter, for any member", (name) => {
    for (const key of ["parameters", "coordinatorParameters", "workerParameters"]) {
      const [line = "", ...more] = problemLines(aa({ [key]: { [name]: "x" } }));
      expect(more).toEqual([]);
      expect(line).toMatch(/^\w+(\.\w+|\["[\w.]+"\]) = "x": is not a free choice: \S+ /);
      expect(line).toContain(key);
    }
  });

  test("more clusters than there are ports", () => {
    const clusters = Object.fromEntries(Array.from({ length: 63 }, (_, index) => [`c${index + 10}x`, { workers: 2 }]));
    expect(problemLines(aa({ clusters }))).toEqual([
      "clusters.c71x.port = 66432: coord_c71x needs port 66432, ports end at 65535; fewer clusters have room",
      "clusters.c72x.port = 67432: coord_c72x needs port 67432, ports end at 65535; fewer clusters have room",
    ]);
  });

  test("the source is the stack's configuration unless it is named", () => {
    expect(() => parseSettings({})).toThrow("The stack's configuration cannot be used; nothing was touched.\n  topology: must be");
  });

  test("a long value is cut", () => {
    const [line = ""] = problemLines(ap({ workers: Array.from({ length: 65 }, (_, index) => `worker${index}`) }));
    expect(line).toContain('workers = ["worker0","worker1",');
    expect(line).toContain(`…: ${WORKERS}`);
    expect(line.length).toBeLessThan(300);
  });
});

describe("an unknown key is told with what was probably meant, and without its value, which may be a password", () => {
  test.each<[string, Record<string, unknown>, string]>([
    ["a slip", aa({ shardCont: 8 }), "shardCont: unknown key; did you mean shardCount?"],
    ["another case", aa({ ShardCount: 8 }), "ShardCount: unknown key; did you mean shardCount?"],
    ["snake case", aa({ bind_address: "::" }), "bind_address: unknown key; did you mean bindAddress?"],
    ["a nested slip", ap({ limits: { worker: { cpu: 1 } } }), "limits.worker.cpu: unknown key; did you mean limits.worker.cpus?"],
    ["a slip in a cluster", aa({ clusters: { b: { prot: 9000 } } }), "clusters.b.prot: unknown key; did you mean clusters.b.port?"],
    ["the other topology's", aa({ coordinators: 2 }), "coordinators: unknown key in active-active; it belongs to active-passive"],
    ["the other topology's, nested", aa({ images: { etcd: "etcd:1" } }), "images.etcd: unknown key in active-active; it belongs to active-passive"],
    ["the other topology's clusters", ap({ clusters: { a: {} } }), "clusters: unknown key in active-passive; it belongs to active-active"],
    ["nothing like a key", aa({ limits: { proxy: {} } }), "limits.proxy: unknown key; keys of limits are coordinator, worker"],
    ["a path without --path", aa({ "clusters.c.workers": 4 }), "clusters.c.workers: unknown key; to set a key in clusters: pulumi config rm 'clusters.c.workers', then pulumi config set --path 'clusters.c.workers' …"],
    ["a misspelt password", ap({ superuserPasswort: "hunter2" }), "superuserPasswort: unknown key; did you mean superuserPassword?"],
    ["an object's own property", aa({ constructor: 1 }), "constructor: unknown key; keys are"],
  ])("%s", (_, input, line) => {
    const lines = problemLines(input);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(line);
    expect(lines[0]).not.toContain("hunter2");
  });

  test("the keys of the whole are all of them", () => {
    const [line = ""] = problemLines(aa({ colour: "red" }));
    expect(line.split(" are ")[1]?.split(", ")).toEqual(Object.keys(settingsSchemas["active-active"].shape));
  });
});

describe("secrets are never printed", () => {
  test.each<[string, Record<string, unknown>, string[], string]>([
    ["an empty password", ap({ superuserPassword: "" }), [], "superuserPassword: must not be empty; remove it to have one generated"],
    ["a password of another type", ap({ rewindPassword: 4711 }), [], "rewindPassword: must be a text"],
    ["a value that the user encrypted", ap({ scope: "Hunter 2" }), ["scope"], "scope: must be at most 32 lower-case letters, digits and -, beginning with a letter"],
    ["a nested value that the user encrypted", aa({ parameters: { ["Work.mem.x"]: "hunter2", work_mem: ["hunter2"] } }), ["parameters"], "parameters.work_mem: must be a text"],
  ])("%s", (_, input, secretKeys, line) => {
    const text = problemLines(input, secretKeys).join("\n");
    expect(text).toContain(line);
    expect(text).not.toMatch(/hunter|4711| = /i);
  });

  test("a password is not among the settings", () => {
    const { settings, passwords } = parseSettings(ap({ superuserPassword: "s3cret", replicationPassword: "r" }));
    expect(passwords).toEqual({ superuserPassword: "s3cret", replicationPassword: "r" });
    expect(JSON.stringify(settings)).not.toMatch(/s3cret|Password/);
  });
});

test.each<[string, Record<string, unknown>]>([
  ["the least memory", aa({ limits: { worker: { memory: "6 MB" } } })],
  ["a hundredth of a processor", aa({ limits: { worker: { cpus: 0.01 } } })],
  ["the last ports", aa({ clusters: { a: { port: 65532 } } })],
  ["the first port", ap({ ports: { leader: 1 } })],
  ["as many replicas as workers", ap({ replicationFactor: 3 })],
  ["1 etcd member and 1 coordinator", ap({ etcdMembers: 1, coordinators: 1 })],
  ["9 etcd members and 9 coordinators", ap({ etcdMembers: 9, coordinators: 9 })],
  ["64 workers and 64000 shards", ap({ workers: 64, shardCount: 64000 })],
  ["1 shard", ap({ shardCount: 1 })],
  ["workers with names of 2 and 40 letters", ap({ workers: ["w1", "w".repeat(40)] })],
  ["a worker named as a coordinator that is not there", ap({ workers: ["coord-4", "coord_a"] })],
  ["a cluster's name of 16 letters", aa({ clusters: { a12345678901234b: {} } })],
  ["PostgreSQL's major beside an image that does not tell it", aa({ images: { citus: "registry.test/ours:2026" }, postgresMajor: 17 })],
  ["PostgreSQL's major as the image tells it", aa({ postgresMajor: 17 })],
  ["kept data with passwords", aa({ dataOnDestroy: "keep", superuserPassword: "x" })],
  ["kept data with all passwords", ap({ dataOnDestroy: "keep", superuserPassword: "x", replicationPassword: "y", rewindPassword: "z" })],
  ["no fsync that every role has otherwise", aa({ parameters: { fsync: "off" }, coordinatorParameters: { fsync: "on" }, workerParameters: { fsync: "on" } })],
  ["no fsync without the fence", aa({ tenantFence: false, parameters: { fsync: "off" } })],
  ["no fsync without tenants", aa({ schema: { tables: {} }, parameters: { fsync: "off" } })],
  ["commits that do not wait, which a move does not go by", aa({ parameters: { synchronous_commit: "off", fsync: "on" } })],
  ["no fsync where one cluster has all tenants", ap({ parameters: { fsync: "off" } })],
  ["an address over IPv6", ap({ bindAddress: "::1" })],
])("%s is right", (_, input) => {
  expect(problemLines(input)).toEqual([]);
});

describe("defaults", () => {
  test("active-active", () => {
    expect(parseSettings(aa({})).settings).toEqual({
      topology: "active-active",
      clusters: { a: { workers: 3, weight: 1 }, b: { workers: 3, weight: 1 } },
      replicationFactor: 2,
      guardPatience: "30 s",
      tenantFence: true,
      guard: true,
      keeper: true,
      dockerSocket: "/var/run/docker.sock",
      images: { citus: "citusdata/citus:13.2.0", holder: "debian:trixie-slim", haproxy: "haproxy:3.0.11", node: "node:20-trixie-slim" },
      limits: { coordinator: {}, worker: {} },
      prefix: "",
      bindAddress: "127.0.0.1",
      shardCount: 32,
      preloadLibraries: [],
      parameters: {},
      coordinatorParameters: {},
      workerParameters: {},
      schema: { file: "assets/sql/schema.sql", tables: { rooms: "room_id", room_members: "room_id", messages: "room_id" }, rowSecurity: false },
      objectives: {},
      dataOnDestroy: "drop",
    });
  });

  test("active-passive", () => {
    const { settings } = parseSettings(ap({}));
    expect(settings).toMatchObject({
      topology: "active-passive",
      scope: "citusap",
      coordinators: 3,
      etcdMembers: 3,
      fencer: true,
      workers: 3,
      replicationFactor: 2,
      standbyLag: "16 MB",
      guardPatience: "30 s",
      pooler: false,
      ports: { leader: 5000, standbys: 5001, statistics: 7000, nodes: 5002, pooler: 6432 },
      images: { citus: "citusdata/citus:13.2.0", holder: "debian:trixie-slim", node: "node:20-trixie-slim", etcd: "quay.io/coreos/etcd:v3.5.16", haproxy: "haproxy:3.0.11" },
      limits: { coordinator: {}, worker: {}, etcd: {}, haproxy: {}, pooler: {} },
    });
  });

  test.each<[unknown, number]>([
    [undefined, 2],
    [5, 2],
    [["one", "two"], 2],
    [1, 1],
    [["one"], 1],
    [{ members: 3 }, 1],
    [{ groups: 2, members: 2 }, 1],
  ])("active-passive with workers set to %j has %i placements of each shard unless they are set", (workers, replicationFactor) => {
    expect(parseSettings(ap({ workers })).settings).toMatchObject({ replicationFactor });
    expect(parseSettings(ap({ workers, replicationFactor: 1 })).settings).toMatchObject({ replicationFactor: 1 });
  });

  test.each([
    [undefined, false],
    [false, false],
    [true, { poolSize: 20, maxClientConnections: 1000 }],
    [{}, { poolSize: 20, maxClientConnections: 1000 }],
    [{ poolSize: 50 }, { poolSize: 50, maxClientConnections: 1000 }],
  ])("a pooler set to %j is %j", (pooler, parsed) => {
    expect(parseSettings(ap({ pooler })).settings).toMatchObject({ pooler: parsed });
  });

  test("without a pooler its port and its name are free", () => {
    expect(() => parseSettings(ap({ ports: { leader: 6432 }, workers: ["pooler"] }))).not.toThrow();
  });

  test("what is set leaves the defaults beside it", () => {
    const { settings } = parseSettings(ap({ ports: { leader: 15000 }, schema: { file: "ours.sql" } }));
    expect(settings).toMatchObject({
      ports: { leader: 15000, standbys: 5001, statistics: 7000 },
      schema: { file: "ours.sql", tables: { rooms: "room_id" } },
    });
  });

  test("parameters become texts as PostgreSQL writes them", () => {
    const { settings } = parseSettings(aa({ parameters: { jit: false, autovacuum: true, max_connections: 200, random_page_cost: 1.1, work_mem: "8MB" } }));
    expect(settings.parameters).toEqual({ jit: "off", autovacuum: "on", max_connections: "200", random_page_cost: "1.1", work_mem: "8MB" });
  });
});

/** Texts are what Pulumi 3.250 put into PULUMI_CONFIG after the command that names each case. */
describe("configuration as Pulumi hands it over", () => {
  test.each<[string, Topology, Record<string, string>, Record<string, unknown>]>([
    ["config set shardCount 64; up -c shardCount=64; shardCount: 64 in the file", "active-active", { shardCount: "64" }, { shardCount: 64 }],
    ["config set shardCount 3.5", "active-active", { shardCount: "3.5" }, { shardCount: 3.5 }],
    ["config set shardCount many", "active-active", { shardCount: "many" }, { shardCount: "many" }],
    ["shardCount: without a value in the file", "active-active", { shardCount: "" }, { shardCount: "" }],
    ["config set --path clusters.b.workers 4", "active-active", { clusters: '{"b":{"workers":4}}' }, { clusters: { b: { workers: 4 } } }],
    ["config set --path clusters.c.port 9000", "active-active", { clusters: '{"c":{"port":9000}}' }, { clusters: { c: { port: 9000 } } }],
    ["config set --path clusters.c {}", "active-active", { clusters: '{"c":"{}"}' }, { clusters: { c: {} } }],
    ["c: without a value in the file", "active-active", { clusters: '{"c":null}' }, { clusters: { c: null } }],
    ["config set --path 'clusters.d.workers[0]' w1", "active-active", { clusters: '{"d":{"workers":["w1"]}}' }, { clusters: { d: { workers: ["w1"] } } }],
    ["config set --path clusters.b.workers '[\"x\",\"y\"]'", "active-active", { clusters: '{"b":{"workers":"[\\"x\\",\\"y\\"]"}}' }, { clusters: { b: { workers: ["x", "y"] } } }],
    ["config set --path clusters.c.workers 3.5", "active-active", { clusters: '{"c":{"workers":"3.5"}}' }, { clusters: { c: { workers: 3.5 } } }],
    ["config set --path --secret clusters.a.workers 99", "active-active", { clusters: '{"a":{"workers":"99"}}' }, { clusters: { a: { workers: 99 } } }],
    ["config set --path limits.worker.cpus 1.5", "active-active", { limits: '{"worker":{"cpus":"1.5"}}' }, { limits: { worker: { cpus: 1.5 } } }],
    ["config set --path images.citus citusdata/citus:13.2.0", "active-active", { images: '{"citus":"citusdata/citus:13.2.0"}' }, { images: { citus: "citusdata/citus:13.2.0" } }],
    ["config set clusters '{\"a\":{}}'", "active-active", { clusters: '{"a":{}}' }, { clusters: { a: {} } }],
    ["config set pooler true", "active-passive", { pooler: "true" }, { pooler: true }],
    ["config set --path pooler.poolSize 50", "active-passive", { pooler: '{"poolSize":"50"}' }, { pooler: { poolSize: 50 } }],
    ["config set workers '[\"x\"]'", "active-passive", { workers: '["x"]' }, { workers: ["x"] }],
    ["parameters stay as they were written", "active-active", { parameters: '{"jit":"off","max_connections":200,"random_page_cost":"1.1","autovacuum":true}' }, { parameters: { jit: "off", max_connections: 200, random_page_cost: "1.1", autovacuum: true } }],
    ["config set --path objectives.rto '1 s'; --path objectives.rpo 0", "active-passive", { objectives: '{"rpo":0,"rto":"1 s"}' }, { objectives: { rto: "1 s", rpo: 0 } }],
    ["a password of digits is a text", "active-passive", { superuserPassword: "0012345", rewindPassword: "true" }, { superuserPassword: "0012345", rewindPassword: "true" }],
    ["texts that look like something else", "active-passive", { prefix: "123", scope: "null" }, { prefix: "123", scope: "null" }],
    ["an unknown key is a text", "active-active", { colour: "1" }, { colour: "1" }],
    ["an object that is broken is a text", "active-active", { clusters: '{"a":' }, { clusters: '{"a":' }],
  ])("%s", (_, topology, texts, decoded) => {
    const config = Object.fromEntries(Object.entries({ topology, ...texts }).map(([key, text]) => [`citus-sharding:${key}`, text]));
    expect(decodeConfig(config, "citus-sharding")).toEqual({ topology, ...decoded });
  });

  test("keys of other namespaces are left out", () => {
    expect(decodeConfig({ "citus-sharding:topology": "active-active", "docker:host": "tcp://x", "citus-shardings:a": "1" }, "citus-sharding")).toEqual({ topology: "active-active" });
  });

  test("without a topology everything stays a text", () => {
    expect(decodeConfig({ "p:shardCount": "4" }, "p")).toEqual({ shardCount: "4" });
  });

  test("a text that was handed over comes out as the setting", () => {
    const config = { "p:topology": "active-active", "p:clusters": '{"a":"{}","b":{"workers":"4","port":9000}}', "p:shardCount": "16", "p:limits": '{"worker":{"cpus":"0.5"}}' };
    const { settings } = parseSettings(decodeConfig(config, "p"));
    expect(settings).toMatchObject({ clusters: { a: { workers: 3 }, b: { workers: 4, port: 9000 } }, shardCount: 16, limits: { worker: { cpus: 0.5 } } });
  });
});

describe("whatever comes in", () => {
  const topology = fc.constantFrom<Topology>("active-active", "active-passive");
  const keys = Object.values(settingsSchemas).flatMap(({ shape }) => Object.keys(shape)).filter((key) => key !== "topology");
  const key = fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...keys) }, fc.string());
  const scalar = fc.oneof(fc.string(), fc.integer(), fc.double(), fc.boolean(), fc.constant(null));
  const word = fc.oneof(fc.constantFrom("a", "b", "workers", "port", "citus", "worker", "memory", "cpus", "leader", "file", "tables", "work_mem", "__proto__", "constructor"), fc.string());
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof({ maxDepth: 4 }, scalar, fc.array(tie("value"), { maxLength: 3 }), fc.dictionary(word, tie("value"), { maxKeys: 3 })),
  }));

  test("settings come out, or an error that names at least one key that went in", () => {
    fc.assert(
      fc.property(topology, fc.dictionary(key, value, { maxKeys: 4 }), (name, input) => {
        try {
          expect(parseSettings({ ...input, topology: name }).settings.topology).toBe(name);
        } catch (error) {
          if (!(error instanceof SettingsError)) throw error;
          expect(error.problems.length).toBeGreaterThan(0);
          for (const problem of error.problems) expect(problem.message).toMatch(/^(must |unknown key|needs |is |has |does not fit|.* needs port |"latest" )/);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("decoding never fails, and texts of text settings stay", () => {
    fc.assert(
      fc.property(topology, fc.dictionary(key, fc.oneof(fc.string(), fc.json()), { maxKeys: 4 }), fc.string(), (name, texts, password) => {
        const config = Object.fromEntries(Object.entries({ ...texts, topology: name, superuserPassword: password }).map(([own, text]) => [`p:${own}`, text]));
        expect(decodeConfig(config, "p")).toMatchObject({ topology: name, superuserPassword: password });
      }),
    );
  });
});
