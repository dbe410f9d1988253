import { describe, expect, test } from "vitest";
import { groupsOf, type Group } from "../../../../cli/ha/groups";
import { historyRows, leaderChanges } from "../../../../cli/ha/history";
import { listedGroup } from "../../../../cli/ha/list";
import { withContainers } from "../../../../cli/ha/liveGroup";
import { consequence, reinitRefusal } from "../../../../cli/ha/reinit";
import { dueOf } from "../../../../cli/ha/restart";
import { parseSettings } from "../../../../config/parse";
import type { PatroniMember } from "../../../../setup/patroniRest";
import { planStack } from "../../../../topology/stack";

const { settings } = parseSettings({ topology: "active-passive" });
const [group] = groupsOf({ plan: planStack(settings, () => ""), settings }) as [Group];

const leader: PatroniMember = { name: "coord-1", role: "leader", state: "running", timeline: 2 };
const standby: PatroniMember = { name: "coord-2", role: "quorum_standby", state: "streaming", timeline: 2, lag: 5 };
const other: PatroniMember = { ...standby, name: "coord-3", lag: 0 };
const stopped: PatroniMember = { ...other, role: "replica", state: "stopped", lag: "unknown" };
const pending = { pending_restart: true, pending_restart_reason: { max_connections: { old_value: "300", new_value: "310" } } };

describe("a listed group", () => {
  test("has every member with what Patroni says of it", () => {
    expect(listedGroup(group, { members: [leader, { ...standby, ...pending }, { ...stopped, tags: { nofailover: true } }], pause: true })).toEqual({
      group: "coord",
      scope: "citusap",
      citusGroup: 0,
      paused: true,
      members: [
        { name: "coord-1", role: "leader", state: "running", inService: true, timeline: 2, pendingRestart: [], tags: {} },
        { name: "coord-2", role: "quorum_standby", state: "streaming", inService: true, timeline: 2, lagBytes: 5, pendingRestart: [{ parameter: "max_connections", from: "300", to: "310" }], tags: {} },
        { name: "coord-3", role: "replica", state: "stopped", inService: false, timeline: 2, pendingRestart: [], tags: { nofailover: true } },
      ],
    });
  });

  test("has members that Patroni does not know, and those that the plan does not", () => {
    const { members, paused } = listedGroup(group, { members: [leader, standby, { ...other, name: "coord-4" }] });
    expect(paused).toBe(false);
    expect(members.map(({ name, role, inService }) => [name, role, inService])).toEqual([
      ["coord-1", "leader", true],
      ["coord-2", "quorum_standby", true],
      ["coord-3", "none", false],
      ["coord-4", "quorum_standby", true],
    ]);
  });

  test("that does not answer has its members all the same", () => {
    expect(listedGroup(group, undefined).members.map(({ name, state }) => [name, state])).toEqual([["coord-1", "unknown"], ["coord-2", "unknown"], ["coord-3", "unknown"]]);
  });
});

test("a member whose container does not run is not in service, whatever Patroni believes", () => {
  const statuses = new Map([["coord-1", "running"], ["coord-2", "paused"], ["coord-4", "exited"]]);
  const { members } = withContainers({ members: [leader, standby, other, { ...other, name: "coord-4" }] }, group, statuses);
  expect(members.map(({ name, state }) => [name, state])).toEqual([["coord-1", "running"], ["coord-2", "container paused"], ["coord-3", "container missing"], ["coord-4", "streaming"]]);
});

describe("a restart", () => {
  const share = { group, members: ["coord-1", "coord-3"] };

  test.each<[string, PatroniMember[], boolean, string[]]>([
    ["takes those that are meant", [leader, standby, other], false, ["coord-1", "coord-3"]],
    ["takes only those that wait for it", [leader, { ...standby, ...pending }, { ...other, ...pending }], true, ["coord-3"]],
    ["takes nobody where nobody waits, whatever the others do", [leader, standby, stopped], true, []],
  ])("%s", (_, members, onlyPending, due) => {
    expect(dueOf("s", "coord", members, share, onlyPending)).toEqual(due);
  });

  test.each<[string, PatroniMember[], string]>([
    ["with a member out of service", [leader, standby, stopped], "coord-3 (stopped) of coord is not in service, so nothing was restarted: npm run restart -- s coord-3 brings it back."],
    ["with members away", [leader], "coord-2 (unknown to Patroni) and coord-3 (unknown to Patroni) of coord are not in service, so nothing was restarted: npm run restart -- s coord-2 coord-3 brings them back."],
    ["without a leader", [standby, other], "coord has no leader, so nothing was restarted"],
  ])("is refused %s", (_, members, message) => {
    expect(() => dueOf("s", "coord", members, share, false)).toThrow(message);
  });
});

describe("a new copy", () => {
  test.each<[string, PatroniMember[], string, string | undefined]>([
    ["is for a standby", [leader, standby, other], "coord-2", undefined],
    ["is for one that is out of service", [leader, standby, stopped], "coord-3", undefined],
    ["is not for the leader", [leader, standby], "coord-1", "coord-1 leads coord: its data is what the others copy. Hand the lead over first (npm run ha -- switchover s --group coord), then run this command again."],
    ["needs a leader", [standby, other], "coord-2", "coord has no leader that coord-2 could copy, so nothing was dropped."],
    ["needs one that runs", [{ ...leader, state: "starting" }, standby], "coord-2", "coord-1, which coord-2 would copy, leads but does not run (starting), so nothing was dropped. Wait until it runs."],
    ["needs a member that Patroni knows", [leader, standby], "coord-3", "coord-3 is no member that Patroni knows now, so nothing was dropped: npm run restart -- s coord-3 brings it back."],
  ])("%s", (_, members, member, refusal) => {
    expect(reinitRefusal("s", "coord", members, member)).toBe(refusal);
  });

  test.each<[string, PatroniMember[], string]>([
    ["who can take over meanwhile", [leader, standby, other], "All data of coord-2 is dropped, and copied anew from coord-1. Meanwhile coord-3 can take over."],
    ["that nobody can", [leader, standby, stopped], "All data of coord-2 is dropped, and copied anew from coord-1. Until it streams again no standby of coord can take over."],
  ])("tells %s", (_, members, text) => {
    expect(consequence("coord", members, "coord-2")).toBe(text);
  });
});

describe("a history", () => {
  const changes = leaderChanges("coord", [
    [1, 0x5268b30, "no recovery target specified", "2026-11-21T14:22:35.123456+00:00", "coord-2"],
    [2, 2 ** 33 + 0xabc, "no recovery target specified"],
  ]);

  test("has positions as PostgreSQL writes them, and what Patroni knows", () => {
    expect(changes).toEqual([
      { group: "coord", timeline: 1, lsn: "0/5268B30", reason: "no recovery target specified", at: "2026-11-21T14:22:35.123456+00:00", leader: "coord-2" },
      { group: "coord", timeline: 2, lsn: "2/ABC", reason: "no recovery target specified" },
    ]);
  });

  test("is shown in local time", () => {
    expect(historyRows(changes, "Asia/Tokyo")).toEqual([
      ["group", "timeline", "ended (Asia/Tokyo)", "at", "new leader", "reason"],
      ["coord", "1", "2026-11-21 23:22:35", "0/5268B30", "coord-2", "no recovery target specified"],
      ["coord", "2", "", "2/ABC", "", "no recovery target specified"],
    ]);
  });
});
