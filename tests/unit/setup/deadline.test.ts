import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Deadline, watchOver } from "../../../setup/deadline";
import { Report } from "../../../setup/report";
import { SetupError } from "../../../setup/setupError";

// Fake timers do not reach this module by themselves.
vi.mock("node:timers/promises", () => ({ setTimeout: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)) }));

describe("polling against a deadline", () => {
  test("asks until there is an answer, which may be false", async () => {
    let asked = 0;
    const answer = await new Deadline(5).poll(() => Promise.resolve((asked += 1) < 3 ? undefined : false), () => "late", 1);
    expect([asked, answer]).toEqual([3, false]);
  });

  test("asks once even when time is up, then ends with the sentence", async () => {
    let asked = 0;
    const poll = new Deadline(0).poll(() => Promise.resolve(void (asked += 1)), () => Promise.resolve("worker1 is late"), 1);
    await expect(poll).rejects.toThrow(new SetupError("worker1 is late"));
    expect(asked).toBe(1);
  });
});

describe("a deadline that is renewed", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const seconds = (count: number): Promise<unknown> => vi.advanceTimersByTimeAsync(count * 1000);

  test("begins anew, whatever is left of it", async () => {
    const deadline = new Deadline(60);
    await seconds(59);
    expect(deadline.remainingMs).toBe(1000);
    deadline.renew();
    expect(deadline.remainingMs).toBe(60_000);
    await seconds(90);
    expect(deadline.remainingMs).toBe(0);
    deadline.renew();
    expect(deadline.remainingMs).toBe(60_000);
  });

  test("lets a poll go on for as long, and then ends it", async () => {
    const deadline = new Deadline(60);
    const startedAt = performance.now();
    const poll = deadline.poll(() => Promise.resolve(undefined), () => "late").catch(() => performance.now() - startedAt);
    await seconds(50);
    deadline.renew();
    await seconds(120);
    expect(((await poll) as number) / 1000).toBeCloseTo(110, 0);
  });

  test("lets a set-up go on that is watched over, and ends it with what it was doing when it got no further", async () => {
    const [deadline, report, ended] = [new Deadline(60), new Report(), [] as string[]];
    watchOver(deadline, report, (sentence) => ended.push(sentence));
    report.activity = "copying a shard";
    for (let times = 0; times < 10; times += 1) {
      await seconds(59);
      deadline.renew();
    }
    await seconds(60);
    expect(ended).toEqual([]);
    await seconds(600);
    expect(ended).toEqual(["The set-up got no further within 60 s while copying a shard. Run the update again; it goes on where it was"]);
  });

  test("is seen by who watches over it even when time was up for a moment", async () => {
    const [deadline, ended] = [new Deadline(60), [] as string[]];
    watchOver(deadline, new Report(), (sentence) => ended.push(sentence));
    await seconds(61.5);
    deadline.renew();
    await seconds(60);
    expect(ended).toEqual([]);
  });
});
