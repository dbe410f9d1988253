import { expect, test } from "vitest";
import { Random } from "../../../chaos/random";
import { byChance, inOrder } from "../../../chaos/schedule";

function soak(seed: number, count: number): string[] {
  let left = count;
  return [...byChance(["a", "b", "c", "d"], new Random(seed), () => left-- > 0)];
}

test("rounds keep the order", () => {
  expect([...inOrder(["a", "b"], 3)]).toEqual(["a", "b", "a", "b", "a", "b"]);
});

test("a seed makes the same choices again, and another one others", () => {
  expect(soak(7, 50)).toEqual(soak(7, 50));
  expect(soak(7, 50)).not.toEqual(soak(8, 50));
});

test("chance leaves nothing out, and ends when it is told", () => {
  const chosen = soak(1, 200);
  expect(chosen).toHaveLength(200);
  for (const item of ["a", "b", "c", "d"]) expect(chosen.filter((one) => one === item).length).toBeGreaterThan(20);
});

test("of nothing nothing is chosen", () => {
  expect([...byChance([], new Random(1), () => true)]).toEqual([]);
  expect(new Random(1).pick([])).toBeUndefined();
});

test.each([0, 1, 2 ** 32 - 1])("numbers of seed %d are from 0 to 1", (seed) => {
  const random = new Random(seed);
  const numbers = Array.from({ length: 1000 }, () => random.next());
  expect(numbers.every((value) => value >= 0 && value < 1)).toBe(true);
  expect(new Set(numbers).size).toBeGreaterThan(990);
});
