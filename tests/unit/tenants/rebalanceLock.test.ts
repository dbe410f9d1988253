import { expect, test } from "vitest";
import { refuseSecond } from "../../../tenants/rebalanceLock";
import type { Site } from "../../../tenants/site";

/** Coordinators of clusters, of which one's lock is held by somebody for as often as it is asked for. */
function coordinators(names: readonly string[], held: string, times: number, asked: string[]): Site[] {
  let left = times;
  return names.map((name) => {
    const query = (text: string): Promise<unknown> => {
      if (text.includes("pg_locks")) return Promise.resolve({ rows: [{ pid: 4711 }] });
      if (!text.includes("pg_try_advisory_lock")) return Promise.resolve({ rows: [] });
      asked.push(name);
      const mine = name !== held || left === 0;
      if (!mine) left -= 1;
      return Promise.resolve({ rows: [{ mine }] });
    };
    return { name, coordinator: { query } } as unknown as Site;
  });
}

test("of two rebalances the second says who is at work, and ends", async () => {
  const asked: string[] = [];
  await expect(refuseSecond(coordinators(["c", "b", "a"], "b", Infinity, asked), 250)).rejects.toThrow(
    "Another rebalance or drain is at work (process 4711 on the coordinator of cluster b). Run this again when it has ended, or end it first: what it has done stays",
  );
  // Every cluster's in one order, whichever they come in.
  expect(asked.slice(0, 2)).toEqual(["a", "b"]);
  expect(asked).not.toContain("c");
});

test("one that was killed is waited for until its sessions have ended", async () => {
  const asked: string[] = [];
  await refuseSecond(coordinators(["a", "b"], "a", 2, asked));
  expect(asked).toEqual(["a", "a", "a", "b"]);
});
