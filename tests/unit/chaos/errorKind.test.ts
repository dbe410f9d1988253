import { expect, test } from "vitest";
import { errorKind } from "../../../chaos/errorKind";

test.each<[string, string]>([
  ["57P03 the database system is starting up", "57P03 the database system is starting up"],
  ["08006 connection to worker-2:5432 failed", "08006 connection to worker-# failed"],
  ["connect ECONNREFUSED 172.31.77.21:5432", "connect ECONNREFUSED #"],
  ["transaction 6F9619FF-8B86-d011-b42d-00cf4fc964ff\n  ended", "transaction <uuid> ended"],
  ["timeout after 400 ms", "timeout after # ms"],
  ["x".repeat(200), `${"x".repeat(159)}…`],
])("%s", (text, kind) => {
  expect(errorKind(text)).toBe(kind);
});
