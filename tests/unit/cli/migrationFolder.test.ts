import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { describe, expect, test } from "vitest";
import { migrationFiles, migrationFolder } from "../../../cli/tenant/migrationFolder";
import type { MigrationFile } from "../../../tenants/migrations";

const read = (files: Readonly<Record<string, string>>): MigrationFile[] => migrationFiles(Object.entries(files).map(([name, text]) => ({ name, text })), "db");
const names = (files: Readonly<Record<string, string>>): string[] => read(files).map(({ name }) => name);

describe("migrations", () => {
  test("are sorted by their numbers", () => {
    expect(names({ "10_c.sql": "SELECT 1", "9_b.sql": "SELECT 1", "001_a.sql": "SELECT 1", "20260101120000_d.sql": "SELECT 1" })).toEqual(["001_a.sql", "9_b.sql", "10_c.sql", "20260101120000_d.sql"]);
  });

  test("are split into statements that know their lines", () => {
    expect(read({ "1_a.sql": "-- head\nALTER TABLE a ADD b text;\n\nUPDATE a SET b = ';';" })[0]).toMatchObject({
      transaction: true,
      statements: [
        { text: "ALTER TABLE a ADD b text", line: 2 },
        { text: "UPDATE a SET b = ';'", line: 4 },
      ],
    });
  });

  test("are the same whatever their ends of lines", () => {
    const [one] = read({ "1_a.sql": "SELECT 1;\nSELECT 2" });
    expect(read({ "1_a.sql": "\uFEFFSELECT 1;\r\nSELECT 2" })[0]).toEqual(one);
    expect(read({ "1_a.sql": "SELECT 1;\nSELECT 3" })[0]?.checksum).not.toBe(one?.checksum);
  });

  test.each<[string, boolean]>([
    ["-- no-transaction\nCREATE INDEX CONCURRENTLY i ON a (b)", false],
    ["--no-transaction  \r\nCREATE INDEX CONCURRENTLY i ON a (b);", false],
    ["\n-- no-transaction\nSELECT 1", true],
    ["-- no-transaction, please\nSELECT 1", true],
  ])("%j runs in a transaction: %s", (text, transaction) => {
    expect(read({ "1_a.sql": text })[0]).toMatchObject({ transaction });
  });

  test.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ["without a number", { "add_topic.sql": "SELECT 1" }, /^add_topic\.sql has no number to be sorted by: call it <number>_<name>\.sql, such as 004_add_topic\.sql\.$/],
    ["with a number alone", { "004.sql": "SELECT 1" }, /^004\.sql has no number to be sorted by/],
    ["of one number", { "1_b.sql": "SELECT 1", "01_a.sql": "SELECT 1", "2_c.sql": "SELECT 1" }, /^01_a\.sql and 1_b\.sql have one number/],
    ["none at all", {}, /^There are no migrations in db/],
    ["with nothing in it", { "1_a.sql": "-- later\n" }, /^1_a\.sql has no statement\.$/],
    ["with several statements outside of a transaction", { "1_a.sql": "-- no-transaction\nSELECT 1; SELECT 2" }, /^1_a\.sql has 2 statements and runs outside of a transaction/],
    ...["BEGIN", "start\n transaction", "COMMIT", "End", "abort", "ROLLBACK", "PREPARE TRANSACTION 'x'"].map((control): [string, Record<string, string>, RegExp] => [
      `with ${control}`,
      { "1_a.sql": `SELECT 1;\n${control};` },
      /^1_a\.sql begins or ends a transaction at line 2\./,
    ]),
  ])("%s are refused", (_, files, problem) => {
    expect(() => read(files)).toThrow(problem);
  });

  test("may prepare statements, and have savepoints", () => {
    expect(read({ "1_a.sql": "SAVEPOINT s; PREPARE p AS SELECT 1; RELEASE s; SELECT 'COMMIT'" })[0]?.statements).toHaveLength(4);
  });

  test("are the files of a folder whose names end so", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "migrations-"));
    try {
      writeFileSync(path.join(folder, "1_a.sql"), "SELECT 1");
      writeFileSync(path.join(folder, "README.md"), "x");
      mkdirSync(path.join(folder, "old.sql"));
      expect(migrationFolder(folder).map(({ name }) => name)).toEqual(["1_a.sql"]);
      expect(() => migrationFolder(path.join(folder, "none"))).toThrow(/cannot be read \(ENOENT\)\.$/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
