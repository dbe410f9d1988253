import { describe, expect, test } from "vitest";
import { metNothing } from "../../../router/confirm";
import { beginsTransaction, commandsOf, commits, leavesState, mayCommitInPart, needsSession, onlyReads } from "../../../router/sqlText";

describe("the commands of a text", () => {
  test.each<[string, readonly string[]]>([
    ["", []],
    [" ; ;", []],
    ["insert into x values (1)", ["INSERT"]],
    ["BEGIN; INSERT INTO x; COMMIT;", ["BEGIN", "INSERT", "COMMIT"]],
    ["-- call; me\nUPDATE x", ["UPDATE"]],
    ["/* a; /* nested; */ CALL */ (SELECT 1)", ["SELECT"]],
    ["SELECT 'a;b', \"c;d\", E'it\\'s; x', 'it''s; y'", ["SELECT"]],
    ["SELECT $1, $2; SELECT 2", ["SELECT", "SELECT"]],
    ["DO $$ BEGIN COMMIT; END $$", ["DO"]],
    ["SELECT $a$ ; $$ ; $a$ ; CALL x()", ["SELECT", "CALL"]],
    ["SELECT 'never closed; x", ["SELECT"]],
    ["SELECT /* never closed; x", ["SELECT"]],
    ["SELECT type'x;y' ; DELETE FROM z", ["SELECT", "DELETE"]],
  ])("%s", (text, commands) => {
    expect(commandsOf(text)).toEqual(commands);
  });
});

test.each([
  ["INSERT INTO x VALUES ('CALL; DO')", false],
  ["call charge($1)", true],
  ["DO $$ BEGIN END $$", true],
  ["INSERT INTO x; INSERT INTO y", true],
])("%s may have committed in part: %s", (text, expected) => {
  expect(mayCommitInPart(text)).toBe(expected);
});

test.each([
  ["SELECT count(*) FROM messages m WHERE m.room_id = $1 AND (m.body LIKE 'delete%' OR m.at > now())", true],
  ["WITH x AS (SELECT 1) SELECT coalesce(max(id), 0)::numeric(10, 2) FROM x WHERE id IN (1, 2)", true],
  ["TABLE rooms", true],
  ["WITH x AS (DELETE FROM y RETURNING *) SELECT * FROM x", false],
  ["SELECT next_number($1)", false],
  ["SELECT \"sum\"(1)", false],
  ["SELECT app.sum(1)", false],
  ["SELECT nextval ('s')", false],
  ["SELECT * FROM x FOR UPDATE", false],
  ["SELECT 1 INTO y", false],
  ["SELECT 1; SELECT 2", false],
  ["INSERT INTO x SELECT 1", false],
])("%s only reads: %s", (text, expected) => {
  expect(onlyReads(text)).toBe(expected);
});

test.each([
  ["BEGIN", true],
  ["  begin isolation level serializable;", true],
  ["START TRANSACTION READ ONLY -- now", true],
  ["BEGIN; INSERT INTO x DEFAULT VALUES", false],
  ["/* traced */ BEGIN", false],
  ["beginning()", false],
])("%s begins a transaction and does nothing else: %s", (text, expected) => {
  expect(beginsTransaction(text)).toBe(expected);
});

test.each([
  ["COMMIT", true],
  ["end", true],
  ["/* traced */ commit and chain", true],
  ["PREPARE TRANSACTION 'x'", true],
  ["INSERT INTO x DEFAULT VALUES; COMMIT", true],
  ["SELECT 'commit'", false],
  ["SELECT CASE WHEN true THEN 1 END", false],
  ["ROLLBACK", false],
])("%s may commit: %s", (text, expected) => {
  expect(commits(text)).toBe(expected);
});

test.each([
  ["INSERT INTO x (a) VALUES (nextval('s'))", false],
  ["insert into messages (room_id, body) values ($1, $2) returning message_id", false],
  ["SELECT count(*) FROM x WHERE a = $1", false],
  ["BEGIN; UPDATE x SET a = 1; COMMIT", false],
  ["SET LOCAL lock_timeout = '1s'", false],
  ["set transaction isolation level serializable", false],
  ["SET LOCAL a.b = 1; SET a.b = 2", true],
  ["SET search_path TO mine", true],
  ["SELECT set_config('a.b', 'c', false)", true],
  ["UPDATE x SET a = pg_try_advisory_lock(1)::int", true],
  ["WITH lock AS (SELECT pg_advisory_lock(1)) SELECT 1", true],
  ["SELECT app.remember($1)", true],
  ["LISTEN news", true],
  ["PREPARE p AS SELECT 1", true],
  ["CREATE TEMP TABLE x (a int)", true],
  ["DECLARE c CURSOR WITH HOLD FOR SELECT 1", true],
  ["COPY x FROM STDIN", true],
])("%s may leave something in its session: %s", (text, expected) => {
  expect(leavesState(text)).toBe(expected);
});

test.each([
  ["SELECT lastval()", true],
  ["INSERT INTO y VALUES (currval('s'))", true],
  ["INSERT INTO y VALUES (nextval('s'))", false],
])("%s needs the session of another statement: %s", (text, expected) => {
  expect(needsSession(text)).toBe(expected);
});

test.each([
  ["UPDATE s SET seen = now()::timestamp with time zone WHERE id = 1", true],
  ["UPDATE s SET body = 'come with me' WHERE id = 1", true],
  ["/* WITH */ UPDATE s SET x = 1", true],
  ["-- why\n WITH x AS (INSERT INTO y DEFAULT VALUES) UPDATE s SET x = 1", false],
])("%s is taken for a write that met nothing: %s", (text, expected) => {
  expect(metNothing(text, { command: "UPDATE", rowCount: 0 })).toBe(expected);
});
