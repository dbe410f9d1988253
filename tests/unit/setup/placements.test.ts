import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { plannedCopies, type SparseShardGroup, type Target } from "../../../setup/placements";

const place = (host: string): { host: string; port: number } => ({ host, port: 5432 });
const target = (host: string, groups = 0): Target => ({ ...place(host), groups });
const sparse = (shardId: string, missing: number, ...hosts: string[]): SparseShardGroup => ({ shardId, tables: ["rooms"], replicable: true, missing, places: hosts.map(place) });

describe("copies of shards with missing placements", () => {
  test.each<[string, SparseShardGroup[], Target[], [string, string, string][]]>([
    ["go to the emptiest worker", [sparse("1", 1, "a")], [target("a", 5), target("b", 3), target("c", 2)], [["1", "a", "c"]]],
    ["never go where the shard is", [sparse("1", 1, "a", "c")], [target("a", 0), target("b", 9), target("c", 0)], [["1", "a", "b"]]],
    ["count each other", [sparse("1", 1, "a"), sparse("2", 1, "a")], [target("a"), target("b"), target("c")], [["1", "a", "b"], ["2", "a", "c"]]],
    ["are several for a shard that misses several", [sparse("1", 2, "a")], [target("a"), target("b"), target("c")], [["1", "a", "b"], ["1", "a", "c"]]],
    ["are as many as workers allow", [sparse("1", 2, "a")], [target("a"), target("b")], [["1", "a", "b"]]],
    ["need something to copy", [sparse("1", 2)], [target("a"), target("b")], []],
  ])("%s", (_, groups, targets, expected) => {
    expect(plannedCopies(groups, targets).map(({ shardId, from, to }) => [shardId, from.host, to.host])).toEqual(expected);
  });

  test("leave workers as even as they can be", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 2, max: 6 }), (shards, workers) => {
        const targets = Array.from({ length: workers }, (_, index) => target(`worker${index}`));
        const copies = plannedCopies(Array.from({ length: shards }, (_, index) => sparse(String(index), 1, "gone")), targets);
        const counts = targets.map(({ host }) => copies.filter(({ to }) => to.host === host).length);
        expect(copies).toHaveLength(shards);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
