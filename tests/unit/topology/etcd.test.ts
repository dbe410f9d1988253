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

  test("names every member in every member's initial cluster", () => {
    const initialCluster = "etcd-1=http://etcd-1:2380,etcd-2=http://etcd-2:2380,etcd-3=http://etcd-3:2380";
    for (const { name, command, environment } of plan.members) {
      expect(command).toEqual(["/usr/local/bin/etcd"]);
      expect(environment).toMatchObject({
        ETCD_NAME: name,
        ETCD_INITIAL_CLUSTER: initialCluster,
        ETCD_INITIAL_CLUSTER_TOKEN: "etcd",
        ETCD_INITIAL_ADVERTISE_PEER_URLS: `http://${name}:2380`,
        ETCD_ADVERTISE_CLIENT_URLS: `http://${name}:2379`,
        ETCD_LISTEN_CLIENT_URLS: "http://0.0.0.0:2379",
        ETCD_LISTEN_PEER_URLS: "http://0.0.0.0:2380",
        ETCD_DATA_DIR: "/var/lib/etcd/data",
        ETCD_INITIAL_CLUSTER_STATE: "new",
        ETCD_AUTO_COMPACTION_MODE: "periodic",
        ETCD_AUTO_COMPACTION_RETENTION: "1h",
      });
    }
  });

  test("checks its health without a shell and stops by SIGTERM", () => {
    for (const { healthCheck, stopSignal, stopGraceSeconds } of plan.members) {
      expect(healthCheck).toEqual({ command: ["etcdctl", "endpoint", "health"], intervalSeconds: 10, timeoutSeconds: 5, retries: 3, startPeriodSeconds: 10 });
      expect([stopSignal, stopGraceSeconds]).toEqual(["SIGTERM", 10]);
    }
  });

  test("is set up to be the members of the plan", () => {
    expect(plan.setup).toEqual({
      kind: "etcd",
      members: ["etcd-1", "etcd-2", "etcd-3"].map((name) => ({ name, peerUrl: `http://${name}:2380` })),
      timeoutSeconds: 120,
    });
  });

  test("that grows leaves the containers of its members alone", () => {
    const grown = planEtcd("etcd", { members: 5 });
    const lasting = (member: (typeof plan.members)[number]): unknown => ({
      ...member,
      environment: Object.entries(member.environment).filter(([name]) => member.firstBootVariables?.includes(name) !== true),
    });
    expect(grown.members.slice(0, 3).map(lasting)).toEqual(plan.members.map(lasting));
    expect(grown.members[0]?.environment["ETCD_INITIAL_CLUSTER"]?.split(",")).toHaveLength(5);
  });

  test("with a prefix has it in names, addresses and its token", () => {
    const { members, hosts, setup } = planEtcd("etcd", { members: 1, prefix: "test-", limits: { memory: "256 MB" } });
    expect(members[0]).toMatchObject({
      name: "test-etcd-1",
      volume: { name: "test-etcd-1-data" },
      environment: { ETCD_INITIAL_CLUSTER: "test-etcd-1=http://test-etcd-1:2380", ETCD_INITIAL_CLUSTER_TOKEN: "test-etcd" },
      limits: { memory: "256 MB" },
    });
    expect([hosts, setup.members.map(({ name }) => name)]).toEqual([["test-etcd-1:2379"], ["test-etcd-1"]]);
  });

  test.each([0, 2, 4, -1])("of %d members is refused", (members) => {
    expect(() => planEtcd("store", { members })).toThrow(`EtcdCluster store: members is ${members}; it must be odd`);
  });
});
