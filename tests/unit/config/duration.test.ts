import fc from "fast-check";
import { expect, test } from "vitest";
import { isDuration, toMilliseconds, type Duration } from "../../../config/duration";

test.each<[Duration, number]>([
  ["1 s", 1000],
  ["1s", 1000],
  ["1.5 s", 1500],
  ["0.25 s", 250],
  ["500 ms", 500],
  ["2 min", 120_000],
])("%s is %d ms", (text, milliseconds) => {
  expect(isDuration(text)).toBe(true);
  expect(toMilliseconds(text)).toBe(milliseconds);
});

test.each(["", "1", "0 s", "0.0 s", "-1 s", "1 S", "1 sec", "1 h", "1  s", " 1 s", "1 s\n", "1,5 s", ".5 s", "1. s", "1e3 ms", "1000000 s"])("%j is not a duration", (text) => {
  expect(isDuration(text)).toBe(false);
});

test("what is not a duration is told", () => {
  expect(() => toMilliseconds("1 h" as Duration)).toThrow('1 h is not a duration: write it as "500 ms", "1 s" or "2 min"');
});

test("a minute has sixty seconds, a second a thousand milliseconds", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 999_999 }), (amount) => {
      expect(toMilliseconds(`${amount} min`)).toBe(60 * toMilliseconds(`${amount} s`));
      expect(toMilliseconds(`${amount} s`)).toBe(1000 * toMilliseconds(`${amount} ms`));
    }),
  );
});
