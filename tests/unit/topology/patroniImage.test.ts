import { readFileSync } from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { PATRONI_DOCKERFILE, planPatroniImage } from "../../../topology/patroniImage";

test("the tag names the base and the Dockerfile, and nothing else", () => {
  const { tag } = planPatroniImage("citusdata/citus:13.2.0", "FROM x");
  expect(tag).toMatch(/^citus-sharding\/patroni:[0-9a-f]{12}$/);
  expect(planPatroniImage("citusdata/citus:13.2.0", "FROM x")).toMatchObject({ tag, base: "citusdata/citus:13.2.0", dockerfile: "FROM x" });
  expect(planPatroniImage("citusdata/citus:13.1.0", "FROM x").tag).not.toBe(tag);
  expect(planPatroniImage("citusdata/citus:13.2.0", "FROM y").tag).not.toBe(tag);
});

test("the Dockerfile is there and takes the base as an argument", () => {
  const dockerfile = readFileSync(path.join(__dirname, "../../..", PATRONI_DOCKERFILE), "utf8");
  expect(dockerfile).toMatch(/^ARG BASE\nFROM \$\{BASE\}$/m);
});
