import { beforeEach, expect, test, vi } from "vitest";
import { fencersOff } from "../../../cli/fencersOff";
import { fencerWarning } from "../../../cli/fencerWarning";
import type { RunResult } from "../../../cli/run";
import { parseSettings } from "../../../config/parse";
import { planStack } from "../../../topology/stack";

/** What is asked of Docker, and the holders in which there is a word of a fencer that is off. */
const docker = vi.hoisted(() => ({ asked: [] as string[], off: [] as string[] }));
vi.mock("../../../cli/docker", () => ({
  docker: ([command = "", holder = "", ...words]: readonly string[]): Promise<RunResult> => {
    docker.asked.push([command, holder, ...words].join(" "));
    return Promise.resolve({ code: docker.off.includes(holder) ? 0 : 1, stdout: "", stderr: "" });
  },
}));
beforeEach(() => void (docker.asked = docker.off = []));

const off = (settings: Record<string, unknown>): Promise<string[]> => fencersOff(planStack(parseSettings(settings).settings, () => ""));

test("a fencer is off whose holder says so; one whose holder does not answer is left out", async () => {
  docker.off = ["coord-1-holder", "coord-3-holder"];
  expect(await off({ topology: "active-passive" })).toEqual(["coord-1", "coord-3"]);
  expect(docker.asked).toEqual(["coord-1", "coord-2", "coord-3"].map((name) => `exec ${name}-holder cat /run/fencer.off`));
});

test("fencers of worker groups count, too", async () => {
  docker.off = ["coord-2-holder", "worker1-2-holder"];
  expect(await off({ topology: "active-passive", workers: { groups: 2, members: 3 } })).toEqual(["coord-2", "worker1-2"]);
});

test.each([
  ["fencers were switched off", { topology: "active-passive", fencer: false }],
  ["there is no Patroni", { topology: "active-active" }],
])("nobody is asked where %s", async (_where, settings) => {
  expect([await off(settings), docker.asked]).toEqual([[], []]);
});

const WHY = "this Docker does not give containers control groups of their own, which rootless Docker does with systemd and control groups version 2. A leader that dies is followed when its lease of 20 s has expired.";

test.each([
  [["coord-1"], `The fencer of coord-1 is off: ${WHY}`],
  [["coord-1", "coord-2"], `Fencers of coord-1 and coord-2 are off: ${WHY}`],
  [["coord-1", "coord-2", "worker1-1"], `Fencers of coord-1, coord-2 and worker1-1 are off: ${WHY}`],
])("fencers of %j are warned of", (members, warning) => expect(fencerWarning(members)).toBe(warning));
