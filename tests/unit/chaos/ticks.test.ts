import { expect, test } from "vitest";
import { ticks } from "../../../chaos/ticks";

test.each<[number, number, number, number[]]>([
  [0, 1000, 12, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]],
  [0, 9000, 5, [0, 2000, 4000, 6000, 8000]],
  [-7800, 21_000, 6, [-5000, 0, 5000, 10_000, 15_000, 20_000]],
  [-100, 100, 2, [-100, 0, 100]],
])("from %d to %d ms, about %d ticks", (from, to, most, expected) => {
  expect(ticks(from, to, most).map((tick) => tick + 0)).toEqual(expected);
});
