import { expect, test } from "vitest";
import { closest } from "../../../config/closest";

test.each<[string, string[], string | undefined]>([
  ["worker", ["workers", "port"], "workers"],
  ["prot", ["workers", "port"], "port"],
  ["SHARD_COUNT", ["shardCount"], "shardCount"],
  ["shard-count", ["shardCount"], "shardCount"],
  ["parametres", ["parameters", "coordinatorParameters"], "parameters"],
  ["cpu", ["cpus", "shm"], "cpus"],
  ["fix", ["prefix"], undefined],
  ["xprefix", ["prefix"], "prefix"],
  ["xyprefix", ["prefix"], "prefix"],
  ["xyzprefix", ["prefix"], undefined],
  ["efix", ["prefix"], "prefix"],
  ["prefixed", ["prefix"], "prefix"],
  ["pre", ["prefix"], undefined],
  ["scopes", ["shapes", "scope"], "scope"],
  ["cat", ["cpus", "shm"], undefined],
  ["colour", ["prefix", "scope"], undefined],
  ["", ["shm"], undefined],
])("%j among %j means %s", (word, candidates, meant) => {
  expect(closest(word, candidates)).toBe(meant);
});
