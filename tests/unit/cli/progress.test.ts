import { describe, expect, test } from "vitest";
import { Progress } from "../../../cli/progress";
import type { EngineEvent } from "../../../cli/pulumi";

const URN = "urn:pulumi:s::citus-sharding::citus:index:ActiveActive$citus:index:CitusCluster$";
const CONTAINER = "docker:index/container:Container";

function step(kind: "resourcePreEvent" | "resOutputsEvent", op: string, type: string, resource: string, name?: string): EngineEvent {
  const inputs = { inputs: name === undefined ? {} : { name } };
  return { [kind]: { metadata: { op, type, urn: `${URN}${type}::${resource}`, ...(op === "delete" ? { old: inputs } : { new: inputs }) } } };
}

function lines(...events: readonly EngineEvent[]): string[] {
  const progress = new Progress();
  return events.flatMap((event) => progress.accept(event).lines);
}

describe("the lines of an update", () => {
  test.each<[string, string, string, string, string[]]>([
    ["create", CONTAINER, "a-worker_a1", "worker_a1", ["created worker_a1"]],
    ["update", CONTAINER, "a-worker_a1", "worker_a1", ["changed worker_a1"]],
    ["create-replacement", CONTAINER, "a-worker_a1", "worker_a1", ["replaced worker_a1"]],
    ["delete", CONTAINER, "a-worker_a1", "worker_a1", ["removed worker_a1"]],
    ["same", CONTAINER, "a-worker_a1", "worker_a1", []],
    ["refresh", CONTAINER, "a-worker_a1", "worker_a1", []],
    ["delete-replaced", CONTAINER, "a-worker_a1", "worker_a1", []],
    ["create", CONTAINER, "a-worker_a1-holder", "worker_a1-holder", []],
    ["create", "docker:index/network:Network", "network", "citus-active-active", ["created network citus-active-active"]],
    ["create", "docker:index/volume:Volume", "a-worker_a1-data", "worker_a1-data", []],
    ["create", "command:local:Command", "superuser-password", "", []],
  ])("%s of %s %s", (op, type, resource, name, expected) => {
    expect(lines(step("resOutputsEvent", op, type, resource, name))).toEqual(expected);
  });

  test("what a set-up prints comes with the name of what it sets up", () => {
    const urn = `${URN}command:local:Command::a-setup`;
    expect(lines({ diagnosticEvent: { urn, severity: "info", message: "worker_a1: registered\nschema: applied\n" } })).toEqual(["a | worker_a1: registered", "a | schema: applied"]);
  });

  test("Pulumi's debugging, which holds secrets, is never a line, a warning or an error", () => {
    const progress = new Progress();
    const event = { diagnosticEvent: { severity: "debug", message: "RegisterResource RPC finished: stdout,hunter2", urn: `${URN}command:local:Command::a-setup` } };
    expect(progress.accept(event)).toEqual({ lines: [], warnings: [] });
    expect(progress.errors).toEqual([]);
  });

  test("a warning is told once", () => {
    const progress = new Progress();
    const event = { diagnosticEvent: { severity: "warning", message: "shardCount: too few\n" } };
    expect([progress.accept(event).warnings, progress.accept(event).warnings]).toEqual([["shardCount: too few"], []]);
  });
});

describe("what is being done", () => {
  test("is grouped, without holders, and ends with each step", () => {
    const progress = new Progress();
    for (const name of ["worker_a1", "worker_a2"]) progress.accept(step("resourcePreEvent", "create", CONTAINER, `a-${name}`, name));
    progress.accept(step("resourcePreEvent", "create", CONTAINER, "a-worker_a1-holder", "worker_a1-holder"));
    progress.accept(step("resourcePreEvent", "update", "command:local:Command", "a-setup"));
    expect(progress.activity).toBe("creating worker_a1, worker_a2; running set-up of a");
    progress.accept(step("resOutputsEvent", "create", CONTAINER, "a-worker_a1", "worker_a1"));
    progress.accept({ resOpFailedEvent: { metadata: { op: "update", type: "command:local:Command", urn: `${URN}command:local:Command::a-setup` } } });
    expect(progress.activity).toBe("creating worker_a2");
  });
});

test("errors keep what they happened to", () => {
  const progress = new Progress();
  progress.accept({ diagnosticEvent: { severity: "error", message: "exit status 1: running x", urn: `${URN}command:local:Command::a-setup` } });
  progress.accept({ diagnosticEvent: { severity: "error", message: "update failed" } });
  expect(progress.errors).toEqual([{ subject: "set-up of a", message: "exit status 1: running x" }, { message: "update failed" }]);
});

test.each<[Record<string, number>, boolean]>([
  [{ same: 30 }, false],
  [{ same: 30, update: 0 }, false],
  [{ same: 30, update: 1 }, true],
  [{ delete: 2 }, true],
])("changes %j are a change: %s", (resourceChanges, changed) => {
  const progress = new Progress();
  progress.accept({ summaryEvent: { resourceChanges } });
  expect(progress.changed).toBe(changed);
});
