import { expect, test, vi } from "vitest";
import { requireNoStrangers } from "../../../cli/repair";
import type { Stack } from "../../../cli/stack";
import { stateFrom } from "../../../cli/state";
import { parseSettings } from "../../../config/parse";
import type { PasswordKey } from "../../../config/settings";
import { identityOf } from "../../../topology/identity";
import { planStack } from "../../../topology/stack";

const left = vi.hoisted(() => ({ volumes: [] as string[] }));
vi.mock("../../../cli/live", () => ({ existingVolumes: (names: readonly string[]) => Promise.resolve(names.filter((name) => left.volumes.includes(name))) }));

const stackOf = (settings: Record<string, unknown>, passwords: PasswordKey[]): Stack => {
  const parsed = parseSettings(settings).settings;
  return { name: "s", settings: parsed, plan: planStack(parsed, () => ""), ports: [], passwords };
};
const passive = (...passwords: PasswordKey[]): Stack => stackOf({ topology: "active-passive", coordinators: 1, etcdMembers: 1, workers: 1 }, passwords);
const active = (...passwords: PasswordKey[]): Stack => stackOf({ topology: "active-active", replicationFactor: 1, clusters: { a: { workers: 1 } } }, passwords);
const none = stateFrom("{}");

test("data that was kept needs every password of its topology", async () => {
  left.volumes = ["coord-1-data", "etcd-1-data", "coord_a-data"];
  await expect(requireNoStrangers(passive("superuserPassword"), "l", none, [])).rejects.toThrow(
    /^There are volumes of an earlier s \(etcd-1-data, coord-1-data\), and replicationPassword and rewindPassword are not set: .*config set --secret replicationPassword --stack s, .*config set --secret rewindPassword --stack s.*docker volume rm etcd-1-data coord-1-data/,
  );
  await expect(requireNoStrangers(active(), "l", none, [])).rejects.toThrow(/\(coord_a-data\), and superuserPassword is not set: /);
  await requireNoStrangers(passive("superuserPassword", "replicationPassword", "rewindPassword"), "l", none, []);
  await requireNoStrangers(active("superuserPassword"), "l", none, []);
});

test("generated passwords are enough where the state has them, or no data was kept", async () => {
  left.volumes = ["coord-1-data"];
  const stack = passive();
  await requireNoStrangers(stack, "l", { ...none, identity: identityOf(stack.settings, []) }, []);
  left.volumes = [];
  await requireNoStrangers(stack, "l", none, []);
});
