import { describe, expect, test } from "vitest";
import { dueIn, gapWarning, migrationGap, type Migration, type MigrationFile } from "../../../tenants/migrations";

const has = (name: string, checksum = name, begun = false): Migration => ({ name, checksum, begun });
const file = (name: string, checksum = name): MigrationFile => ({ name, checksum, transaction: true, statements: [{ text: "SELECT 1", line: 1 }] });

describe("clusters", () => {
  test.each<[string, readonly Migration[], readonly Migration[], string | undefined]>([
    ["with the same migrations differ in nothing", [has("1"), has("2")], [has("1"), has("2")], undefined],
    ["without any differ in nothing", [], [], undefined],
    ["of which the second lacks one differ", [has("1"), has("2")], [has("1")], "Cluster b has not got the migration 2, which a has"],
    ["of which the first lacks one differ", [], [has("1")], "Cluster a has not got the migration 1, which b has"],
    ["that had different texts of one differ", [has("1", "x")], [has("1", "y")], "The migration 1 was another in cluster b than in a"],
    ["that both have begun one differ, as far as anybody knows", [has("1", "1", true)], [has("1", "1", true)], "The migration 1 was begun in cluster a and is not known to have ended"],
    ["of which the second has begun one differ", [has("1")], [has("1", "1", true)], "The migration 1 was begun in cluster b and is not known to have ended"],
  ])("%s", (_, a, b, gap) => {
    expect(migrationGap([{ name: "a", migrations: a }, { name: "b", migrations: b }])).toBe(gap);
  });

  test("of which a third lacks one differ", () => {
    expect(migrationGap(["a", "b", "c"].map((name) => ({ name, migrations: name === "c" ? [] : [has("1")] })))).toBe("Cluster c has not got the migration 1, which a has");
  });

  test("that differ are warned of, with the way out", () => {
    expect(gapWarning("Cluster b has not got the migration 2, which a has")).toBe(
      "No tenant can be moved between clusters that have not the same migrations. Cluster b has not got the migration 2, which a has: npm run tenant -- migrate.",
    );
  });
});

describe("a cluster", () => {
  const files = [file("1"), file("2"), file("3")];

  test.each<[string, readonly Migration[], readonly string[]]>([
    ["that is new gets all of them", [], ["1", "2", "3"]],
    ["gets what it has not", [has("1")], ["2", "3"]],
    ["that has all gets none", [has("1"), has("2"), has("3")], []],
    // As text, 10 comes before 9; in what order a cluster tells does not matter.
    ["is asked in no order", [has("2"), has("1")], ["3"]],
  ])("%s", (_, migrations, pending) => {
    const due = dueIn({ name: "a", migrations }, files);
    expect(due.problem).toBeUndefined();
    expect(due.pending.map(({ name }) => name)).toEqual(pending);
  });

  test.each<[string, readonly Migration[], RegExp]>([
    ["that has one that was changed since", [has("1"), has("2", "other")], /^2 is not as it was when it was applied in cluster a\. Put its text back/],
    ["that has one that is not in the folder", [has("0"), has("1")], /^0, which cluster a has, is not in the folder/],
    ["that has begun one", [has("1"), has("2", "2", true)], /^2 was begun in cluster a, outside of a transaction.* --mark-done 2 --cluster a if all is, or else --retry 2 --cluster a$/],
    ["that has begun one whose text was mended since", [has("1"), has("2", "other", true)], /^2 was begun in cluster a/],
    ["that has a later one than one that it has not", [has("1"), has("3")], /^2 comes before 3, which cluster a has already\. Give it a higher number/],
  ])("%s gets none, and is told why", (_, migrations, problem) => {
    expect(dueIn({ name: "a", migrations }, files).problem).toMatch(problem);
  });
});
