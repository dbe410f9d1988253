import { expect, test } from "vitest";
import { percentile } from "../../../chaos/percentile";

const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);

test.each<[readonly number[], number, number]>([
  [[3], 50, 3],
  [[3], 95, 3],
  [[9, 10], 50, 9],
  [[10, 9, 8], 50, 9],
  [[10, 9, 8], 95, 10],
  [[10, 9, 8], 0, 8],
  [hundred, 50, 50],
  [hundred, 95, 95],
  [hundred, 100, 100],
  [[], 50, Number.NaN],
])("of %j, the percentile %d is %d", (values, share, expected) => {
  expect(percentile(values, share)).toBe(expected);
});
