import { describe, expect, test } from "vitest";
import { stateFrom, stateProblem } from "../../../cli/state";

const container = (id: string, name: string) => ({ type: "docker:index/container:Container", id, inputs: { name } });

describe("an exported state", () => {
  const exported = JSON.stringify({
    version: 3,
    deployment: {
      resources: [
        { type: "pulumi:pulumi:Stack", outputs: { uris: { "4dabf18193072939515e22adb298388d": "1b47", plaintext: '{"leader":"postgresql://x"}' }, endpoints: { leader: "127.0.0.1:5000" } } },
        { type: "pulumi:providers:docker", id: "p" },
        container("c1", "worker1"),
        { type: "docker:index/network:Network", id: "n1" },
        { type: "docker:index/volume:Volume", id: "worker1-data" },
        { type: "docker:index/remoteImage:RemoteImage", id: "i1" },
      ],
      pending_operations: [
        { type: "creating", resource: { type: "docker:index/container:Container", inputs: { name: "worker2" } } },
        { type: "creating", resource: { type: "command:local:Command", inputs: { name: "no container" } } },
        { type: "deleting", resource: container("c1", "worker1") },
      ],
    },
  });

  test("tells what Docker should have, what a killed update was creating, and the outputs without their wrapping", () => {
    const state = stateFrom(exported);
    expect([...state.recorded]).toEqual([["c1", "container"], ["n1", "network"], ["worker1-data", "volume"]]);
    expect([...state.pendingCreates]).toEqual(["worker2"]);
    expect(state).toMatchObject({ pendingOperations: 3, resources: 6, outputs: { uris: { leader: "postgresql://x" }, endpoints: { leader: "127.0.0.1:5000" } } });
  });

  test("tells what the last update wrote down, and the hashes of the passwords that it knew", () => {
    const identity = { topology: "active-active", prefix: "", clusters: ["a"], postgresMajor: 17, passwords: [], volumes: [] };
    const stdout = JSON.stringify({ identity, passwords: { superuserPassword: "salt:hash" } });
    const resources = [{ type: "command:local:Command", urn: "urn:pulumi:s::citus-sharding::x::identity", outputs: { stdout } }];
    expect(stateFrom(JSON.stringify({ deployment: { resources } }))).toMatchObject({ identity, passwordHashes: { superuserPassword: "salt:hash" } });
  });

  test("of a stack that was only made is empty", () => {
    expect(stateFrom("{}")).toEqual({ recorded: new Map(), pendingCreates: new Set(), pendingOperations: 0, resources: 0, outputs: {}, volumes: [], deletesVolumes: false });
  });
});

test.each<[string, string, string]>([
  ["another passphrase", "error: failed to decrypt: incorrect passphrase, please set", "The passphrase in .pulumi/passphrase does not open the state or the secrets of s. Put the right file back; or give the stack up"],
  ["no passphrase", "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or", "set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE and run this command again"],
  ["a file cut short", "error: failed to load checkpoint: unexpected end of JSON input", "cp /b/.pulumi/stacks/citus-sharding/s.json.bak /b/.pulumi/stacks/citus-sharding/s.json"],
  ["no backend", "error: unable to open bucket file:///x: no such file", "Your Pulumi backend cannot be used: unable to open bucket file:///x: no such file."],
  ["something else", "warning: x\nerror: it is full", "Pulumi cannot read the state of s: it is full"],
])("a state that cannot be read because of %s has a way on", (_, stderr, core) => {
  expect(stateProblem("s", { own: true, directory: "/b", passphraseSource: ".pulumi/passphrase" }, stderr)).toContain(core);
});
