import { describe, expect, test } from "vitest";
import { clusterOf, ringInWords, ticketsOf, weightsOf } from "../../../router/tickets";

describe("the tickets of a ring", () => {
  test("are the clusters' names where no cluster has a weight, as rings of before are", () => {
    expect(ticketsOf({ b: 1, a: 1 })).toEqual(["a", "b"]);
  });

  test("are as many as the weight, and tell whose they are", () => {
    const tickets = ticketsOf({ west: 12, a: 1, b: 3 });
    expect(tickets).toHaveLength(16);
    expect(tickets.slice(0, 4)).toEqual(["a", "b", "b#1", "b#2"]);
    expect(weightsOf(tickets)).toEqual({ a: 1, b: 3, west: 12 });
    expect(new Set(tickets.map(clusterOf))).toEqual(new Set(["a", "b", "west"]));
    expect(ringInWords(tickets)).toBe("a, b (weight 3), west (weight 12)");
  });

  test.each<[string, Record<string, number>, string]>([
    ["a name with the mark in it, which would be another's ticket", { "a#1": 1, a: 1 }, "has no #"],
    ["a weight of nothing", { a: 0 }, "from 1 to 16"],
    ["a part of a weight", { a: 1.5 }, "from 1 to 16"],
    ["a weight too high", { a: 17 }, "from 1 to 16"],
  ])("are not made of %s", (_, weights, says) => {
    expect(() => ticketsOf(weights)).toThrow(RangeError);
    expect(() => ticketsOf(weights)).toThrow(says);
  });
});
