import { describe, expect, test } from "vitest";
import { succession } from "../../../../cli/ha/candidate";
import type { PatroniMember } from "../../../../setup/patroniRest";

const leader: PatroniMember = { name: "c-1", role: "leader", state: "running" };
const near: PatroniMember = { name: "c-2", role: "quorum_standby", state: "streaming", lag: 10 };
const nearest: PatroniMember = { name: "c-3", role: "sync_standby", state: "streaming", lag: 0 };
const replica: PatroniMember = { name: "c-4", role: "replica", state: "streaming", lag: 0 };
const starting: PatroniMember = { name: "c-5", role: "quorum_standby", state: "starting", lag: "unknown" };

describe("the lead goes to", () => {
  test.each<[string, PatroniMember[], string | undefined, string]>([
    ["the most advanced synchronous standby", [leader, near, nearest], undefined, "c-3"],
    ["the one that is named", [leader, near, nearest], "c-2", "c-2"],
    ["one whose lag is known before one whose lag is not", [leader, { ...nearest, lag: "unknown" }, near], undefined, "c-2"],
    ["no replica, however near", [leader, replica, near], undefined, "c-2"],
    ["nobody who may not lead", [leader, { ...nearest, tags: { nofailover: true } }, near], undefined, "c-2"],
  ])("%s", (_, members, to, candidate) => {
    expect(succession("coord", members, to)).toEqual({ leader: "c-1", candidate });
  });
});

describe("refused is", () => {
  test.each<[string, PatroniMember[], string | undefined, string]>([
    ["the leader", [leader, near, nearest], "c-1", "c-1 leads coord already. c-3 and c-2 can take over."],
    ["one that does not stream", [leader, near, starting], "c-5", "c-5 cannot take over from c-1: it does not stream (starting). c-2 can take over."],
    ["one that is not synchronous", [leader, near, replica], "c-4", "c-4 cannot take over from c-1: it is not synchronous, so it may lack writes that were acknowledged. c-2 can take over."],
    ["one that may not lead", [leader, near, { ...nearest, tags: { nofailover: true } }], "c-3", "it is tagged nofailover. c-2 can take over."],
    ["one that Patroni does not know", [leader, near], "c-3", "c-3 cannot take over from c-1: it is no member that Patroni knows now. c-2 can take over."],
    ["one where nobody else can either", [leader, starting], "c-5", "No other member can either; wait until one streams."],
    ["a group without a leader", [near, nearest], undefined, "coord has no leader that could hand over"],
    ["a leader that does not run", [{ ...leader, state: "container exited" }, near], undefined, "c-1 leads coord, but does not run (container exited), so it cannot hand over"],
    ["a leader alone", [leader], undefined, "Nobody can take over from c-1: coord has no standby."],
    ["a group in which nobody can", [leader, replica, starting], undefined, "Nobody can take over from c-1: c-4 is not synchronous, so it may lack writes that were acknowledged and c-5 does not stream (starting). Wait until a synchronous standby streams."],
  ])("%s", (_, members, to, message) => {
    expect(() => succession("coord", members, to)).toThrow(message);
  });
});
