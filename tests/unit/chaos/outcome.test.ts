import { DatabaseError } from "pg";
import { expect, test } from "vitest";
import { outcomeOf, told } from "../../../chaos/outcome";

function answer(code: string, message = "no"): DatabaseError {
  return Object.assign(new DatabaseError(message, 0, "error"), { code });
}

test.each<[string, unknown, "refused" | "unknown"]>([
  ["a read-only transaction", answer("25006"), "refused"],
  ["nobody let in", answer("28P01"), "refused"],
  ["too many clients", answer("53300"), "refused"],
  ["a full disk", answer("53100"), "refused"],
  ["a server that starts", answer("57P03"), "refused"],
  ["a server that is told to stop", answer("57P01"), "unknown"],
  ["a crash of another session", answer("57P02"), "unknown"],
  ["a connection between nodes that broke", answer("08006"), "unknown"],
  ["an error of Citus's own", answer("XX000"), "unknown"],
  ["a failed serialization", answer("40001"), "unknown"],
  ["a code within another", answer("X2500"), "unknown"],
  ["a broken connection", Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }), "unknown"],
  ["no answer in time", new Error("Query read timeout"), "unknown"],
  // It was the driver's, not the server's, to say so.
  ["a code that no server gave", Object.assign(new Error("odd"), { code: "25006" }), "unknown"],
])("%s", (_, error, outcome) => {
  expect(outcomeOf(error)).toBe(outcome);
});

test.each<[unknown, string]>([
  [answer("25006", "cannot execute INSERT\nin a read-only transaction"), "25006 cannot execute INSERT in a read-only transaction"],
  [Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), { code: "ECONNREFUSED" }), "connect ECONNREFUSED 127.0.0.1:1"],
  [new Error("Query read timeout"), "Query read timeout"],
])("what a client was told is one line: %s", (error, line) => {
  expect(told(error)).toBe(line);
});
