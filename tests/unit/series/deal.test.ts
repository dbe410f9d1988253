import { expect, test } from "vitest";
import { Random } from "../../../chaos/random";
import { deal } from "../../series/moves/deal";
import { FAULTS, nameOf, STEPS } from "../../series/moves/faults";

const COMBINATIONS = FAULTS.length * STEPS.length;

test("every combination comes up once before one comes a second time, and then the other way", () => {
  const times = Math.ceil((2 * COMBINATIONS * 5) / 4);
  const dealt = deal(new Random(7), times);
  const faults = dealt.filter(({ fault }) => fault.kind !== "nothing").map(({ fault, step, between }) => ({ what: `${nameOf(fault)} ${step}`, between }));
  const [first, second] = [faults.slice(0, COMBINATIONS), faults.slice(COMBINATIONS, 2 * COMBINATIONS)];
  expect(new Set(first.map(({ what }) => what)).size).toBe(COMBINATIONS);
  expect(second.map(({ what }) => what)).not.toEqual(first.map(({ what }) => what));
  for (const { what, between } of second) expect(first.find((other) => other.what === what)?.between).toBe(!between);
});

test("one move in five is left alone", () => {
  const dealt = deal(new Random(8), 500);
  expect(dealt).toHaveLength(500);
  for (let from = 0; from < 500; from += 5) expect(dealt.slice(from, from + 5).filter(({ fault }) => fault.kind === "nothing")).toHaveLength(1);
});

test("a seed is a series", () => {
  expect(deal(new Random(9), 50)).toEqual(deal(new Random(9), 50));
  expect(deal(new Random(9), 50)).not.toEqual(deal(new Random(10), 50));
});
