import { readFileSync } from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { dockerfileOf, planImage } from "../../../topology/builtImage";

test("the tag names what it holds, the base and the Dockerfile, and nothing else", () => {
  const { tag } = planImage("patroni", "citusdata/citus:13.2.0", "FROM x");
  expect(tag).toMatch(/^citus-sharding\/patroni:[0-9a-f]{12}$/);
  expect(planImage("patroni", "citusdata/citus:13.2.0", "FROM x")).toEqual({ name: "patroni", tag, base: "citusdata/citus:13.2.0", dockerfile: "FROM x" });
  expect(planImage("patroni", "citusdata/citus:13.1.0", "FROM x").tag).not.toBe(tag);
  expect(planImage("patroni", "citusdata/citus:13.2.0", "FROM y").tag).not.toBe(tag);
  expect(planImage("pgbouncer", "citusdata/citus:13.2.0", "FROM x").tag).toBe(tag.replace("patroni", "pgbouncer"));
});

test.each(["patroni", "pgbouncer"] as const)("the Dockerfile of %s is there, takes the base as an argument, and copies nothing", (name) => {
  const dockerfile = readFileSync(path.join(__dirname, "../../..", dockerfileOf(name)), "utf8");
  expect(dockerfile).toMatch(/^ARG BASE\nFROM \$\{BASE\}$/m);
  expect(dockerfile).not.toMatch(/^(COPY|ADD)/m); // It is built without a folder.
});
