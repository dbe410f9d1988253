import { expect, test } from "vitest";
import { figureRows, isMet, percentileOf, type Figure } from "../../../cli/bench/figures";

const figure = (more: Partial<Figure>): Figure => ({ what: "pause", found: 20, unit: "ms", ...more });

test.each<[Partial<Figure>, boolean]>([
  [{}, true],
  [{ limit: 20 }, true],
  [{ limit: 19.9 }, false],
  [{ limit: 20, at: "least" }, true],
  [{ limit: 21, at: "least" }, false],
])("a figure of 20 with %o is met: %s", (more, met) => {
  expect(isMet(figure(more))).toBe(met);
});

test("a figure is shown with its limit, and whether it is met", () => {
  const rows = figureRows([figure({ limit: 100, note: "20 moves" }), figure({ what: "share", found: 93.456, unit: "%", limit: 95, at: "least" }), figure({ found: 0.034, unit: "µs" })]);
  expect(rows.map((row) => row.trimEnd())).toEqual([
    expect.stringContaining("figure"),
    "  pause   20 ms    ≤ 100 ms  met     20 moves",
    "  share   93.5 %   ≥ 95 %    missed",
    "  pause   0.03 µs",
  ]);
});

test.each([
  [[3, 1, 2], 50, 2],
  [[3, 1, 2], 95, 3],
  [Array.from({ length: 100 }, (_, index) => index + 1), 95, 95],
  [[7], 50, 7],
])("of %o, %d in a hundred are at most %d", (values, percent, value) => {
  expect(percentileOf(values, percent)).toBe(value);
});
