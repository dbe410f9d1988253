import { expect, test } from "vitest";
import type { Coordinator } from "../../../setup/coordinator";
import { Deadline } from "../../../setup/deadline";
import type { LiveNode } from "../../../setup/readiness";
import { registerWorkers } from "../../../setup/registration";
import type { RegisteredWorker } from "../../../setup/registry";
import { Report } from "../../../setup/report";

const disabled: RegisteredWorker = { groupId: 1, host: "worker1", port: 5432, active: false, synced: true, takesShards: true, placements: 4 };
const worker = { node: { host: "worker1", port: 5432, container: "worker1" }, state: {} } as unknown as LiveNode;

/** A coordinator with one disabled worker, which the guard still takes out of service for a number of questions. */
function coordinator(takingOut: number): { said: string[]; coordinator: Coordinator } {
  const said: string[] = [];
  const fake = {
    name: "coord",
    isTakingOut(): Promise<boolean> {
      said.push("is the guard taking one out?");
      return Promise.resolve(said.length <= takingOut);
    },
    query(text: string): Promise<unknown[]> {
      if (text.includes("FROM pg_dist_node")) return Promise.resolve([disabled]);
      said.push(/citus_activate_node|groupid = 1;\s+PERFORM recover_prepared_transactions/.exec(text)?.[0] ?? text);
      return Promise.resolve([]);
    },
  };
  return { said, coordinator: fake as unknown as Coordinator };
}

test("a worker that the guard has just disabled is activated when connections to it are no longer broken", async () => {
  const { said, coordinator: ofGuard } = coordinator(2);
  await registerWorkers(ofGuard, [worker], new Deadline(5), new Report(() => undefined));
  expect(said).toEqual([...Array<string>(4).fill("is the guard taking one out?"), expect.stringContaining("recover_prepared_transactions"), "citus_activate_node"]);
});

test("a guard that does not end is named", async () => {
  const { coordinator: ofGuard } = coordinator(Infinity);
  await expect(registerWorkers(ofGuard, [worker], new Deadline(0.3), new Report(() => undefined))).rejects.toThrow(/guard was still taking a worker of coord out of service.*docker logs of its guards/);
});
