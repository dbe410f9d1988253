import { describe, expect, test } from "vitest";
import { conflictingName, updateFailure } from "../../../cli/updateFailure";

const again = "Mend that and run npm run up -- s again: it goes on where it ended.";

describe("the sentence for a failed update", () => {
  test.each<[string, { subject?: string; message: string }[], string]>([
    [
      "the set-up's own reason, without what it printed before",
      [{ subject: "set-up of a", message: 'exit status 1: running "node --import tsx setup/main.ts":\nworker_a1: registered\nworker_a2 does not answer. Start it\n' }],
      `set-up of a: worker_a2 does not answer. Start it. ${again}`,
    ],
    [
      "a port taken in the meantime",
      [{ subject: "haproxy", message: "Unable to start container: driver failed programming external connectivity on endpoint haproxy: Bind for 127.0.0.1:5000 failed: port is already allocated" }],
      "haproxy: port 5000 was taken by something else in the meantime. Stop that, or choose another port, and run npm run up -- s again.",
    ],
    [
      "a port taken by a process",
      [{ subject: "haproxy", message: "error starting userland proxy: listen tcp4 127.0.0.1:5001: bind: address already in use" }],
      "haproxy: port 5001 was taken by something else in the meantime. Stop that, or choose another port, and run npm run up -- s again.",
    ],
    [
      "a name taken",
      [{ subject: "worker1", message: 'Unable to create container: Conflict. The container name "/worker1" is already in use by container "abc".' }],
      "There is another container worker1. Give it another name (docker rename worker1 worker1-other) or remove it (docker rm -f worker1), and run npm run up -- s again.",
    ],
    ["the first error that says something", [{ message: "update failed" }, { subject: "worker1", message: "no space left on device" }], `worker1: no space left on device. ${again}`],
    [
      "an error of a resource before one of none, without the provider's own marks",
      [{ message: "sdk-v2/provider2.go:572: sdk.helper_schema: Unable to start: provider=docker@5.2.0" }, { subject: "worker1", message: "1 error occurred:\n\t* sdk-v2/provider2.go:572: sdk.helper_schema: Unable to start container: no: provider=docker@5.2.0\n\n" }],
      `worker1: Unable to start container: no. ${again}`,
    ],
    ["settings, which touched nothing", [{ message: "Pulumi.s.yaml cannot be used; nothing was touched.\n  workers = 0: must be at least 1" }], "Pulumi.s.yaml cannot be used; nothing was touched.\n  workers = 0: must be at least 1."],
    ["Docker gone", [{ subject: "worker1", message: "Cannot connect to the Docker daemon at unix:///var/run/docker.sock" }], "Docker has gone away. Start it and run npm run up -- s again: it goes on where it ended."],
    ["a crash of the program, without its stack trace", [{ message: "Running program '/p/index.ts' failed with an unhandled exception:\nError: boom\n    at Object.<anonymous> (/p/index.ts:1:7)" }], `Error: boom. ${again}`],
  ])("%s", (_, errors, sentence) => {
    expect(updateFailure("s", "up", errors, "")).toBe(sentence);
  });

  test("a provider plugin that cannot be had", () => {
    const sentence = updateFailure("s", "up", [{ message: "could not load plugin for docker provider 'urn:…': no resource plugin 'pulumi-resource-docker' found in the workspace at version v5.2.0" }], "");
    expect(sentence).toMatch(/^Pulumi could not get a provider plugin: .*pulumi-resource-docker.* check the network, and run npm run up -- s again\.$/);
  });

  test("without an error, what Pulumi printed last", () => {
    expect(updateFailure("s", "down", [], "one\nPulumi was ended from outside (SIGKILL)")).toBe("Pulumi was ended from outside (SIGKILL). Run npm run down -- s again: it goes on where it ended.");
  });
});

test("the name in Docker's conflict is found", () => {
  expect(conflictingName('The container name "/cl-worker_a1" is already in use by container')).toBe("cl-worker_a1");
  expect(conflictingName("no such container")).toBeUndefined();
});
