import { expect, test } from "vitest";
import { Failure } from "../../../cli/failure";
import { requireStack, stacksIn } from "../../../cli/project";

const STACKS = ["active-active", "active-passive"];

test("stacks are the files Pulumi.<stack>.yaml, and not the project's own", () => {
  expect(stacksIn(["Pulumi.yaml", "Pulumi.active-passive.yaml", "Pulumi.active-active.yaml", "Pulumi.x.yaml.bak", "README.md"])).toEqual(STACKS);
});

test("a stack that exists is taken", () => {
  expect(requireStack("up", "active-passive", STACKS)).toBe("active-passive");
});

test.each<[string, string | undefined, string]>([
  ["no name", undefined, "Which stack? npm run up needs its name. Stacks here: active-active, active-passive. For example: npm run up -- active-passive"],
  ["a slip", "activ-active", 'There is no stack "activ-active": there is no file Pulumi.activ-active.yaml. Stacks here: active-active, active-passive. For example: npm run up -- active-active'],
  ["another name", "production", 'There is no stack "production": there is no file Pulumi.production.yaml. Stacks here: active-active, active-passive. For example: npm run up -- active-passive'],
])("%s is answered with the stacks that there are", (_, name, sentence) => {
  expect(() => requireStack("up", name, STACKS)).toThrow(new Failure(sentence));
});

test("a command after -- is shown as it is written", () => {
  expect(() => requireStack("ha -- list", undefined, STACKS)).toThrow("npm run ha -- list needs its name. Stacks here: active-active, active-passive. For example: npm run ha -- list active-passive");
});
