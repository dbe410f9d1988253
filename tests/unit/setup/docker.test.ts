import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { docker, inspected } from "../../../setup/docker";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "docker-"));
  vi.stubEnv("PATH", `${folder}:${process.env["PATH"]}`);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function fake(script: string): void {
  writeFileSync(path.join(folder, "docker"), `#!/bin/sh\n${script}\n`);
  chmodSync(path.join(folder, "docker"), 0o755);
}

test("gives what was printed, and the exit code", async () => {
  fake(`cat; echo "$1" >&2; exit 3`);
  expect(await docker(["exec"], "input")).toEqual({ code: 3, stdout: "input", stderr: "exec" });
});

test("an exec that never returns is given up", async () => {
  fake("exec sleep 60");
  expect(await docker(["exec"], "", 200)).toEqual({ code: 127, stdout: "", stderr: "no answer within 0.2 s" });
});

test("a limit is told, whatever was printed before", async () => {
  fake("echo pulling >&2; exec sleep 60");
  expect(await docker(["run"], "", 500)).toEqual({ code: 127, stdout: "", stderr: "no answer within 0.5 s" });
});

test.each([
  ["Error response from daemon: No such container: two", "one"],
  ["Error response from daemon: no such image: two: No such image: two", "one"],
])("what does not exist is left out: %s", async (error, printed) => {
  fake(`echo one; echo "${error}" >&2; exit 1`);
  expect(await inspected("container", "{{.Name}}", ["one", "two"])).toBe(printed);
});

test.each(["Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", "dial unix /var/run/docker.sock: connect: no such file or directory", "permission denied"])(
  "another failure is not taken for absence: %s",
  async (error) => {
    fake(`echo "${error}" >&2; exit 1`);
    await expect(inspected("container", "{{.Id}}", ["one"])).rejects.toThrow(`Docker does not tell of one: ${error.replace(/\.$/, "")}. Run the update again when it does`);
  },
);
