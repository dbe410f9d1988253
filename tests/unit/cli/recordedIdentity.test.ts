import { expect, test } from "vitest";
import { recordedIdentity, recordedVolumes } from "../../../cli/recordedIdentity";

const urn = (path: string, name: string): string => `urn:pulumi:s::citus-sharding::${path}::${name}`;
const volume = (parent: string, name: string) => ({ type: "docker:index/volume:Volume", urn: urn("docker:index/volume:Volume", name), inputs: { name }, parent });
const activeActive = [
  { type: "citus:index:ActiveActive", urn: urn("citus:index:ActiveActive", "active-active") },
  { type: "docker:index/network:Network", urn: urn("x", "network"), inputs: { name: "p1-citus-active-active" } },
  { type: "citus:index:CitusCluster", urn: urn("citus:index:ActiveActive$citus:index:CitusCluster", "a") },
  volume(urn("citus:index:ActiveActive$citus:index:CitusCluster", "a"), "p1-coord_a-data"),
  volume(urn("citus:index:ActiveActive$citus:index:CitusCluster", "a"), "p1-w9-data"),
  { type: "command:local:Command", urn: urn("citus:index:ActiveActive$command:local:Command", "superuser-password") },
];
const volumes = [
  { name: "p1-coord_a-data", container: "p1-coord_a", role: "coordinator", cluster: "a" },
  { name: "p1-w9-data", container: "p1-w9", role: "worker", cluster: "a" },
];

test("what an older version of the project made tells what it is by its resources", () => {
  expect(recordedIdentity(activeActive)).toEqual({ identity: { topology: "active-active", prefix: "p1-", clusters: ["a"], postgresMajor: 0, passwords: [], volumes } });
  const activePassive = [
    { type: "citus:index:ActivePassive", urn: urn("citus:index:ActivePassive", "active-passive") },
    { type: "docker:index/network:Network", urn: urn("x", "network"), inputs: { name: "citus-active-passive" } },
    { type: "citus:index:CitusCluster", urn: urn("citus:index:ActivePassive$citus:index:CitusCluster", "mine") },
    volume(urn("citus:index:ActivePassive$citus:index:EtcdCluster", "etcd"), "etcd-1-data"),
    volume(urn("citus:index:ActivePassive$citus:index:PatroniGroup", "coord"), "coord-1-data"),
    volume(urn("citus:index:ActivePassive$citus:index:PatroniGroup", "worker1"), "worker1-2-data"),
    { type: "command:local:Command", urn: urn("citus:index:ActivePassive$citus:index:PatroniGroup$command:local:Command", "coord-rewind-password") },
  ];
  expect(recordedIdentity(activePassive)).toMatchObject({ identity: { topology: "active-passive", prefix: "", scope: "mine", clusters: [], passwords: ["superuserPassword", "replicationPassword"] } });
  expect(recordedVolumes(activePassive).map(({ name, role }) => [name, role])).toEqual([["etcd-1-data", "etcd"], ["coord-1-data", "coordinator"], ["worker1-2-data", "worker"]]);
});

test("what the last update wrote down goes before", () => {
  const identity = { topology: "active-active", prefix: "p1-", clusters: ["a"], postgresMajor: 17, passwords: [], volumes };
  const recorded = { identity, passwords: { superuserPassword: "salt:hash" } };
  const stdout = { "4dabf18193072939515e22adb298388d": "1b47", plaintext: JSON.stringify(JSON.stringify(recorded)) };
  expect(recordedIdentity([...activeActive, { type: "command:local:Command", urn: urn("citus:index:ActiveActive$command:local:Command", "identity"), outputs: { stdout } }])).toEqual(recorded);
});

test("a stack that was never up has none", () => {
  expect(recordedIdentity([])).toBeUndefined();
});
