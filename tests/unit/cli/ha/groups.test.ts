import { describe, expect, test } from "vitest";
import { chooseGroup, groupsOf, requireMember, type HighlyAvailable } from "../../../../cli/ha/groups";
import { sharesOf } from "../../../../cli/ha/restart";
import { parseSettings } from "../../../../config/parse";
import { planPatroni } from "../../../../topology/patroni";
import { planStack } from "../../../../topology/stack";

/** A stack whose coordinators and two workers are groups of three. */
function stackWith(prefix: string, workers = 2): Pick<HighlyAvailable, "name" | "settings" | "groups"> {
  const { settings } = parseSettings({ topology: "active-passive", prefix });
  const numbers = Array.from({ length: workers }, (_, index) => index + 1);
  const workerGroups = numbers.map((group) => planPatroni(`worker${group}`, ["etcd-1:2379"], { prefix, citus: { group, shardCount: 32, replicationFactor: 1 } }));
  return { name: "s", settings, groups: groupsOf({ plan: { ...planStack(settings, () => ""), workerGroups }, settings }) };
}

const stack = stackWith("h-");

test("groups are called what their members are called", () => {
  expect(stack.groups.map(({ name }) => name)).toEqual(["coord", "worker1", "worker2"]);
  expect(stack.groups[2]?.members).toEqual(["h-worker2-1", "h-worker2-2", "h-worker2-3"]);
});

describe("a group is chosen by", () => {
  test.each<[string, string, string]>([
    ["its name", "worker2", "worker2"],
    ["its name with the prefix", "h-worker2", "worker2"],
    ["its Citus group", "0", "coord"],
    ["a member", "h-worker1-3", "worker1"],
    ["a member without the prefix", "coord-1", "coord"],
  ])("%s", (_, word, name) => {
    expect(chooseGroup(stack, word).name).toBe(name);
  });

  test("nothing, if it is the only one", () => {
    expect(chooseGroup(stackWith("", 0), undefined).name).toBe("coord");
  });

  test.each<[string, string | undefined, string]>([
    ["nothing, of several", undefined, "Which group of s? Say --group coord or --group worker1 or --group worker2."],
    ["a slip of a name", "wroker2", 's has no group "wroker2"; did you mean worker2? Its groups are coord, worker1 and worker2.'],
    ["a slip of a member", "h-crd-1", "did you mean coord-1?"],
    ["another word", "etcd", 's has no group "etcd". Its groups are'],
  ])("not by %s", (_, word, message) => {
    expect(() => chooseGroup(stack, word)).toThrow(message);
  });
});

describe("a member is found", () => {
  test.each<[string, string, string]>([
    ["by its name", "h-coord-2", "h-coord-2"],
    ["without the prefix", "coord-2", "h-coord-2"],
  ])("%s", (_, word, member) => {
    expect(requireMember(stack, word)).toMatchObject({ member, group: { name: "coord" } });
  });

  test.each<[string, string, string[], string]>([
    ["by a slip", "coord-9", ["coord", "worker1", "worker2"], 'There is no member "coord-9" in s; did you mean coord-1?'],
    ["in another group", "coord-2", ["worker1"], 'There is no member "coord-2" in the group worker1. Its members are h-worker1-1, h-worker1-2 and h-worker1-3.'],
    ["by a holder's name", "h-coord-1-holder", ["coord"], "There is no member"],
  ])("not %s", (_, word, groups, message) => {
    expect(() => requireMember(stack, word, stack.groups.filter(({ name }) => groups.includes(name)))).toThrow(message);
  });
});

describe("restarted are", () => {
  const shares = (names: string[], word?: string): Record<string, readonly string[]> => Object.fromEntries(sharesOf(stack, names, word).map(({ group, members }) => [group.name, members]));

  test("all members of all groups without a name", () => {
    expect(shares([])).toEqual(Object.fromEntries(stack.groups.map(({ name, members }) => [name, members])));
  });

  test("all members of a group", () => {
    expect(shares([], "worker1")).toEqual({ worker1: ["h-worker1-1", "h-worker1-2", "h-worker1-3"] });
  });

  test("the members that are named, by group and once", () => {
    expect(shares(["worker2-2", "coord-3", "coord-1", "h-coord-1"])).toEqual({ coord: ["h-coord-1", "h-coord-3"], worker2: ["h-worker2-2"] });
  });

  test("no member of a group that is not meant", () => {
    expect(() => shares(["coord-1"], "worker1")).toThrow('There is no member "coord-1" in the group worker1');
  });
});
