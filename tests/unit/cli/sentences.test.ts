import { expect, test } from "vitest";
import { medianOf } from "../../../cli/benchUp";
import { dockerProblem } from "../../../cli/docker";
import { pullProblem } from "../../../cli/images";
import { portsIn } from "../../../cli/live";
import { overlaps } from "../../../cli/ports";
import { duration, listed } from "../../../cli/print";
import { table } from "../../../cli/table";

test.each<[number, string]>([[840, "0.8 s"], [9949, "9.9 s"], [12_400, "12 s"], [125_000, "2 min 5 s"]])("%d ms read as %s", (milliseconds, text) => {
  expect(duration(milliseconds)).toBe(text);
});

test.each<[string[], string]>([[[], ""], [["a"], "a"], [["a", "b"], "a and b"], [["a", "b", "c"], "a, b and c"]])("%j reads as %s", (items, text) => {
  expect(listed(items)).toBe(text);
});

test("a table's columns are below one another, colours aside", () => {
  expect(table([["node", "role"], ["worker_a1", "worker"]], (cell, row) => (row === 0 ? `<${cell}>` : cell))).toEqual(["  <node     >  <role  >", "  worker_a1  worker"]);
});

test.each<[string, string[]]>([
  ["", []],
  ["2379/tcp, 2380/tcp", []],
  ["127.0.0.1:5000-5001->5000-5001/tcp, 127.0.0.1:7000->7000/tcp", ["127.0.0.1 5000", "127.0.0.1 5001", "127.0.0.1 7000"]],
  ["0.0.0.0:80->8080/tcp, :::80->8080/tcp", ["0.0.0.0 80", ":: 80"]],
  ["[::]:80->8080/tcp", [":: 80"]],
])("the ports in %j", (printed, ports) => {
  expect(portsIn(printed).map(({ ip, port }) => `${ip} ${port}`)).toEqual(ports);
});

test.each<[string, string, boolean]>([
  ["127.0.0.1", "127.0.0.1", true],
  ["0.0.0.0", "127.0.0.1", true],
  ["", "127.0.0.1", true],
  ["127.0.0.1", "::", true],
  ["127.0.0.1", "127.0.0.2", false],
])("a port on %j is taken on %j: %s", (one, other, taken) => {
  expect(overlaps(one, other)).toBe(taken);
});

test.each<[number[], number]>([[[3], 3], [[3, 1, 2], 2], [[4, 1, 2, 3], 2.5]])("the median of %j is %d", (values, median) => {
  expect(medianOf(values)).toBe(median);
});

test.each<[string, number, string, string]>([
  ["no docker", 127, "spawn docker ENOENT", "there is no docker on the PATH. Install it"],
  ["no rights", 1, "permission denied while trying to connect to the Docker daemon socket", "add yourself to its group"],
  ["silence", 124, "no answer within 15 s", "does not answer within 15 s: restart it"],
  ["nothing there", 1, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock", "does not answer at unix:///var/run/docker.sock: start Docker Desktop, or the service"],
])("Docker's problem, %s, has a way on", (_, code, stderr, core) => {
  expect(dockerProblem({ code, stderr }, "unix:///var/run/docker.sock", undefined)).toContain(core);
});

test("a DOCKER_HOST that does not answer is shown", () => {
  expect(dockerProblem({ code: 1, stderr: "error during connect" }, "tcp://far:2375", "tcp://far:2375")).toBe(
    "Docker does not answer at DOCKER_HOST=tcp://far:2375: start it there, or unset DOCKER_HOST to use the one that docker context names, and run this command again.",
  );
});

test("Docker's reason for a failed pull loses its preamble", () => {
  expect(pullProblem("Using default\nError response from daemon: manifest for x:1 not found.\n")).toBe("manifest for x:1 not found");
});
