import { describe, expect, test } from "vitest";
import { describeLost } from "../../../setup/lostShards";
import { reason } from "../../../setup/setupError";

describe("a reason is one line without a full stop", () => {
  test.each<[string, unknown, string]>([
    ["an error", new Error("It broke."), "It broke"],
    ["PostgreSQL's error with its detail and hint", Object.assign(new Error("no\n  such table"), { detail: "It is gone.", hint: "Create it." }), "no such table; It is gone; Create it"],
    ["a node's answer", "ERROR:  division by zero", "division by zero"],
    ["a refused connection, which has no message", Object.assign(new AggregateError([]), { code: "ECONNREFUSED" }), "ECONNREFUSED"],
    ["no answer", undefined, "no answer"],
  ])("%s", (_, error, expected) => {
    expect(reason(error)).toBe(expected);
  });
});

describe("lost shards are counted by the user's tables", () => {
  test.each([
    [["rooms"], "1 shard of rooms"],
    [["rooms", "rooms", "messages", "sharding.probe"], "3 shards of rooms, messages"],
  ])("%j", (tables, expected) => {
    expect(describeLost(tables.map((table, index) => ({ shardId: String(index), table, groupIds: [1] })))).toBe(expected);
  });
});
