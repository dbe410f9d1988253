import { expect, test } from "vitest";
import { lossSentence, ownersOf, type KnownVolumes, type Losses, type Owner } from "../../../cli/losses";
import type { DataVolume } from "../../../topology/identity";

const table = (name: string, estimatedRows: number, bytes: number) => ({ name, filled: true, estimatedRows, bytes });
const none = { volumes: [], bytes: 0 };
const volume = (container: string, role: DataVolume["role"], cluster?: string): DataVolume => ({ name: `${container}-data`, container, role, ...(cluster !== undefined && { cluster }) });

test.each<[string, Losses, string | undefined]>([
  ["nothing", { clusters: [], databases: none }, undefined],
  ["no table with rows", { clusters: [{ cluster: "a", tables: [] }], databases: none }, undefined],
  ["a cluster that tells", { clusters: [{ cluster: "citusap", tables: [table("public.messages", 1, 4096), table("public.rooms", 200, 4096)] }], databases: none }, "public.messages (about 1 row) and public.rooms (about 200 rows), 8 kB in all"],
  [
    "a database of the user's beside tables",
    { clusters: [{ cluster: "citusap", tables: [table("public.notes", 3, 4096), { name: "database ledger", filled: true, bytes: 4096 }] }], databases: none },
    "public.notes (about 3 rows) and database ledger, 8 kB in all",
  ],
  [
    "one that tells and one that does not",
    { clusters: [{ cluster: "a", tables: [table("public.rooms", 2, 1024)] }, { cluster: "b", tables: undefined }], databases: { volumes: ["coord_b-data"], bytes: 3 * 1024 ** 2 } },
    "in a public.rooms (about 2 rows), 1 kB in all; 3.0 MB in coord_b-data, which no coordinator tells about",
  ],
  [
    "an empty cluster, and one that the configuration has no more",
    { clusters: [{ cluster: "a", tables: [] }, { cluster: "b", tables: [table("public.rooms", 5, 1024)] }], databases: none },
    "in b public.rooms (about 5 rows), 1 kB in all",
  ],
  ["one that does not tell, and has no database yet", { clusters: [{ cluster: "a", tables: undefined }], databases: none }, undefined],
])("what goes: %s", (_, losses, sentence) => {
  expect(lossSentence(losses)).toBe(sentence);
});

const a = { volumes: [volume("coord_a", "coordinator", "a"), volume("worker_a1", "worker", "a")] };
const both = { volumes: [...a.volumes, volume("coord_b", "coordinator", "b"), volume("w9", "worker", "b")] };
const passive = (coordinators: number): KnownVolumes => ({ scope: "citusap", volumes: [volume("etcd-1", "etcd"), ...Array.from({ length: coordinators }, (_, index) => volume(`coord-${index + 1}`, "coordinator")), volume("worker1", "worker")] });
const ownerA: Owner = { cluster: "a", coordinators: ["coord_a"], volumes: ["coord_a-data", "worker_a1-data"] };

test.each<[string, string[], KnownVolumes[], Owner[]]>([
  ["of nothing", [], [both], []],
  ["a cluster that only the state has", ["coord_a-data", "worker_a1-data", "coord_b-data", "w9-data"], [both, a], [ownerA, { cluster: "b", coordinators: ["coord_b"], volumes: ["coord_b-data", "w9-data"] }]],
  ["only those that lose something", ["coord_a-data", "worker_a1-data"], [both], [ownerA]],
  ["a worker that the configuration gives to another cluster", ["w9-data"], [both, { volumes: [...a.volumes, volume("w9", "worker", "a")] }], [{ cluster: "b", coordinators: ["coord_b"], volumes: ["w9-data"] }]],
  ["a group that the configuration makes smaller", ["etcd-1-data", "coord-1-data", "coord-2-data", "worker1-data"], [passive(2), passive(1)], [{ cluster: "citusap", coordinators: ["coord-1", "coord-2"], volumes: ["coord-1-data", "coord-2-data", "worker1-data"] }]],
  [
    "clusters of one name and two prefixes",
    ["coord_a-data", "p-coord_a-data"],
    [a, { volumes: [volume("p-coord_a", "coordinator", "a")] }],
    [{ cluster: "a", coordinators: ["coord_a"], volumes: ["coord_a-data"] }, { cluster: "a", coordinators: ["p-coord_a"], volumes: ["p-coord_a-data"] }],
  ],
  ["none that has no coordinator to ask", ["w9-data"], [{ volumes: [volume("w9", "worker", "b")] }], []],
])("who is asked about volumes: %s", (_, volumes, known, owners) => {
  expect(ownersOf(volumes, known)).toEqual(owners);
});
