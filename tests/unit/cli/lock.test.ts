import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import * as path from "node:path";
import { expect, test } from "vitest";
import { isHeld, locksOf } from "../../../cli/lock";

const timestamp = "2026-11-21T10:50:12Z";

test("locks are read where Pulumi keeps them", () => {
  const backend = mkdtempSync(path.join(tmpdir(), "lock-"));
  const directory = path.join(backend, ".pulumi", "locks", "organization", "citus-sharding", "s");
  mkdirSync(directory, { recursive: true });
  writeFileSync(path.join(directory, "6eeb.json"), JSON.stringify({ pid: 7, username: "u", hostname: "h", timestamp }));
  writeFileSync(path.join(directory, "6eeb.json.attrs"), "{}");
  expect(locksOf(backend, "organization/citus-sharding/s")).toEqual([{ pid: 7, username: "u", hostname: "h", timestamp }]);
  expect(locksOf(backend, "organization/citus-sharding/other")).toEqual([]);
  rmSync(backend, { recursive: true });
});

test("a lock of a process that has ended is not held", async () => {
  const child = spawn(process.execPath, ["--eval", ""]);
  await once(child, "exit");
  expect(await isHeld({ pid: child.pid as number, hostname: hostname(), timestamp })).toBe(false);
});

test("a lock whose number another program has got since is not held", async () => {
  expect(await isHeld({ pid: process.pid, hostname: hostname(), timestamp })).toBe(false);
});

test("a lock of a Pulumi that runs is held", async () => {
  const named = spawn(process.execPath, ["--eval", "process.title = 'pulumi'; console.log('named'); setInterval(() => undefined, 1000)"], { stdio: ["ignore", "pipe", "ignore"] });
  await once(named.stdout, "data");
  expect(await isHeld({ pid: named.pid as number, hostname: hostname(), timestamp })).toBe(true);
  named.kill();
});

test("a lock of another machine counts as held: nothing is known of its process", async () => {
  expect(await isHeld({ pid: 1, hostname: "elsewhere", timestamp })).toBe(true);
});
