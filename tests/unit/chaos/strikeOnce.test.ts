import { expect, test } from "vitest";
import { healedEvent } from "../../../chaos/strikeOnce";

test("a fault that ended well says when it was undone, and what was waited for", () => {
  expect(healedEvent(2, { now: () => 900 }, { help: ["docker start coord-1"], problems: [], undoneAt: 500, waitedFor: "coord-1 is starting" })).toEqual({
    type: "healed", number: 2, at: 900, help: ["docker start coord-1"], undoneAt: 500, waitedFor: "coord-1 is starting",
  });
});

test("a fault that did not has all problems on one line", () => {
  expect(healedEvent(1, { now: () => 900 }, { help: [], problems: ["no leader", "no standby"] })).toEqual({ type: "healed", number: 1, at: 900, help: [], problem: "no leader; no standby" });
});
