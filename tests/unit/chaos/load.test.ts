import { expect, test } from "vitest";
import { insertInterval } from "../../../chaos/load";

test.each<[number, number]>([[1, 20], [8, 20], [12, 30], [128, 320]])("with %d shards a client pauses %d ms", (shards, milliseconds) => {
  expect(insertInterval(shards)).toBe(milliseconds);
});
