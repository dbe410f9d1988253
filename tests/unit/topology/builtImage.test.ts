import { readFileSync } from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { planImage } from "../../../topology/builtImage";

const bundle = (program: string): string => `bundle of ${program}`;
const read = (file: string): string => `text of ${file}`;
const readFile = (file: string): string => readFileSync(path.join(__dirname, "../../..", file), "utf8");

test("the tag names what it holds, the base, the Dockerfile and the files beside it, and nothing else", () => {
  const { tag, ...plan } = planImage("patroni", "citusdata/citus:13.2.0", read, bundle);
  expect(tag).toMatch(/^citus-sharding\/patroni:[0-9a-f]{12}$/);
  expect(plan).toEqual({
    name: "patroni",
    base: "citusdata/citus:13.2.0",
    dockerfile: "text of assets/patroni/Dockerfile",
    files: { "patch.py": "text of assets/patroni/patch.py", "election.py": "text of assets/patroni/election.py", "stopping.py": "text of assets/patroni/stopping.py", "timelines.py": "text of assets/patroni/timelines.py" },
    remedy: "Set images.patroni to an image with Patroni",
  });
  expect(planImage("patroni", "citusdata/citus:13.2.0", read, bundle).tag).toBe(tag);
  expect(planImage("patroni", "citusdata/citus:13.1.0", read, bundle).tag).not.toBe(tag);
  for (const changed of ["Dockerfile", "patch.py", "election.py", "stopping.py", "timelines.py"]) {
    expect(planImage("patroni", "citusdata/citus:13.2.0", (file) => (file.endsWith(changed) ? "another" : read(file)), bundle).tag).not.toBe(tag);
  }
});

test.each(["guard", "keeper"] as const)("the %s's names its program, too", (name) => {
  const { tag, program } = planImage(name, "node:20", read, bundle);
  expect(program).toBe(`agents/${name}/main`);
  expect(planImage(name, "node:20", read, () => "another").tag).not.toBe(tag);
});

test.each([
  ["patroni", ["COPY election.py stopping.py timelines.py patch.py /tmp/"]],
  ["pgbouncer", []],
  ["guard", [expect.stringMatching(/program\.cjs/)]],
  ["keeper", [expect.stringMatching(/program\.cjs/)]],
] as const)("the Dockerfile of %s is there, takes the base as an argument, and copies what is put beside it", (name, copied) => {
  const { dockerfile, files } = planImage(name, "base", readFile, bundle);
  expect(dockerfile).toMatch(/^ARG BASE\nFROM \$\{BASE\}$/m);
  expect(dockerfile.match(/^(COPY|ADD) .*$/gm) ?? []).toEqual(copied);
  for (const file of Object.keys(files)) expect(copied.join(" ")).toContain(file);
});
