import { expect, test } from "vitest";
import { numberOption } from "../../../cli/numberOption";

test("an option that was not given has no number", () => {
  expect(numberOption("times", undefined, { from: 1, to: 9 })).toBeUndefined();
});

test.each<[string, boolean, number]>([["1", true, 1], ["9", true, 9], ["2.5", false, 2.5], [" 3 ", true, 3]])("%j is a number", (text, whole, value) => {
  expect(numberOption("times", text, { from: 1, to: 9, whole })).toBe(value);
});

test.each(["0", "10", "2.5", "", " ", "many", "NaN"])("%j is refused", (text) => {
  expect(() => numberOption("times", text, { from: 1, to: 9, whole: true })).toThrow(`--times is "${text}": it must be a whole number from 1 to 9.`);
});
