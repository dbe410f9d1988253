import { expect, test } from "vitest";
import { chooseTenantStack, onlyTenantStack } from "../../../cli/tenant/stacks";

test("a command of tenants takes the only stack that spreads them, or the one that is named", () => {
  expect(chooseTenantStack("tenant -- move", ["42"])).toMatchObject({ stack: { name: "active-active" }, rest: ["42"] });
  expect(onlyTenantStack("tenant -- rebalance", []).name).toBe("active-active");
  expect(onlyTenantStack("tenant -- rebalance", ["active-active"]).name).toBe("active-active");
});

test.each<[string, string[], string]>([
  ["tenant -- rebalance", ["actve-active"], 'There is no stack "actve-active": there is no file Pulumi.actve-active.yaml. Stacks here: active-active, active-passive. For example: npm run tenant -- rebalance active-active'],
  ["bench:rebalance", ["nonsense"], 'There is no stack "nonsense": there is no file Pulumi.nonsense.yaml. Stacks here: active-active, active-passive. For example: npm run bench:rebalance -- '],
  ["tenant -- plan", ["active-active", "active-passive"], "One stack at a time, and there are 2: active-active, active-passive."],
  ["tenant -- list", ["active-passive"], "active-passive has one cluster"],
])("%s %j is refused", (command, words, says) => {
  expect(() => onlyTenantStack(command, words)).toThrow(says);
});
