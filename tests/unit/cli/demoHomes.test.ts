import { expect, test } from "vitest";
import { directoryOf, placed, type Directory } from "../../../cli/demoHomes";
import { FIRST_ID, ROOMS } from "../../../cli/demoRows";
import type { Stack } from "../../../cli/stack";
import { parseSettings } from "../../../config/parse";
import { planStack } from "../../../topology/stack";

const coordinators = [{ cluster: "a", uri: "postgresql://a" }, { cluster: "b", uri: "postgresql://b" }];
const directory = (homeOf: (room: number) => string): Directory => ({ homeOf: (room) => Promise.resolve(homeOf(room)), open: () => Promise.reject(new Error("nobody is asked")), end: () => Promise.resolve() });
const stack = (settings: Record<string, unknown>): Stack => ({ name: "s", plan: planStack(parseSettings(settings).settings, () => "") }) as Stack;

test("every room is placed once, in its home, and a cluster may have none", async () => {
  const parts = await placed(directory((room) => (room === FIRST_ID ? "b" : "a")), [...coordinators, { cluster: "c", uri: "postgresql://c" }]);
  expect(parts.map(({ cluster, uri, rooms }) => [cluster, uri, rooms.length])).toEqual([["a", "postgresql://a", ROOMS - 1], ["b", "postgresql://b", 1], ["c", "postgresql://c", 0]]);
  expect(parts[1]?.rooms).toEqual([FIRST_ID]);
});

test("a room whose home is not up stops the demo", async () => {
  await expect(placed(directory(() => "z"), coordinators)).rejects.toThrow(`Room ${FIRST_ID} lives in the cluster z, which is not up as part of the stack.`);
});

test("without a fence rooms alternate over the clusters; a single one has them all", async () => {
  const unfenced = await directoryOf(stack({ topology: "active-active", tenantFence: false }), coordinators);
  expect((await placed(unfenced, coordinators)).map(({ rooms }) => rooms.length)).toEqual([ROOMS / 2, ROOMS / 2]);
  const passive = await directoryOf(stack({ topology: "active-passive" }), [{ cluster: "citusap", uri: "postgresql://leader" }]);
  expect((await placed(passive, [{ cluster: "citusap", uri: "postgresql://leader" }])).map(({ rooms }) => rooms.length)).toEqual([ROOMS]);
});
