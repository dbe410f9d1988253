import { expect, test } from "vitest";
import type { GuardState } from "../../../agents/guard/state";
import { guardNote } from "../../../cli/guardNote";

const now = new Date("2026-01-01T00:01:00Z");
const at = "2026-01-01T00:00:59Z";
const since = "2026-01-01T00:00:48Z";
const watched = ["w1", "w3"].map((name) => ({ name, state: "watched", since }) as const);

test.each<[string, GuardState, string]>([
  ["all well", { at, coordinator: "primary", workers: watched }, "watching 2 workers"],
  ["a worker disabled", { at, coordinator: "primary", workers: [...watched, { name: "w2", state: "disabled", since }] }, "w2 disabled 12 s ago"],
  [
    "a worker being copied to",
    { at, coordinator: "primary", workers: [...watched, { name: "w2", state: "returning", since }], copying: { done: 3, total: 11 } },
    "w2 returning 12 s ago, copying 4 of 11 shards",
  ],
  ["a worker that lost its data", { at, coordinator: "primary", workers: [{ name: "w2", state: "empty", since }] }, "w2 without its data 12 s ago"],
  ["a guard that must not act", { at, coordinator: "primary", workers: watched.map((worker) => ({ ...worker, state: "suspected" })), note: "nothing is disabled: w1, w3 do not answer" }, "w1 suspected 12 s ago and w3 suspected 12 s ago, nothing is disabled: w1, w3 do not answer"],
  ["a standby's guard", { at, coordinator: "standby", workers: [] }, "waiting, its coordinator is a standby"],
  ["no coordinator", { at, coordinator: "silent", workers: [] }, "its coordinator does not answer"],
  ["a guard that stopped looking", { at: since, coordinator: "primary", workers: watched }, "last heard 12 s ago"],
])("%s", (_, state, note) => {
  expect(guardNote(state, now)).toBe(note);
});
