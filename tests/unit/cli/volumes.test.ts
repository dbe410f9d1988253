import { expect, test } from "vitest";
import { leftVolumes } from "../../../cli/volumes";
import type { DataVolume, StackIdentity } from "../../../topology/identity";

const volume = (container: string, role: DataVolume["role"], cluster?: string): DataVolume => ({ name: `${container}-data`, container, role, ...(cluster !== undefined && { cluster }) });
const identity = (more: Partial<StackIdentity>): StackIdentity => ({ topology: "active-active", prefix: "", clusters: ["a"], postgresMajor: 17, passwords: [], volumes: [], ...more });

test.each<[string, DataVolume[], StackIdentity, string[], string[]]>([
  ["nothing", [volume("worker_a1", "worker", "a")], identity({ volumes: [volume("worker_a1", "worker", "a")] }), [], []],
  ["a drained worker of a cluster that goes on", [volume("worker_a2", "worker", "a")], identity({}), ["worker_a2-data"], []],
  ["all of a cluster that was taken out", [volume("coord_b", "coordinator", "b"), volume("worker_b1", "worker", "b")], identity({}), [], ["coord_b-data", "worker_b1-data"]],
  ["standbys, etcd members and workers of active-passive", [volume("coord-3", "coordinator"), volume("etcd-3", "etcd"), volume("worker3", "worker")], identity({ topology: "active-passive", clusters: [] }), ["coord-3-data", "etcd-3-data", "worker3-data"], []],
])("an update leaves: %s", (_, before, now, spent, orphaned) => {
  expect(leftVolumes(before, now)).toEqual({ spent, orphaned });
});
