import { expect, test } from "vitest";
import { parseSettings } from "../../../config/parse";
import { heldContainers, identityOf } from "../../../topology/identity";

test("the identity of an active-active stack has every volume with its cluster", () => {
  const { settings } = parseSettings({ topology: "active-active", prefix: "t-", replicationFactor: 1, clusters: { a: { workers: 1 }, b: { workers: ["w9"] } } });
  expect(identityOf(settings, [])).toEqual({
    topology: "active-active",
    prefix: "t-",
    clusters: ["a", "b"],
    postgresMajor: 17,
    passwords: [],
    volumes: [
      { name: "t-coord_a-data", container: "t-coord_a", role: "coordinator", cluster: "a" },
      { name: "t-worker_a1-data", container: "t-worker_a1", role: "worker", cluster: "a" },
      { name: "t-coord_b-data", container: "t-coord_b", role: "coordinator", cluster: "b" },
      { name: "t-w9-data", container: "t-w9", role: "worker", cluster: "b" },
    ],
  });
});

test("the identity of an active-passive stack has its scope, the major that is set, and which passwords were given", () => {
  const { settings } = parseSettings({ topology: "active-passive", coordinators: 1, etcdMembers: 1, workers: 1, scope: "mine", postgresMajor: 16, images: { citus: "ours/db:1.0" } });
  expect(identityOf(settings, ["superuserPassword", "rewindPassword"])).toEqual({
    topology: "active-passive",
    prefix: "",
    scope: "mine",
    clusters: [],
    postgresMajor: 16,
    passwords: ["rewindPassword", "superuserPassword"],
    volumes: [
      { name: "etcd-1-data", container: "etcd-1", role: "etcd" },
      { name: "coord-1-data", container: "coord-1", role: "coordinator" },
      { name: "worker1-data", container: "worker1", role: "worker" },
    ],
  });
  expect(heldContainers(settings)).toEqual(["coord-1", "worker1", "haproxy"]);
});
