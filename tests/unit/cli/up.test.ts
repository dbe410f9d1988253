import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Stack } from "../../../cli/stack";
import { stateFrom } from "../../../cli/state";
import { up } from "../../../cli/up";
import { fencerWarning } from "../../../cli/fencerWarning";
import { parseSettings } from "../../../config/parse";
import { planStack } from "../../../topology/stack";

/** What `up` does that a reader sees or that this test asks for, in its order; whose fencers are off; and how the update ends. */
const seen = vi.hoisted(() => ({ done: [] as string[], off: [] as string[], code: 0 }));

const { settings } = parseSettings({ topology: "active-passive" });
const stack: Stack = { name: "s", settings, plan: planStack(settings, () => ""), ports: [], passwords: [] };
vi.mock("../../../cli/stack", async (original) => ({ ...(await original<object>()), readStack: () => stack }));
vi.mock("../../../cli/session", () => ({
  openSession: () => Promise.resolve({ engine: { host: "", version: "", local: true }, backend: { own: true, environment: {}, passphraseSource: "" }, pulumi: { stack: "s", environment: {} } }),
  stackLabel: () => Promise.resolve("organization/p/s"),
}));
vi.mock("../../../cli/state", async (original) => ({ ...(await original<object>()), openState: () => Promise.resolve(stateFrom("{}")) }));
vi.mock("../../../cli/passwords", async (original) => ({ ...(await original<object>()), changedPasswords: () => Promise.resolve([]) }));
vi.mock("../../../setup/custody", () => ({ custody: () => Promise.resolve(undefined) }));
vi.mock("../../../cli/ports", () => ({ requireFreePorts: () => Promise.resolve() }));
vi.mock("../../../cli/images", () => ({ ensureImages: () => Promise.resolve() }));
vi.mock("../../../cli/update", () => ({
  update: () => {
    seen.done.push("update");
    return Promise.resolve({ code: seen.code, interrupted: false, other: "", progress: { errors: [], changed: true } });
  },
}));
// A Docker without containers, in which holders tell of their fencers once the update has made them.
vi.mock("../../../cli/docker", () => ({
  docker: ([command = "", holder = ""]: readonly string[]) =>
    Promise.resolve({ code: command !== "exec" || (seen.done.includes("update") && seen.off.includes(holder.replace("-holder", ""))) ? 0 : 1, stdout: "", stderr: "" }),
}));

beforeEach(() => {
  Object.assign(seen, { done: [], off: [], code: 0 });
  vi.spyOn(console, "error").mockImplementation((line: string) => void seen.done.push(line.includes("Warning:") ? line.replace(/^.*Warning:\S* /, "warning: ") : line));
  vi.spyOn(console, "log").mockImplementation((text: string) => void seen.done.push(/s is up/.test(text) ? "summary" : text));
});
afterEach(() => void vi.restoreAllMocks());

const OPTIONS = { config: [], configPath: false };

test("up warns of fencers that are off once the update has made their members", async () => {
  seen.off = ["coord-1", "coord-3"];
  await up("s", OPTIONS);
  expect(seen.done).toEqual(["update", `warning: ${fencerWarning(["coord-1", "coord-3"])}`, "summary"]);
});

test("up warns of nothing where every fencer guards", async () => {
  await up("s", OPTIONS);
  expect(seen.done).toEqual(["update", "summary"]);
});

test("up that failed says why, and nothing of fencers", async () => {
  Object.assign(seen, { off: ["coord-1"], code: 1 });
  await expect(up("s", OPTIONS)).rejects.toThrow();
  expect(seen.done).toEqual(["update"]);
});
