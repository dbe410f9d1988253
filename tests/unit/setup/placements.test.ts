import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Coordinator } from "../../../setup/coordinator";
import { Deadline, watchOver } from "../../../setup/deadline";
import { plannedCopies, transfer, type SparseShardGroup, type Target } from "../../../setup/placements";
import { Report } from "../../../setup/report";

// Fake timers do not reach this module by themselves.
vi.mock("node:timers/promises", () => ({
  setTimeout: (ms: number, value?: unknown, { signal }: { signal?: AbortSignal } = {}) =>
    new Promise((resolve, reject) => {
      setTimeout(resolve, ms, value);
      if (signal !== undefined) signal.onabort = () => reject(new Error("aborted"));
    }),
}));

const place = (host: string): { host: string; port: number } => ({ host, port: 5432 });
const target = (host: string, groups = 0): Target => ({ ...place(host), groups });
const sparse = (shardId: string, missing: number, ...hosts: string[]): SparseShardGroup => ({ shardId, tables: ["rooms"], replicable: true, missing, places: hosts.map(place) });

describe("copies of shards with missing placements", () => {
  test.each<[string, SparseShardGroup[], Target[], [string, string, string][]]>([
    ["go to the emptiest worker", [sparse("1", 1, "a")], [target("a", 5), target("b", 3), target("c", 2)], [["1", "a", "c"]]],
    ["never go where the shard is", [sparse("1", 1, "a", "c")], [target("a", 0), target("b", 9), target("c", 0)], [["1", "a", "b"]]],
    ["count each other", [sparse("1", 1, "a"), sparse("2", 1, "a")], [target("a"), target("b"), target("c")], [["1", "a", "b"], ["2", "a", "c"]]],
    ["are several for a shard that misses several", [sparse("1", 2, "a")], [target("a"), target("b"), target("c")], [["1", "a", "b"], ["1", "a", "c"]]],
    ["are as many as workers allow", [sparse("1", 2, "a")], [target("a"), target("b")], [["1", "a", "b"]]],
    ["need something to copy", [sparse("1", 2)], [target("a"), target("b")], []],
  ])("%s", (_, groups, targets, expected) => {
    expect(plannedCopies(groups, targets).map(({ shardId, from, to }) => [shardId, from.host, to.host])).toEqual(expected);
  });

  test("leave workers as even as they can be", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 2, max: 6 }), (shards, workers) => {
        const targets = Array.from({ length: workers }, (_, index) => target(`worker${index}`));
        const copies = plannedCopies(Array.from({ length: shards }, (_, index) => sparse(String(index), 1, "gone")), targets);
        const counts = targets.map(({ host }) => copies.filter(({ to }) => to.host === host).length);
        expect(copies).toHaveLength(shards);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe("the set-up goes by progress in bytes, not by a clock:", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const SECONDS = 60;
  /** What the workers tell of their copies in a second of the transfer, as the coordinator answers it. */
  type Progress = (second: number) => Promise<string | null>;
  const answered: (told: (second: number) => string | null) => Progress = (told) => (second) => Promise.resolve(told(second));
  const never = new Promise<never>(() => undefined);

  /** Copies shards, one after the other, under a deadline of a minute; gives what ends that, and in which second. */
  async function copied(shards: number, secondsEach: number, progress: Progress): Promise<{ ended: string[]; asked: number }> {
    const startedAt = performance.now();
    const second = (): number => (performance.now() - startedAt) / 1000;
    const [ended, report, deadline] = [[] as string[], new Report(() => undefined), new Deadline(SECONDS)];
    const end = (how: string): void => void ended.push(`${Math.round(second())} s: ${how}`);
    let asked = 0;
    const session = {
      query: async (text: string): Promise<unknown> => {
        if (text.includes("citus_copy_shard_placement")) return new Promise((resolve) => setTimeout(resolve, secondsEach * 1000));
        asked += 1;
        return { rows: [{ steps: await progress(second()) }] };
      },
      end: () => Promise.resolve(),
    };
    const coordinator = { query: () => Promise.resolve([]), open: () => Promise.resolve(session) } as unknown as Coordinator;
    const copies = Array.from({ length: shards }, (_, index) => ({ kind: "copy" as const, shardId: String(index + 1), tables: ["rooms"], replicable: false, from: place("a"), to: place("b") }));
    watchOver(deadline, report, end);
    void transfer(coordinator, "replication", copies, deadline, report).then(() => end("copied"));
    while (ended.length === 0) await vi.advanceTimersByTimeAsync(1000);
    const atTheEnd = asked;
    await vi.advanceTimersByTimeAsync(1_000_000);
    return { ended, asked: asked - atTheEnd };
  }

  const standsStill = (second: number): string => `${second} s: The set-up got no further within 60 s while replication, shard 1 from a to b. Run the update again; it goes on where it was`;

  test.each<[string, Progress]>([
    ["bytes move all the time", answered((second) => `b: copy 7 ${Math.round(second)} 0`)],
    ["bytes move once in 50 s", answered((second) => `b: copy 7 ${Math.floor(second / 50)} 0`)],
    ["a worker is silent now and then, and bytes move", answered((second) => (second % 20 < 10 ? null : `b: copy 7 ${Math.round(second)} 0`))],
    ["the coordinator does not tell now and then, and bytes move", (second) => (second % 20 < 10 ? Promise.reject(new Error("gone")) : Promise.resolve(`b: copy 7 ${Math.round(second)} 0`))],
  ])("a copy of an hour goes on while %s", async (_when, progress) => {
    expect((await copied(1, 3600, progress)).ended[0]).toBe("3600 s: copied");
  });

  test.each<[string, Progress, number]>([
    ["its bytes stand still from the beginning", answered(() => ""), 62],
    // The look at 5 s is the first that tells anything.
    ["what is told of it stays the same", answered(() => "b: copy 7 4096 12"), 67],
    ["its bytes stand still after 30 minutes", answered((second) => `b: copy 7 ${Math.min(Math.round(second), 1800)} 0`), 1862],
    ["a worker is silent now and then, and its bytes stand still", answered((second) => (second % 20 < 10 ? null : "b: copy 7 4096 12")), 72],
    ["no worker tells of its copies", answered(() => null), 62],
    ["the coordinator is frozen, and answers nothing", () => never, 62],
    ["the session that looks is ended", () => Promise.reject(new Error("terminating connection")), 62],
  ])("a copy of an hour ends while %s", async (_when, progress, second) => {
    expect((await copied(1, 3600, progress)).ended[0]).toBe(standsStill(second));
  });

  test("many shards may take longer than the deadline, of which each takes less", async () => {
    expect((await copied(20, 50, answered(() => ""))).ended[0]).toBe("1000 s: copied");
  });

  test("nobody looks any more when all is copied", async () => {
    const { ended, asked } = await copied(1, 100, answered((second) => `b: copy 7 ${Math.round(second)} 0`));
    expect([ended[0], asked]).toEqual(["100 s: copied", 0]);
  });
});
