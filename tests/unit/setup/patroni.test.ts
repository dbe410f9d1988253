import { describe, expect, test } from "vitest";
import { configurationPatch } from "../../../setup/patroni";
import { ready } from "../../../setup/patroniGroup";
import { isLowered } from "../../../setup/patroniRestart";
import type { PatroniMember } from "../../../setup/patroniRest";

const planned = { members: ["c-1", "c-2"].map((name) => ({ host: name, port: 5432, container: name })) };
const leader: PatroniMember = { name: "c-1", role: "leader", state: "running" };
const standby: PatroniMember = { name: "c-2", role: "quorum_standby", state: "streaming" };

describe("a group is ready", () => {
  test.each<[string, PatroniMember[], string[] | undefined]>([
    ["with a leader and every standby streaming", [standby, leader], ["c-1", "c-2"]],
    ["with a member more than planned", [standby, leader, { name: "c-3", role: "replica", state: "starting" }], ["c-1", "c-2", "c-3"]],
    ["with the lead outside the plan", [{ ...standby, name: "c-1" }, standby, { ...leader, name: "c-9" }], ["c-9", "c-1", "c-2"]],
    ["not without a leader", [{ ...leader, role: "replica", state: "streaming" }, standby], undefined],
    ["not with two leaders", [leader, { ...standby, role: "leader", state: "running" }], undefined],
    ["not while the leader starts", [{ ...leader, state: "starting" }, standby], undefined],
    ["not while a standby does not stream", [leader, { ...standby, state: "running" }], undefined],
    ["not while a member is missing", [leader], undefined],
  ])("%s", (_, members, expected) => {
    expect(ready(members, planned)?.map(({ name }) => name)).toEqual(expected);
  });
});

describe("the patch of a dynamic configuration", () => {
  const spec = { dynamicConfiguration: { ttl: 20, postgresql: { use_slots: true, pg_hba: ["local all all trust"] } }, parameters: { max_connections: "300", work_mem: "8MB" } };
  const live = { ttl: 20, postgresql: { use_slots: true, pg_hba: ["local all all trust"], parameters: { max_connections: "300", work_mem: "8MB" } } };

  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ["is nothing where all is as planned", live, {}],
    ["takes a number for its text", { ...live, postgresql: { ...live.postgresql, parameters: { max_connections: 300, work_mem: "8MB" } } }, {}],
    ["leaves other people's keys alone", { ...live, pause: false, standby_cluster: {} }, {}],
    ["changes what differs", { ...live, ttl: 30 }, { ttl: 20 }],
    ["replaces a list as a whole", { ...live, postgresql: { ...live.postgresql, pg_hba: [] } }, { postgresql: { pg_hba: ["local all all trust"] } }],
    ["changes a parameter and takes out another", { ...live, postgresql: { ...live.postgresql, parameters: { max_connections: "100", work_mem: "8MB", jit: "off" } } }, { postgresql: { parameters: { max_connections: "300", jit: null } } }],
    ["is everything for an empty configuration", {}, { ttl: 20, postgresql: { ...spec.dynamicConfiguration.postgresql, parameters: spec.parameters } }],
  ])("%s", (_, configuration, patch) => {
    expect(configurationPatch(configuration, spec)).toEqual(patch);
  });
});

describe("the leader restarts first", () => {
  const change = (old_value: string, new_value: string): { old_value: string; new_value: string } => ({ old_value, new_value });
  test.each<[string, PatroniMember["pending_restart_reason"], boolean]>([
    ["where a parameter that standbys follow is lowered", { max_connections: change("300", "200"), max_prepared_transactions: change("600", "400") }, true],
    ["not where one is raised", { max_connections: change("300", "200"), max_worker_processes: change("16", "32") }, false],
    ["not where another one is lowered", { shared_buffers: change("256MB", "128MB") }, false],
    ["not where nothing waits", undefined, false],
  ])("%s", (_, pending_restart_reason, expected) => {
    expect(isLowered({ ...leader, ...(pending_restart_reason && { pending_restart_reason }) })).toBe(expected);
  });
});
