import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { lineAt, splitStatements } from "../../../setup/statements";

const texts = (sql: string): string[] => splitStatements(sql).map(({ text }) => text);

describe("SQL is split where psql splits it", () => {
  test.each<[string, string, string[]]>([
    ["nothing", " \n-- only a comment;\n/* and; another */", []],
    ["one statement without a semicolon", "SELECT 1", ["SELECT 1"]],
    ["empty statements", ";;SELECT 1;;\n;SELECT 2;", ["SELECT 1", "SELECT 2"]],
    ["a quoted semicolon", "SELECT 'a;''b;'; SELECT 2", ["SELECT 'a;''b;'", "SELECT 2"]],
    ["a backslash ends no plain string", "SELECT 'a\\'; SELECT 2", ["SELECT 'a\\'", "SELECT 2"]],
    ["a backslash hides a quote in an escape string", "SELECT E'a\\';'; SELECT 2", ["SELECT E'a\\';'", "SELECT 2"]],
    ["an identifier with a semicolon", 'SELECT 1 AS "a;""b"; SELECT 2', ['SELECT 1 AS "a;""b"', "SELECT 2"]],
    ["a line comment in a statement", "SELECT 1 -- one; two\n+ 2; SELECT 3", ["SELECT 1 -- one; two\n+ 2", "SELECT 3"]],
    ["a comment within a comment", "/* a /* b; */ c; */ SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]],
    ["a quote in a comment", "/* don't; */ SELECT 1; -- don't;\nSELECT 2", ["SELECT 1", "SELECT 2"]],
    ["a dollar-quoted body", "DO $$ BEGIN a; b; END $$; SELECT 2", ["DO $$ BEGIN a; b; END $$", "SELECT 2"]],
    ["a tagged body with another inside", "DO $a$ x; $$ y; $$ z; $a$; SELECT 2", ["DO $a$ x; $$ y; $$ z; $a$", "SELECT 2"]],
    ["a dollar in a name is no quote", "SELECT a$b; SELECT c$b", ["SELECT a$b", "SELECT c$b"]],
    ["a parameter is no quote", "SELECT $1; SELECT $1", ["SELECT $1", "SELECT $1"]],
    ["a rule of two commands", "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2); SELECT 3", ["CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2)", "SELECT 3"]],
    [
      "a function with an SQL-standard body",
      "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END; SELECT 3",
      ["CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END", "SELECT 3"],
    ],
    ["a transaction's BEGIN and END", "BEGIN; SELECT CASE WHEN true THEN 1 END; END; SELECT 2", ["BEGIN", "SELECT CASE WHEN true THEN 1 END", "END", "SELECT 2"]],
    ["a parenthesis too many", "SELECT 1); SELECT 2", ["SELECT 1)", "SELECT 2"]],
    ["a quote that does not end", "SELECT 1; SELECT 'a; b", ["SELECT 1", "SELECT 'a", "b"]],
  ])("%s", (_, sql, expected) => {
    expect(texts(sql)).toEqual(expected);
  });

  test("a statement knows the line that it begins on", () => {
    expect(splitStatements("-- head\nSELECT 1;\n\n  SELECT\n 2; SELECT 3").map(({ line }) => line)).toEqual([2, 4, 5]);
  });

  test("pieces that hold no semicolon of their own come back as they were joined", () => {
    const word = fc.stringMatching(/^[a-z]{1,8}$/).filter((text) => !["create", "begin"].includes(text));
    const piece = fc.oneof(
      word,
      fc.string().map((text) => `'${text.replaceAll("'", "''")}'`),
      fc.string().map((text) => `"${text.replaceAll('"', '""')}"`),
      fc.string().filter((text) => !text.includes("$")).map((text) => `$tag$${text}$tag$`),
      fc.string().filter((text) => !/[*/]/.test(text)).map((text) => `/*${text}*/`),
    );
    // A statement begins with a word: a comment before it would not be part of it.
    const statement = fc.tuple(word, fc.array(piece)).map(([first, more]) => [first, ...more, first].join(" "));
    fc.assert(
      fc.property(fc.array(statement), (statements) => {
        expect(texts(statements.join(";"))).toEqual(statements);
      }),
    );
  });
});

test.each([
  ["", 0, 1],
  ["a\nb\nc", 0, 1],
  ["a\nb\nc", 2, 2],
  ["a\nb\nc", 4, 3],
])("in %j position %i is on line %i", (text, position, line) => {
  expect(lineAt(text, position)).toBe(line);
});
