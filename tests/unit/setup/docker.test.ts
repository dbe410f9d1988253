import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { docker } from "../../../setup/docker";

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
