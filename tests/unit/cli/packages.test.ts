import { createRequire } from "node:module";
import { expect, test } from "vitest";

type Lock = { packages: Record<string, object> };
const { installedMatches } = createRequire(__filename)("../../../cli/main.cjs") as { installedMatches: (lock: Lock, installed: Lock) => boolean };

const lock: Lock = {
  packages: {
    "": { version: "0.1.0" },
    "node_modules/pg": { version: "8.23.1" },
    "node_modules/vitest": { version: "4.1.12", dev: true },
    "node_modules/@esbuild/aix": { version: "1.0.0", optional: true },
  },
};

test.each<[string, Lock["packages"], boolean]>([
  ["everything", { "node_modules/pg": { version: "8.23.1" }, "node_modules/vitest": { version: "4.1.12" } }, true],
  ["without development tools and other platforms' packages", { "node_modules/pg": { version: "8.23.1" } }, true],
  ["another version", { "node_modules/pg": { version: "8.23.0" } }, false],
  ["without a package that is new in the lock", {}, false],
])("packages installed: %s", (_, packages, matches) => {
  expect(installedMatches(lock, { packages })).toBe(matches);
});
