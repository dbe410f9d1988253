import { expect, test } from "vitest";
import { blastRequest, costLine } from "../../../cli/blast";
import { activeReport } from "../blast/reports";

test("without options 300 tenants write, and what is killed stays dead for 10 s", () => {
  expect(blastRequest({})).toEqual({ tenants: 300, deadMs: 10_000 });
});

test("options are read", () => {
  expect(blastRequest({ tenants: "50", seconds: "2.5" })).toEqual({ tenants: 50, deadMs: 2500 });
});

test.each<[Parameters<typeof blastRequest>[0], string]>([
  [{ tenants: "0" }, '--tenants is "0": it must be a whole number from 1 to 10000.'],
  [{ tenants: "1.5" }, '--tenants is "1.5": it must be a whole number'],
  [{ seconds: "soon" }, '--seconds is "soon": it must be a number from 1 to 600.'],
  [{ seconds: "" }, '--seconds is "": it must be a number'],
])("%j is refused", (options, sentence) => {
  expect(() => blastRequest(options)).toThrow(sentence);
});

test("a fault on one line", () => {
  const [cost] = activeReport().faults;
  const line = cost === undefined ? "" : costLine(cost);
  expect(line).toBe("cluster:a: 50 % of 4 tenants could not write, for up to 2.00 s; 0 acknowledged writes lost; whole again after 5.0 s");
});

test("a fault that went wrong says so on its line", () => {
  const [cost] = activeReport("cluster", {}, { rows: ({ "3-500": _, ...rows }) => rows, healed: { problem: "coord_a is exited" } }).faults;
  const line = cost === undefined ? "" : costLine(cost);
  expect(line).toContain("; 1 acknowledged writes lost; not whole again; ");
  expect(line).toContain("1 acknowledged inserts without a row");
});
