import * as path from "node:path";
import { defineConfig } from "vitest/config";

const MINUTE_MS = 60_000;
/** A machine that does something else beside may be slow; a test that hangs is found all the same. */
const UNIT_TIMEOUT_MS = 30_000;

/** Most of the unit tests wait for timers and processes rather than compute. */
const WORKERS = 3;

/** The router's package is tested from its sources, as tsconfig.json has it. */
const alias = [
  { find: /^@citus-sharding\/tenant-router$/, replacement: path.resolve(import.meta.dirname, "router/index.ts") },
  { find: /^@citus-sharding\/tenant-router\/opentelemetry$/, replacement: path.resolve(import.meta.dirname, "router/opentelemetry.ts") },
  { find: /^@citus-sharding\/tenant-router\/placement$/, replacement: path.resolve(import.meta.dirname, "router/tenantPlacement.ts") },
];

const setupFiles = [path.resolve(import.meta.dirname, "tests/plain.ts")];

export default defineConfig({
  test: {
    maxWorkers: WORKERS,
    projects: [
      { test: { name: "unit", alias, setupFiles, include: ["tests/unit/**/*.test.ts"], testTimeout: UNIT_TIMEOUT_MS } },
      { test: { name: "program", alias, setupFiles, include: ["tests/program/**/*.test.ts"], testTimeout: UNIT_TIMEOUT_MS } },
      {
        test: {
          name: "e2e",
          alias,
          setupFiles,
          include: ["tests/e2e/**/*.test.ts"],
          testTimeout: 10 * MINUTE_MS,
          hookTimeout: 10 * MINUTE_MS,
          // One file at a time: stacks share the machine's Docker engine and its ports.
          fileParallelism: false,
        },
      },
    ],
  },
});
