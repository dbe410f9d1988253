import { execFileSync, spawnSync } from "node:child_process";
import * as path from "node:path";
import { describe, expect, test } from "vitest";

const ASSETS = path.join(__dirname, "../../../assets/patroni");

/** A PostgreSQL that says, look by look, which commits wait; the last answer stays. `None` is no answer. */
const POSTGRESQL = `
import json, sys
from types import SimpleNamespace
sys.path.insert(0, ${JSON.stringify(ASSETS)})
import stopping

stopping.CONFIRMED_SECONDS = 0.2
stopping.POLL_SECONDS = 0.01
def way(mode, *looks, primary=True):
    looks = list(looks)
    def query(sql, retry):
        found = looks.pop(0) if len(looks) > 1 else looks[0]
        if found is None:
            raise RuntimeError("connection problems")
        return [(pid, started, None) for pid, started in found]
    print(json.dumps(stopping.way_to_stop(SimpleNamespace(query=query, is_primary=lambda: primary), mode)))
`;

describe.skipIf(spawnSync("python3", ["--version"]).status !== 0)("how a member stops, on this machine's Python", () => {
  const way = (call: string): unknown => JSON.parse(execFileSync("python3", ["-B", "-c", `${POSTGRESQL}\nway(${call})`], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));

  test.each([
    ["a leader nobody waits on", '"fast", []', "fast"],
    ["a leader whose commits are confirmed, one after the other", '"fast", [(1, 10)], [(1, 11), (2, 5)], [(1, 12)], []', "fast"],
    ["a leader with another commit of the same session at each look", '"fast", *[[(1, started)] for started in range(1000)]', "fast"],
    ["a leader whose commit nobody confirms", '"fast", [(1, 10), (2, 5)], [(2, 5)]', "immediate"],
    ["a leader that does not answer", '"fast", None', "fast"],
    ["a standby", '"fast", [(1, 10)], primary=False', "fast"],
    ["a leader that is to end at once anyway", '"immediate", [(1, 10)]', "immediate"],
  ])("%s", (_who, call, mode) => {
    expect(way(call)).toBe(mode);
  });
});
