import { describe, expect, test } from "vitest";
import { Deadline } from "../../../setup/deadline";
import { SetupError } from "../../../setup/setupError";

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
