import { expect, test } from "vitest";
import { done, doneSoFar, migrate, type MigrateCommandOptions } from "../../../cli/tenant/migrate";
import type { ClusterMigrations } from "../../../tenants/migrate";

const cluster = (name: string, applied: readonly string[], left: readonly string[] = []): ClusterMigrations => ({ cluster: name, applied, left });

test.each<[readonly ClusterMigrations[], string]>([
  [[cluster("a", []), cluster("b", [])], "Clusters a and b have every migration already."],
  [[cluster("a", ["1_x.sql", "2_y.sql"]), cluster("b", ["2_y.sql"])], "✓ Clusters a and b have every migration; applied 1_x.sql and 2_y.sql to a, 2_y.sql to b."],
  [[cluster("a", []), cluster("b", ["1_x.sql"])], "✓ Clusters a and b have every migration; applied 1_x.sql to b."],
])("what was done is said", (clusters, sentence) => {
  expect(done({ clusters, failure: undefined })).toBe(sentence);
});

test("where it stopped, what was done and what is left is said of each cluster", () => {
  expect(doneSoFar({ clusters: [cluster("a", ["1_x.sql"]), cluster("b", [], ["1_x.sql"])], failure: "x" })).toBe(
    "a: applied 1_x.sql; b: applied nothing, left 1_x.sql. No tenant is moved between clusters that differ. The same command goes on where it was.",
  );
});

test.each<[Partial<MigrateCommandOptions>, RegExp]>([
  [{ cluster: "a" }, /^--cluster is for --retry and --mark-done/],
  [{ retry: "1_x.sql" }, /^In which cluster\? For example: --retry 1_x\.sql --cluster a$/],
  [{ markDone: "1_x.sql" }, /^In which cluster\? For example: --mark-done 1_x\.sql --cluster a$/],
  [{ markDone: "1_x.sql", retry: "1_x.sql", cluster: "a" }, /give one of them/],
  [{ markDone: "1_x.sql", cluster: "a", plan: true }, /^--plan changes nothing/],
  [{ lockTimeout: "3" }, /^--lock-timeout is "3": it must be a duration/],
  [{ lockTimeout: "0.1 ms" }, /^--lock-timeout is "0\.1 ms"/],
  [{}, /^There are no migrations in .*\/tests\/unit\/tenants/],
])("%j is refused before anything is asked", async (options, problem) => {
  await expect(migrate(["active-active", "tests/unit/tenants"], { plan: false, lockTimeout: "3 s", json: false, ...options })).rejects.toThrow(problem);
});

test.each([
  [["active-active"], /^Which folder\?/],
  [["active-active", "db", "more"], /^One folder at a time/],
])("%j is refused", async (words, problem) => {
  await expect(migrate(words, { plan: false, lockTimeout: "3 s", json: false })).rejects.toThrow(problem);
});
