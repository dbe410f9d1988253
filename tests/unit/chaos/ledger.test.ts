import { expect, test } from "vitest";
import { Ledger } from "../../../chaos/ledger";

test.each(["1-1", "1-2", "k", "__proto__", "1-01", "2-7", "1-99999", "1-2-3"])("%s is kept as it was told", (key) => {
  const ledger = new Ledger();
  ledger.set("1-1", { outcome: "refused", client: 1, at: 5 });
  ledger.set(key, { outcome: "unknown", client: 1, at: 1234.56 });
  expect(ledger.get(key)).toMatchObject({ outcome: "unknown", client: 1, at: 1234.56 });
  expect([...ledger.entries()].map(([known]) => known)).toEqual(key === "1-1" ? ["1-1"] : ["1-1", key]);
});

test("what nobody told is not there", () => {
  expect(new Ledger().get("1-1")).toBeUndefined();
});
