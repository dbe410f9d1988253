import { readFileSync } from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { dockerfileOf, planImage } from "../../../topology/builtImage";

const bundle = (program: string): string => `bundle of ${program}`;

test("the tag names what it holds, the base and the Dockerfile, and nothing else", () => {
  const { tag } = planImage("patroni", "citusdata/citus:13.2.0", "FROM x", bundle);
  expect(tag).toMatch(/^citus-sharding\/patroni:[0-9a-f]{12}$/);
  expect(planImage("patroni", "citusdata/citus:13.2.0", "FROM x", bundle)).toEqual({ name: "patroni", tag, base: "citusdata/citus:13.2.0", dockerfile: "FROM x", remedy: "Set images.patroni to an image with Patroni" });
  expect(planImage("patroni", "citusdata/citus:13.1.0", "FROM x", bundle).tag).not.toBe(tag);
  expect(planImage("patroni", "citusdata/citus:13.2.0", "FROM y", bundle).tag).not.toBe(tag);
  expect(planImage("pgbouncer", "citusdata/citus:13.2.0", "FROM x", bundle).tag).toBe(tag.replace("patroni", "pgbouncer"));
});

test.each(["guard", "keeper"] as const)("the %s's names its program, too", (name) => {
  const { tag, program } = planImage(name, "node:20", "FROM x", bundle);
  expect(program).toBe(`agents/${name}/main`);
  expect(planImage(name, "node:20", "FROM x", () => "another").tag).not.toBe(tag);
});

test.each(["patroni", "pgbouncer", "guard", "keeper"] as const)("the Dockerfile of %s is there, takes the base as an argument, and copies nothing but a program", (name) => {
  const dockerfile = readFileSync(path.join(__dirname, "../../..", dockerfileOf(name)), "utf8");
  expect(dockerfile).toMatch(/^ARG BASE\nFROM \$\{BASE\}$/m);
  expect(dockerfile.match(/^(COPY|ADD) .*$/gm) ?? []).toEqual(name === "guard" || name === "keeper" ? [expect.stringMatching(/program\.cjs/)] : []);
});
