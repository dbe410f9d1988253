import { readFileSync } from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { bundle } from "../../../images/bundle";
import { GUARD_DOCKERFILE, GUARD_PROGRAM, planGuardImage } from "../../../topology/guardImage";

test("the tag names the base, the Dockerfile and the program", () => {
  const { tag } = planGuardImage("node:20", "FROM x", "1");
  expect(tag).toMatch(/^citus-sharding\/guard:[0-9a-f]{12}$/);
  expect(planGuardImage("node:20", "FROM x", "1").tag).toBe(tag);
  for (const other of [planGuardImage("node:22", "FROM x", "1"), planGuardImage("node:20", "FROM y", "1"), planGuardImage("node:20", "FROM x", "2")]) expect(other.tag).not.toBe(tag);
  // The program itself is bundled where the image is built.
  expect(JSON.stringify(planGuardImage("node:20", "FROM x", "the whole program"))).not.toContain("the whole program");
});

test("the program is bundled with its driver, and names no path of this machine", () => {
  const program = bundle(GUARD_PROGRAM);
  expect(program).toContain("citus_disable_node");
  expect(program).not.toContain(path.resolve(__dirname, "../../.."));
  expect(program).not.toContain("node_modules");
});

test("the Dockerfile is there and takes the base as an argument", () => {
  expect(readFileSync(path.join(__dirname, "../../..", GUARD_DOCKERFILE), "utf8")).toMatch(/^ARG BASE\nFROM \$\{BASE\}$/m);
});
