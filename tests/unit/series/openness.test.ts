import { expect, test } from "vitest";
import { Openness, type Probe } from "../../series/moves/openness";

/** Probes as `cluster epoch begin-end`, with the home that the record named where it is another. */
function probe(text: string): Probe {
  const [, cluster = "", epoch, began, ended, home = cluster] = /^(\w) (\d+) (\d+)-(\d+)(?: says (\w))?$/.exec(text) ?? [];
  return { tenant: "1", cluster, home, epoch: Number(epoch), beganAt: Number(began), endedAt: Number(ended) };
}

test.each<[string, string[], string | undefined]>([
  ["there and back again", ["a 0 0-5", "b 1 10-12", "b 1 13-15", "a 2 20-22"], undefined],
  ["given up: the same home in the next epoch", ["a 0 0-5", "a 1 6-8", "b 2 9-12"], undefined],
  ["one that waited for its answer while the tenant moved", ["b 1 10-12", "a 0 0-15"], undefined],
  ["one that began before the first of the next epoch had ended", ["b 1 10-12", "a 0 11-15"], undefined],
  ["one that began afterwards", ["a 0 0-5", "b 1 10-12", "a 0 13-15"], "late: a took a write of tenant 1 of epoch 0 that began at 13.0 ms, and b had taken one of epoch 1 by 12.0 ms"],
  ["one of two epochs ago, which ended last", ["a 0 0-5", "b 1 10-12", "a 2 14-16", "b 1 17-18"], "late: b took a write of tenant 1 of epoch 1 that began at 17.0 ms, and a had taken one of epoch 2 by 16.0 ms"],
  ["of the same home, in an epoch that is over", ["a 0 0-5", "a 1 6-8", "a 0 9-10"], "late: a took a write of tenant 1 of epoch 0 that began at 9.0 ms, and a had taken one of epoch 1 by 8.0 ms"],
  ["two clusters in one epoch", ["a 3 0-5", "b 3 1-6"], "two homes: a and b both took writes of tenant 1 in epoch 3"],
  ["two clusters in one epoch, the one long after the other", ["a 3 0-5", "b 4 7-8", "a 5 9-10", "b 3 4-11"], "two homes: a and b both took writes of tenant 1 in epoch 3"],
  ["a cluster that knows better, and took it", ["a 0 0-5", "a 1 10-11 says b"], "elsewhere: a took a write of tenant 1 at 11.0 ms, and its record of epoch 1 says that it lives in b"],
])("%s", (_, probes, wrong) => {
  const openness = new Openness();
  expect(probes.map((text) => openness.note(probe(text))).find((one) => one !== undefined)).toBe(wrong);
});

test("tenants do not concern each other", () => {
  const openness = new Openness();
  expect(openness.note(probe("b 5 0-1"))).toBeUndefined();
  expect(openness.note({ ...probe("a 0 2-3"), tenant: "2" })).toBeUndefined();
});
