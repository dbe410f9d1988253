import { describe, expect, test } from "vitest";
import { planEtcd } from "../../../topology/etcd";

describe("an etcd cluster", () => {
  const plan = planEtcd("etcd");

  test("has three members with volumes of their own and no port on the machine", () => {
    expect(plan.members.map(({ name, role, held, volume, ports, limits }) => ({ name, role, held, volume, ports, limits }))).toEqual(
      ["etcd-1", "etcd-2", "etcd-3"].map((name) => ({ name, role: "etcd", held: false, volume: { name: `${name}-data`, path: "/var/lib/etcd" }, ports: [], limits: {} })),
    );
    expect(plan.hosts).toEqual(["etcd-1:2379", "etcd-2:2379", "etcd-3:2379"]);
  });

  test("has members that cannot begin before the set-up has written their configuration into their volume", () => {
    for (const { command, environment, files } of plan.members) {
      expect(command).toEqual(["/usr/local/bin/etcd", "--config-file", "/var/lib/etcd/etcd.json"]);
      expect([environment, files]).toEqual([{}, []]);
    }
  });

  test("checks its health without a shell and stops by SIGTERM", () => {
    for (const { healthCheck, stopSignal, stopGraceSeconds } of plan.members) {
      expect(healthCheck).toEqual({ command: ["etcdctl", "endpoint", "health"], intervalSeconds: 10, timeoutSeconds: 5, retries: 3, startPeriodSeconds: 10 });
      expect([stopSignal, stopGraceSeconds]).toEqual(["SIGTERM", 3]);
    }
  });

  test("is set up to be the members of the plan, each with its configuration", () => {
    expect(plan.setup).toEqual({
      kind: "etcd",
      cluster: "etcd",
      members: ["etcd-1", "etcd-2", "etcd-3"].map((name) => ({
        name,
        peerUrl: `http://${name}:2380`,
        configuration: {
          name,
          "listen-client-urls": "http://0.0.0.0:2379",
          "advertise-client-urls": `http://${name}:2379`,
          "listen-peer-urls": "http://0.0.0.0:2380",
          "initial-advertise-peer-urls": `http://${name}:2380`,
          "initial-cluster-token": "etcd",
          "auto-compaction-mode": "periodic",
          "auto-compaction-retention": "1h",
          "enable-grpc-gateway": true,
          "log-level": "warn",
        },
      })),
      timeoutSeconds: 120,
    });
  });

  test("that grows leaves the containers and configurations of its members alone", () => {
    const grown = planEtcd("etcd", { members: 5 });
    expect(grown.members.slice(0, 3)).toEqual(plan.members);
    expect(grown.setup.members.slice(0, 3)).toEqual(plan.setup.members);
  });

  test("with a prefix has it in names, addresses and its token", () => {
    const { members, hosts, setup } = planEtcd("etcd", { members: 1, prefix: "test-", limits: { memory: "256 MB" } });
    expect(members[0]).toMatchObject({
      name: "test-etcd-1",
      volume: { name: "test-etcd-1-data" },
      limits: { memory: "256 MB" },
    });
    expect([hosts, setup.cluster]).toEqual([["test-etcd-1:2379"], "test-etcd"]);
    expect(setup.members).toMatchObject([{ name: "test-etcd-1", peerUrl: "http://test-etcd-1:2380", configuration: { "initial-cluster-token": "test-etcd" } }]);
  });

  test.each([0, 2, 4, -1])("of %d members is refused", (members) => {
    expect(() => planEtcd("store", { members })).toThrow(`EtcdCluster store: members is ${members}; it must be odd`);
  });
});
