import { expect, test } from "vitest";
import { psqlOutcome } from "../../../chaos/oldSide";

test.each<[string, number, string, string]>([
  ["an insert that was done", 0, "", "ok"],
  ["one whose wait for a standby was given up", 0, "WARNING:  01000: canceling wait for synchronous replication due to user request", "unknown"],
  ["one on a member that leads no more", 1, "ERROR:  25006: cannot execute INSERT in a read-only transaction", "refused"],
  ["a server that is starting", 2, 'psql: error: connection to server on socket failed: FATAL:  57P03: the database system is starting up', "refused"],
  ["a server that went away", 2, "server closed the connection unexpectedly", "unknown"],
  ["no answer in time", 124, "no answer within 45 s", "unknown"],
])("%s", (_, code, stderr, outcome) => {
  expect(psqlOutcome({ code, stderr })).toBe(outcome);
});
