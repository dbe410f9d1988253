import { expect, test } from "vitest";
import { sameSetting } from "../../../chaos/sameSetting";

test.each<[string, string, boolean]>([
  ["5s", "5s", true],
  ["5000", "5s", true],
  ["5000ms", "5s", true],
  ["1min", "60s", true],
  ["32", "32", true],
  ["5s", "30s", false],
  ["5", "5s", false],
  ["on", "off", false],
  ["5 weeks", "6 weeks", false],
])("%s and %s", (one, other, same) => {
  expect(sameSetting(one, other)).toBe(same);
});
