import { describe, expect, test } from "vitest";
import { judge, type Judgement, type Ward } from "../../../agents/keeper/judgement";

const BOOT = new Date("2026-01-01T12:00:00Z");
const NOW = new Date("2026-01-01T12:01:00Z");
const NO_NETWORK = "cannot join network of a non running container: 59af909e6ac8";

/** A container that has run since the boot, unless it is said otherwise. */
function ward(name: string, more: Partial<Ward> = {}): Ward {
  return { id: `${name}-id`, name, status: "running", exitCode: 0, error: "", startedAt: BOOT, stopGraceSeconds: 60, ...more };
}
const holder = (more: Partial<Ward> = {}): Ward => ward("m-holder", more);
const member = (more: Partial<Ward> = {}): Ward => ward("m", { host: "m-holder-id", startedAt: new Date(BOOT.getTime() + 1000), ...more });
const exited = (exitCode: number, error = ""): Partial<Ward> => ({ status: "exited", exitCode, error });
const names = ({ start, restart }: Judgement): Record<string, string[]> => ({ start: start.map(({ name }) => name), restart: restart.map(({ name }) => name) });

// What Docker 20.10.24 was seen to say after each of these.
describe("what is brought back", () => {
  test.each<[string, Ward[], string[]]>([
    ["nothing, where all runs", [holder(), member()], []],
    ["a member that the engine tried before its holder ran, after a power cut", [holder(), member(exited(255, NO_NETWORK))], ["m"]],
    ["the same after a graceful restart, in which it was killed", [holder(), member(exited(137, NO_NETWORK))], ["m"]],
    ["the same after a graceful restart, in which it stopped by itself", [holder(), member(exited(128, NO_NETWORK))], ["m"]],
    ["a holder first, and its member when the holder runs", [holder(exited(128, "address already in use")), member(exited(255, NO_NETWORK))], ["m-holder"]],
    ["what the engine found ended and did not try", [holder(exited(255)), member(exited(255))], ["m-holder"]],
    ["a member that ended with its holder and could not start before it", [holder({ startedAt: NOW }), member(exited(137, NO_NETWORK))], ["m"]],
    ["a start that was cut short", [holder(), member(exited(137, "cannot start a stopped process: unknown"))], ["m"]],
    ["a container without a holder", [ward("etcd-1", exited(255))], ["etcd-1"]],
  ])("%s", (_, wards, start) => {
    expect(names(judge(wards, NOW))).toEqual({ start, restart: [] });
  });

  test.each<[string, Ward[]]>([
    ["a member that a person stopped, also after a reboot", [holder(), member(exited(0))]],
    ["a member that a person killed, also after a reboot", [holder(), member(exited(137))]],
    ["a holder that a person stopped, nor the member that cannot live without it", [holder(exited(0)), member(exited(137, NO_NETWORK))]],
    ["a member whose holder is gone", [member(exited(255, NO_NETWORK))]],
    ["what an update has made and not started yet", [holder(), member({ status: "created", error: NO_NETWORK })]],
    ["what is paused", [holder(), member({ status: "paused" })]],
    ["what Docker itself starts again", [holder(), member({ status: "restarting", exitCode: 255 })]],
    ["what is being removed", [holder(), member({ status: "removing", exitCode: 255 })]],
  ])("not %s", (_, wards) => {
    expect(names(judge(wards, NOW))).toEqual({ start: [], restart: [] });
  });
});

describe("what is restarted", () => {
  const guard = (more: Partial<Ward> = {}): Ward => ward("g", { host: "m-holder-id", ...more });
  const restartedAt = (secondsAgo: number): Date => new Date(NOW.getTime() - secondsAgo * 1000);

  test.each<[string, Ward[], string[]]>([
    ["a guard in the namespace of a holder that was restarted alone", [holder({ startedAt: restartedAt(11) }), guard()], ["g"]],
    ["not before it had time to leave by itself", [holder({ startedAt: restartedAt(9) }), guard()], []],
    ["not one that was started after it", [holder({ startedAt: restartedAt(11) }), guard({ startedAt: restartedAt(5) })], []],
    ["not one that is down", [holder({ startedAt: restartedAt(11) }), guard(exited(0))], []],
    ["not where the holder is down", [holder(exited(0)), guard()], []],
  ])("%s", (_, wards, restart) => {
    expect(names(judge(wards, NOW))).toEqual({ start: [], restart });
  });
});
